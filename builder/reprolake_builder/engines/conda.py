"""The conda packages of an image: each a tree of its own at the fixed prefix, and one for what concerns the whole set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reprolake_builder.conda.channels import is_for_python, wanted_conda
from reprolake_builder.debs.signed_base import interpreter_identity
from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.conda import CONDA_PREFIX, CondaLock, CondaPackage
from reprolake_builder.documents.lock import LAYOUT, CondaInterpreter, EnvironmentLock, InterpreterLock
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.conda_package import Installed, unpack_conda, write_prefix_record
from reprolake_builder.engines.interpreters import Home, Program, layout_of
from reprolake_builder.engines.layers import Part
from reprolake_builder.engines.packages import known_tree, refuse_damaged, side_by_side
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.errors import BuildError
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Filled, give_modes

PYTHON = "python"
_HINT = "the lock was changed by hand; make a new one with `reprolake lock`"
_META = f"{CONDA_PREFIX.lstrip('/')}/conda-meta"


@dataclass(frozen=True, slots=True)
class _Making:
    """What every package of a set is made with."""

    home: Home
    layout: Layout
    store: Store
    byte_code: bool


def fetch_conda(lock: CondaLock, packages: Iterable[CondaPackage], tools: Tools) -> None:
    """Bring packages into the store, unless they are there with the right bytes. Raises FetchError."""
    missing = [package for package in packages if not tools.store.has_sound_archive(package.sha256)]
    if missing:
        wanted = wanted_conda(missing, lock.channels, tools.site)
        tools.downloader.fetch_all(wanted, tools.store, tools.progress, "Fetching conda packages")


def make_conda(
    lock: CondaLock, home: Home, tools: Tools, *, byte_code: bool = True
) -> tuple[tuple[Part, ...], Home]:
    """Return one part for each package, fetched if need be, and where its Python lives then.

    `home` is the Python of the environment's lock, whose package is not laid out yet where it is one of conda's.
    Raises BuildError and FetchError.
    """
    python = _python_of(lock, home)
    layout = Layout(layout_of(home.lock).minor, CONDA_PREFIX.lstrip("/"))
    base = home.base.key
    keys = {
        package.name: conda_key(package, home.lock, base, tools.store, byte_code=byte_code)
        for package in lock.packages
    }
    if len(keys) != len(lock.packages):
        raise BuildError("the lock names a conda package twice", hint=_HINT)
    missing = [package for package in lock.packages if tools.store.tree(keys[package.name]) is None]
    fetch_conda(lock, missing, tools)
    if missing:
        _lay_out(missing, python, keys, _Making(home, layout, tools.store, byte_code), tools.progress)
    if python is not None:
        home = Home(home.lock, home.base, known_tree(tools.store, keys[PYTHON], python.filename))
    parts = [
        Part(part_name(package), known_tree(tools.store, keys[package.name], package.filename))
        for package in lock.packages
    ]
    return tuple(parts), home


def _lay_out(
    missing: Sequence[CondaPackage],
    python: CondaPackage | None,
    keys: Mapping[str, Sha256],
    making: _Making,
    progress: Progress,
) -> None:
    """Make the missing trees side by side: those of Python's packages wait with compiling until it lies there itself."""
    compiler: Future[ByteCode | None] = Future()
    with ExitStack() as stack:

        def lay_python(package: CondaPackage) -> None:
            try:
                key = keys[package.name]
                if package in missing:
                    _make_python(package, key, making)
                tree = known_tree(making.store, key, package.filename)
                program = Home(making.home.lock, making.home.base, tree).program
                compiler.set_result(stack.enter_context(ByteCode(program)) if making.byte_code else None)
            except BaseException as error:
                compiler.set_exception(error)
                raise

        others = [package for package in missing if package is not python]
        # The interpreter first, then what does not wait for it.
        others.sort(key=lambda package: (is_of_python(package), -package.size))
        jobs = [partial(lay_python, python)] if python is not None else []
        jobs += [partial(_make, package, keys[package.name], making, compiler) for package in others]
        side_by_side(jobs, progress, "Laying out conda packages")


def part_name(package: CondaPackage) -> str:
    """Return what the package is called among the parts of an image, where a wheel may have its name."""
    return f"conda package {package.name}"


def _python_of(lock: CondaLock, home: Home) -> CondaPackage | None:
    """Return the package that holds the interpreter. Raises BuildError where the lock contradicts itself."""
    found = next((package for package in lock.packages if package.name == PYTHON), None)
    if not isinstance(home.lock, CondaInterpreter):
        if found is not None or any(package.noarch == "python" for package in lock.packages):
            raise BuildError(
                "the lock holds conda packages of Python, and its interpreter is none of conda's", hint=_HINT
            )
        return None
    layout = layout_of(home.lock)
    if found is None or found.sha256 != home.lock.sha256 or found.version != home.lock.version:
        raise BuildError(
            f"the lock's interpreter is no conda package of it: Python {home.lock.version}", hint=_HINT
        )
    if home.lock.executable != f"/{layout.prefix}/bin/python{layout.minor}":
        raise BuildError(f"{home.lock.executable} is not where conda has Python {layout.minor}", hint=_HINT)
    if found.site_packages and f"{layout.prefix}/{found.site_packages}" != layout.site:
        raise BuildError(
            f"{found.filename} keeps its packages in {found.site_packages}, which is not supported",
            hint="take a usual Python, not one without its global lock",
        )
    return found


def conda_key(
    package: CondaPackage, interpreter: InterpreterLock, base: Sha256, store: Store, *, byte_code: bool
) -> Sha256:
    """Return the key of the package's tree; `base` is the key of the tree below. Only what has to do with Python depends on both."""
    python: object = None
    if is_of_python(package):
        compiled = byte_code or package.name == PYTHON
        identity = interpreter_identity(interpreter, base, store) if compiled else ""
        python = {"layout": layout_of(interpreter).minor, "interpreter": identity}
    return content_hash(
        {
            "layer": "conda",
            "layout": LAYOUT,
            "archive": package.sha256,
            "package": (package.channel, package.subdir, package.filename),
            "name": (package.name, package.version, package.build, package.noarch),
            "md5": package.md5,
            "size": package.size,
            "prefix": CONDA_PREFIX,
            "python": python,
        }
    )


def is_of_python(package: CondaPackage) -> bool:
    """Whether the package has to do with the environment's Python, which then compiles its sources."""
    return package.name == PYTHON or is_for_python(package)


def _make_python(package: CondaPackage, key: Sha256, making: _Making) -> None:
    """Lay the interpreter out, and have it compile its own library."""
    program = making.home.program

    def fill(root: Path) -> Filled:
        installed = _unpack(package, root, making)
        give_modes(root)  # who compiles in the sandbox is another user
        here = Program(program.minor, program.executable, (*program.roots, root))
        with ByteCode(here) as compiler:
            return _recorded(installed, package, making, compiler)

    making.store.make_tree(key, fill)


def _make(package: CondaPackage, key: Sha256, making: _Making, compiler: Future[ByteCode | None]) -> None:
    def fill(root: Path) -> Filled:
        installed = _unpack(package, root, making)
        return _recorded(installed, package, making, compiler.result() if is_of_python(package) else None)

    making.store.make_tree(key, fill)


def _unpack(package: CondaPackage, root: Path, making: _Making) -> Installed:
    refuse_damaged(making.store, package.sha256, package.filename)
    with making.store.scratch() as scratch:
        archive = making.store.archive(package.sha256)
        return unpack_conda(archive, package, root, scratch, making.layout)


def _recorded(
    installed: Installed, package: CondaPackage, making: _Making, compiler: ByteCode | None
) -> Filled:
    folder = f"{making.layout.prefix}/lib/python{making.layout.minor}"
    made = compiler.compile_tree(installed.root, (folder,), "/", installed.compiled) if compiler else {}
    return Filled(digests=write_prefix_record(installed, package, made))


def make_history(lock: EnvironmentLock, conda: CondaLock, store: Store) -> Tree:
    """Return the tree with what conda's programs take a folder for an environment by: which packages came, and what was asked."""
    asked = lock.environment.conda.specs if lock.environment.conda is not None else ()
    lines = ["==> 1980-01-01 00:00:00 <==", "# cmd: reprolake build"]
    lines += [
        f"+{package.channel}/{package.subdir}::{package.name}-{package.version}-{package.build}"
        for package in conda.packages
    ]
    lines.append(f"# update specs: {json.dumps([item.text for item in asked])}")
    text = "".join(f"{line}\n" for line in lines)
    key = content_hash({"layer": "conda history", "layout": LAYOUT, "text": text})

    def fill(root: Path) -> None:
        folder = root / _META
        folder.mkdir(parents=True)
        (folder / "history").write_text(text, "utf-8")

    return store.make_tree(key, fill)


def link_scripts(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return, in words, the scripts of packages that conda would have run once everything lay there."""
    folder = f"{CONDA_PREFIX.lstrip('/')}/bin/.".encode()
    return tuple(
        f"the {kind} script of the {part.name} was not run"
        for part in parts
        for entry in part.tree.entries
        for kind in ("post-link", "pre-link")
        if entry.path.startswith(folder) and entry.path.endswith(f"-{kind}.sh".encode())
    )
