"""Real CPython interpreters as conda packages: Debian's own, made to find everything relative to themselves."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conda_packages import PLACEHOLDER, File, Package
from tools import tool_folder

from reprolake_builder.documents.environment import Asked
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.libraries import needed_libraries
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.tools import Tools

# What Python's tests, its editor and graphics need is of no use here.
_LEFT_OUT = re.compile(
    r"(?:.*/)?(?:__pycache__|test|tests|idlelib|tkinter|lib-tk|turtledemo|ensurepip|dist-packages|site-packages|"
    r"pydoc_data|lib2to3|config-\d.*|sitecustomize\.py|.*\.a|EXTERNALLY-MANAGED)(?:/.*)?"
)
_GLIBC = re.compile(r"(?:ld-linux|libc|libm|libdl|librt|libutil|libpthread|libresolv|libnsl)[.-].*")
_ELF = b"\x7fELF"
_ABOUT_FOLDERS = ("site.py", "sysconfig.py", "sysconfig/__init__.py", "distutils/command/install.py")


@dataclass(frozen=True)
class Source:
    """Where Debian has a Python: in the suite whose own one is `suite_python`, glibc 2.`glibc`."""

    suite_python: str
    glibc: int


PYTHONS = {
    "2.7": Source("3.9", 31),
    "3.9": Source("3.9", 31),
    "3.11": Source("3.11", 36),
    "3.13": Source("3.13", 41),
}


def python_package(minor: str, tools: Tools) -> Package:
    """Return the conda package `python` with CPython `minor` ("3.11") of Debian."""
    source = PYTHONS[minor]
    extra = (
        () if minor == source.suite_python else (Asked(text=f"python{minor}", origin="the tests' channel"),)
    )
    debian = solve_debian(source.suite_python, extra, tools).debian
    fetch_debian(debian, tools)
    trees = make_debian_trees(debian, tools.store, tools.progress)
    roots = [tree.root for tree in trees]
    files = dict(_standard_library(roots, minor))
    files |= _programs(roots, minor)
    files |= _libraries(roots, files)
    full = re.match(rb"[\d.]+", _version(roots, minor).encode())
    assert full is not None
    return Package(
        "python",
        full[0].decode(),
        {name: _relocated(name, file, minor) for name, file in files.items()},
        build="h1_0_cpython",
        depends=(f"__glibc >=2.{source.glibc}",),
        constrains=(f"python_abi {minor}.* *_{abi_of(minor)}",),
        more={} if minor == "2.7" else {"python_site_packages_path": f"lib/python{minor}/site-packages"},
    )


def python_abi(minor: str) -> Package:
    """Return the package that ties compiled packages to a Python."""
    build = f"1_{abi_of(minor)}"
    return Package("python_abi", minor, {}, build=build, noarch="generic", constrains=(f"python {minor}.*",))


def abi_of(minor: str) -> str:
    """Return what compiled packages for a Python are marked with."""
    return "cp27mu" if minor == "2.7" else f"cp{minor.replace('.', '')}"


def _version(roots: list[Path], minor: str) -> str:
    """Return the version in full, which the interpreter's own header for programs tells."""
    program = next(
        root / f"usr/bin/python{minor}" for root in roots if (root / f"usr/bin/python{minor}").exists()
    )
    found = re.search(rb"\0(%s\.\d+)\+?\0" % re.escape(minor.encode()), program.read_bytes())
    assert found is not None
    return found[1].decode()


def _standard_library(roots: list[Path], minor: str) -> Iterator[tuple[str, File]]:
    for root in roots:
        base = root / f"usr/lib/python{minor}"
        for path in sorted(base.rglob("*")):
            inside = path.relative_to(base).as_posix()
            if not path.is_file() or _LEFT_OUT.fullmatch(inside) or inside.endswith((".pyc", ".pyo")):
                continue
            data = path.read_bytes()
            if inside in _ABOUT_FOLDERS:
                data = _usual_folders(data)
            elif inside.startswith("_sysconfigdata"):
                text = data.decode().replace("'/usr", f"'{PLACEHOLDER}")
                yield f"lib/python{minor}/{inside}", File.text(text)
                continue
            yield f"lib/python{minor}/{inside}", File(data)
    yield f"lib/python{minor}/site-packages/README.txt", File(b"Packages of Python lie here.\n")


def _usual_folders(data: bytes) -> bytes:
    """Return a module of Debian's that names the folder for packages as everybody else does."""
    for debian, usual in (
        (b"dist-packages", b"site-packages"),
        (b"base}/local/", b"base}/"),
        (b'"local/lib"', b'"lib"'),
        (b"/python3/site-packages", b"/python{py_version_short}/site-packages"),
    ):
        data = data.replace(debian, usual)
    return data


def _programs(roots: list[Path], minor: str) -> dict[str, File]:
    program = next(
        root / f"usr/bin/python{minor}" for root in roots if (root / f"usr/bin/python{minor}").exists()
    )
    major = minor.split(".", maxsplit=1)[0]
    # Python's `site` is part of the program since 3.11; the two names are of one length.
    usual = program.read_bytes().replace(b"dist-packages", b"site-packages")
    return {
        f"bin/python{minor}": File(usual, executable=True),
        f"bin/python{major}": File(target=f"python{minor}"),
        "bin/python": File(target=f"python{minor}"),
        f"bin/pydoc{minor}": File.text(
            f"#!{PLACEHOLDER}/bin/python{minor}\nimport pydoc\npydoc.cli()\n", executable=True
        ),
    }


def _libraries(roots: list[Path], files: dict[str, File]) -> dict[str, File]:
    """Return the shared libraries that these files need, but for those that come with the C library."""
    found: dict[str, File] = {}
    pending = [file.data for file in files.values() if file.data.startswith(_ELF)]
    while pending:
        with tempfile.TemporaryFile() as stream:
            stream.write(pending.pop())
            stream.seek(0)
            needed = list(needed_libraries(stream))
        for name in needed:
            if _GLIBC.fullmatch(name) or f"lib/{name}" in found:
                continue
            path = _library(roots, name)
            found[f"lib/{name}"] = File(path.read_bytes())
            pending.append(found[f"lib/{name}"].data)
    return found


def _library(roots: list[Path], name: str) -> Path:
    for root in roots:
        for folder in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"):
            path = root / folder / name
            if path.is_symlink():
                path = root / folder / Path(os.readlink(path)).name
            if path.is_file():
                return path
    raise AssertionError(f"Debian has no {name}")


def _relocated(name: str, file: File, minor: str) -> File:
    """Return a program or library that looks for libraries relative to its own place."""
    if not file.data.startswith(_ELF):
        return file
    up = {"bin": "../lib", "lib": "."}.get(name.rpartition("/")[0], "../..")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "elf")
        path.write_bytes(file.data)
        patchelf = tool_folder("patchelf") / "patchelf"
        subprocess.run([patchelf, "--set-rpath", f"$ORIGIN/{up}", path], check=True, capture_output=True)
        return File(path.read_bytes(), executable=file.executable)
