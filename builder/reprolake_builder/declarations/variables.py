"""Variables that a declaration sets in the image."""

from __future__ import annotations

import re

from reprolake_builder.declarations.heard import Heard
from reprolake_builder.documents.environment import UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_OURS = {"PATH", "HOME", "USER", "SHELL", "PWD", "TMPDIR", "VIRTUAL_ENV", "PYTHONHOME"}
_OURS_BEGIN = ("LD_", "CONDA_", "REPROLAKE_", "GLIBC_")


def read_variable(name: str, value: object, origin: str) -> Heard:
    """Return a variable, or that it is the image's to set. Raises DetectError for what is none, or of more than a line."""
    if not _NAME.fullmatch(name) or not isinstance(value, str) or not value.isprintable():
        raise DetectError(f"{origin}: {printable(name)[:60]!r} is no variable with one line of text")
    if name in _OURS or name.startswith(_OURS_BEGIN):
        reason = f"{name} is for the image to set"
        return Heard(unheard=(UnheardFile(path=origin, reason=reason, matters=True),))
    return Heard(variables=((name, value),))
