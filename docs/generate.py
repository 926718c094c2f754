"""Writes what the reference says from the code: JSON Schemas of the documents and the help of every command.

`python docs/generate.py` writes, `--check` fails when a file would change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec

from reprolake.cli import COMMANDS, cli
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.image import Image
from reprolake_runner.documents.basket import Basket
from reprolake_runner.documents.run import Manifest, RunRecord, RunSpec

REFERENCE = Path(__file__).parent / "reference"
DOCUMENTS = {
    "source": PinnedSource,
    "environment": EnvironmentSpec,
    "lock": EnvironmentLock,
    "image": Image,
    "basket": Basket,
    "run-spec": RunSpec,
    "run-record": RunRecord,
    "manifest": Manifest,
}


def pages() -> dict[Path, str]:
    """Return every generated file and its text."""
    found = {
        REFERENCE / f"{name}.schema.json": json.dumps(msgspec.json.schema(kind), indent=2) + "\n"
        for name, kind in DOCUMENTS.items()
    }
    found[REFERENCE / "commands.md"] = commands()
    return found


def commands() -> str:
    """Return the help of every command as Markdown."""
    parts = ["# Commands\n\nThis page is what `--help` prints.\n"]
    top = click.Context(cli, info_name="reprolake", max_content_width=100)
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None
        parts += _help(command, name, top)
    return "\n".join(parts)


def _help(command: click.Command, name: str, parent: click.Context) -> list[str]:
    """Return the help of a command and of those below it."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100)
    parts = [f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"]
    for below in command.list_commands(context) if isinstance(command, click.Group) else []:
        found = command.get_command(context, below)
        assert found is not None
        parts += _help(found, below, context)
    return parts


def main() -> int:
    """Write or check the files."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(REFERENCE.parent.parent)} is not what the code says", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
