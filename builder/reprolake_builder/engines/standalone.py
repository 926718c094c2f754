"""A standalone Python as a tree at its fixed place: the archive's files, and byte code made by the interpreter itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from reprolake_builder.archives.formats import reading
from reprolake_builder.archives.members import LIMITS
from reprolake_builder.archives.plan import refuse_leading_out
from reprolake_builder.debs.signed_base import interpreter_identity
from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, STANDALONE_PREFIX, StandaloneInterpreter
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.interpreters import Home, Program, minor_of
from reprolake_builder.engines.layers import Part
from reprolake_builder.engines.packages import refuse_damaged
from reprolake_builder.engines.sdist import unpack_folder
from reprolake_builder.errors import BuildError
from reprolake_builder.git_tree import FILE, SYMLINK, TreeError
from reprolake_builder.solvers.standalone import fetch_standalone
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Filled, give_modes

_TOP = STANDALONE_PREFIX.lstrip("/")
_HINT = "the lock was changed by hand; make a new one with `reprolake lock`"
_LARGEST_ABOUT = 4 << 20  # bytes
# What tells builds of extensions where Python lies, which these builds name as it was where they were made.
_ABOUT_FOLDERS = re.compile(
    rb"lib/(?:pkgconfig/[^/]*\.pc|python3\.\d+/"
    rb"(?:_sysconfigdata[^/]*\.py|_sysconfig_vars[^/]*\.json|build-details\.json|config-[^/]*/Makefile))"
)
_WHERE_MADE = re.compile(rb"(?:(?<=[\s'\"=:])|(?<=-[LI]))/install(?=[/\s'\":])")


def make_standalone(home: Home, tools: Tools) -> tuple[tuple[Part, ...], Home]:
    """Return the part that a standalone Python is, fetched if need be, and where it lives then; no part for another Python.

    Raises BuildError for an archive that is none of such a Python, and FetchError.
    """
    lock = home.lock
    if not isinstance(lock, StandaloneInterpreter):
        return (), home
    minor = minor_of(lock)
    if lock.executable != f"{STANDALONE_PREFIX}/bin/python{minor}" or not lock.filename.startswith(
        f"cpython-{lock.version}+"
    ):
        raise BuildError(
            f"the lock contradicts itself about its Python {lock.version}: {lock.filename}, {lock.executable}",
            hint=_HINT,
        )
    identity = interpreter_identity(lock, home.base.key, tools.store)
    key = content_hash({"layer": "standalone", "layout": LAYOUT, "python": lock, "interpreter": identity})
    if tools.store.tree(key) is None:
        fetch_standalone(lock, tools)
        refuse_damaged(tools.store, lock.sha256, lock.filename)

    def fill(root: Path) -> Filled:
        _unpack(lock, tools.store.archive(lock.sha256), root / _TOP)
        give_modes(root)  # who compiles in the sandbox is another user
        with ByteCode(Program(minor, lock.executable, (home.base.root, root))) as compiler:
            return Filled(digests=compiler.compile_tree(root, (f"{_TOP}/lib/python{minor}",), "/"))

    with tools.progress.step(f"Laying out Python {lock.version}"):
        tree = tools.store.make_tree(key, fill)
    return (Part(f"standalone Python {lock.version}", tree),), Home(lock, home.base, tree, home.prefix)


def _unpack(lock: StandaloneInterpreter, archive: Path, folder: Path) -> None:
    """Lay the archive's one folder out as `folder` (host path), without byte code of others."""
    folder.mkdir(parents=True)
    allowed = LIMITS.allowed(archive.stat().st_size)
    try:
        with reading(archive, allowed, hard_links=True) as members:
            held = unpack_folder((one for one in members if b"/__pycache__/" not in one.path), folder)
        links = [path for path, (mode, _) in held.items() if mode == SYMLINK]
        refuse_leading_out({path: os.readlink(os.fsencode(folder) + b"/" + path) for path in links})
        if f"bin/python{minor_of(lock)}".encode() not in held:
            raise TreeError(f"it holds no bin/python{minor_of(lock)} in its one folder")
    except TreeError as error:
        raise BuildError(f"{lock.filename} is no sound archive of a Python: {error}") from error
    about = (path for path, (mode, _) in held.items() if mode == FILE and _ABOUT_FOLDERS.fullmatch(path))
    _name_place(folder / os.fsdecode(path) for path in about)


def _name_place(paths: Iterable[Path]) -> None:
    """Change files that name the folder in which the build was made: they name the one in the image."""
    for path in paths:
        if path.stat().st_size <= _LARGEST_ABOUT:
            path.write_bytes(placed(path.read_bytes()))


def placed(text: bytes) -> bytes:
    """Return a text that names the folder in which a build was made, with the image's in its place."""
    return _WHERE_MADE.sub(STANDALONE_PREFIX.encode(), text)
