"""Which of several files counts, and what is told of one that another stands over: it has to say no more than that one."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from reprolake_builder.declarations.heard import Given, join
from reprolake_builder.documents.environment import UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_TWO = "ignore one of the two"


def named_lock(given: Given, folder: str, pattern: str) -> tuple[str, ...]:
    """Return the path of the lock whose name is of a pattern, if there is one. Raises DetectError where there are several."""
    found = [join(folder, name) for name in given.tree.names(folder) if fnmatchcase(name, pattern)]
    found = [path for path in found if given.has(path)]
    if len(found) > 1:
        raise DetectError(
            f"{' and '.join(map(printable, found[:4]))} are each the lock of another environment",
            hint="take one of them: " + " ".join(f"--ignore {printable(path)}" for path in found[1:]),
        )
    return tuple(found)


def one_of_two(path: str, over: str, *, same: bool) -> UnheardFile:
    """Return what is told of a file that says the same as the one that counts, or something else."""
    told = "they say the same" if same else f"they differ: {_TWO}"
    return UnheardFile(path=path, reason=f"{over} stands over it, and {told}", matters=not same)


def misunderstood(path: str, over: str, error: DetectError) -> UnheardFile:
    """Return what is told of a file of which nobody can say whether it says the same."""
    reason = f"{over} stands over it, and it cannot be understood: {error.message}"
    return UnheardFile(path=path, reason=reason, matters=True)


def beside_lock(path: str, lock: str, missing: Sequence[str]) -> UnheardFile:
    """Return what is told of a file over which a lock stands that does not have what is `missing`."""
    if not missing:
        return UnheardFile(path=path, reason=f"{lock} has all that it asks for", matters=False)
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return UnheardFile(path=path, reason=f"{missing[0]}{more}: {_TWO}", matters=True)
