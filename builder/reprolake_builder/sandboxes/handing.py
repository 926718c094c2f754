"""What a sandboxed program is handed: words that Linux can pass on, and files that its user may write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from reprolake_builder.process import printable
from reprolake_builder.sandboxes.interface import CopyOnWrite, SandboxSpec
from reprolake_builder.sandboxes.reports import unavailable

_DEEPEST = 500


def refuse_nul(spec: SandboxSpec) -> None:
    """Refuse what would end one of a runtime's arguments and begin another. Raises SandboxError."""
    targets = [bind.target for bind in spec.binds]
    words = (*spec.argv, *spec.env, *spec.env.values(), *targets, spec.cwd, spec.home)
    if any("\0" in word for word in words) or any("=" in name or not name for name in spec.env):
        raise unavailable("an argument or a variable of the program is no text that Linux can pass on")


def hand_over(spec: SandboxSpec, user: int) -> None:
    """Give what is writable to the user (a number on this host) that the program will run as; a negative one stays ours."""
    writable = [bind.source for bind in spec.binds if bind.writable]
    if spec.copy_on_write:
        writable.append(spec.copy_on_write.scratch)
    for place in writable:
        give(place, user)


def give(place: Path, user: int) -> None:
    """Make all of a host file or folder a user's; nothing happens for a negative number. Raises SandboxError for a bottomless one."""
    if user < 0:
        return
    os.chown(place, user, user, follow_symlinks=False)
    above = str(place).count("/")
    for folder, folders, files, descriptor in os.fwalk(place, follow_symlinks=False):
        if folder.count("/") - above > _DEEPEST:  # each takes a call and a descriptor
            raise unavailable(f"in {printable(str(place))} folders lie deeper than {_DEEPEST} in one another")
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)


def copied(view: CopyOnWrite) -> None:
    """Make a real copy of the original, with what counts as written already, in the scratch folder."""
    scratch = view.scratch
    shutil.copytree(view.lower, scratch / "copy", symlinks=True)
    if (scratch / "upper").is_dir():
        shutil.copytree(scratch / "upper", scratch / "copy", symlinks=True, dirs_exist_ok=True)
    for name in ("upper", "work"):
        shutil.rmtree(scratch / name, ignore_errors=True)
