"""The generated reference is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from reprolake_builder.declarations.unheard import _TABLE, KINDS, PROJECT_FILES

ROOT = Path(__file__).parent.parent.parent


def test_schemas_and_help_texts_are_current():
    """docs/reference holds the schema of each document and the help of each command, as they are now."""
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_file_about_an_environment_is_in_the_table():
    """docs/reference/files.md names each file that is understood, and each that is known and is not."""
    text = (ROOT / "docs/reference/files.md").read_text().replace("NAME", "*")
    known = {*KINDS, *PROJECT_FILES, *(pattern for pattern, _, _ in _TABLE)}
    assert [name for name in sorted(known) if f"`{name}`" not in text] == []
