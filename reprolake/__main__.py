"""The `reprolake` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from reprolake.cli import run

    # What is written for others to read must not depend on the caller's umask; secrets get their own mode where they are made.
    os.umask(0o022)
    sys.exit(run())


if __name__ == "__main__":
    main()
