"""Python packages as conda packages, repackaged from the wheels of the configured index."""

from __future__ import annotations

import configparser
import email.parser
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from pathlib import Path

from conda_packages import PLACEHOLDER, File, Package
from conda_pythons import abi_of
from own_index import as_of, asked
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from reprolake_builder.download import Wanted
from reprolake_builder.engines.packages import fetch_wheels
from reprolake_builder.solvers.pypi import asking, choose
from reprolake_builder.solvers.pypi_failure import NoChoice
from reprolake_builder.solvers.pypi_pages import IndexFile, read_page
from reprolake_builder.solvers.pypi_target import TARGETS, Target
from reprolake_builder.solvers.pypi_uv import Uv
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.tools import Tools

PYTHON2 = Target("2.7.18", 31)
# As conda-forge calls them; all others have their normalised names.
_CALLED = {
    name.replace("_", "-"): name
    for name in (
        *("jupyter_client", "jupyter_core", "stack_data", "pure_eval", "typing_extensions", "prompt_toolkit"),
        *("importlib_metadata", "ipython_genutils", "backports_abc"),
    )
}
_SCRIPT = "#!{prefix}/bin/python\nimport sys\nfrom {module} import {top}\n\nif __name__ == '__main__':\n    sys.exit({call}())\n"
# Of distributions of source, whose metadata does not tell.
_REQUIRED = {"tornado": ("singledispatch", "futures", "backports_abc >=0.4")}


def wheel_packages(
    minor: str, requirements: Sequence[str], date: str, tools: Tools, pythons: Iterable[str] = TARGETS
) -> Iterator[Package]:
    """Yield requirements and all that they require, for a Python on offer ("3.11"), as of a date.

    What is noarch asks for all that it needs in any of the `pythons`.
    """
    served = [TARGETS[python] for python in pythons]
    day = as_of(date)
    found = choose(asking(asked(*requirements), (), day), candidates((), minor, day), tools)
    if isinstance(found, NoChoice):
        raise found.error()
    wheels = found.solution.wheels
    fetch_wheels(wheels, tools)
    for wheel in wheels:
        yield wheel_package(tools.store.archive(wheel.sha256), wheel.filename, TARGETS[minor], served)


def python2_packages(pins: Iterable[str], tools: Tools) -> Iterator[Package]:
    """Yield exactly these releases (NAME==VERSION) for Python 2.7, which no resolver of ours knows."""
    index = Uv(tools.site, tools.store).index_of(canonicalize_name("six"), TARGETS["3.11"])
    files: list[IndexFile] = []
    for pin in pins:
        name, version = pin.split("==")
        page = read_page(index, canonicalize_name(name), tools.downloader) or ()
        files.append(_for_python2([file for file in page if str(file.version) == version]))
    wanted = [Wanted(file.filename, (file.url,), file.hashes["sha256"], file.size or 0) for file in files]
    tools.downloader.fetch_all(wanted, tools.store, tools.progress, "Fetching packages for Python 2.7")
    for file in files:
        path = tools.store.archive(file.hashes["sha256"])
        make = wheel_package if file.is_wheel else _sdist_package
        yield make(path, file.filename, PYTHON2)


def _for_python2(files: Sequence[IndexFile]) -> IndexFile:
    platforms = ("manylinux2010_x86_64", "manylinux1_x86_64")
    tags = [
        *cpython_tags((2, 7), abis=["cp27mu"], platforms=platforms),
        *compatible_tags((2, 7), "cp27", platforms),
    ]
    wheels = [file for file in files if file.is_wheel and set(tags) & parse_wheel_filename(file.filename)[3]]
    return (wheels or [file for file in files if not file.is_wheel])[0]


def wheel_package(wheel: Path, filename: str, target: Target, served: Sequence[Target] = ()) -> Package:
    """Return the conda package of a wheel (host path), as conda-forge's recipes would make it for that Python.

    Where it is noarch it is for all that are `served`, too.
    """
    with zipfile.ZipFile(wheel) as archive:
        content = {
            item.filename: (archive.read(item), bool(item.external_attr >> 16 & 0o100))
            for item in archive.infolist()
            if not item.is_dir()
        }
    info = next(name.split("/")[0] for name in content if name.endswith(".dist-info/METADATA"))
    metadata = email.parser.BytesParser().parsebytes(content[f"{info}/METADATA"][0])
    pure = all(tag.platform == "any" for tag in parse_wheel_filename(filename)[3])
    site = "site-packages" if pure else f"lib/python{target.minor}/site-packages"
    files = {
        place: file
        for name, (data, mode) in content.items()
        for place, file in _placed(name, File(data, executable=mode), site, pure=pure)
    }
    files[f"{site}/{info}/INSTALLER"] = File(b"conda\n")
    files.pop(f"{site}/{info}/RECORD", None)
    commands = _commands(content.get(f"{info}/entry_points.txt", (b"", False))[0])
    if not pure:
        files |= {f"bin/{command}": _script(place) for command, place in commands}
    return _package(
        metadata,
        files,
        target,
        pure=pure,
        served=served if pure else (),
        entry_points=tuple(f"{command} = {place}" for command, place in commands) if pure else (),
    )


def _package(
    metadata: Message,
    files: dict[str, File],
    target: Target,
    *,
    pure: bool,
    served: Sequence[Target] = (),
    entry_points: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
) -> Package:
    digits = target.minor.replace(".", "")
    major, minor = target.pair
    if target.minor == "2.7" and pure:
        build, python = "py2_0", ("python >=2.7,<3",)
    elif pure:
        build, python = "pyhd_0", (f"python {metadata.get('Requires-Python') or '>=3'}".replace(", ", ","),)
    else:
        build = f"py{digits}_0"
        python = (
            f"python >={target.minor},<{major}.{minor + 1}.0a0",
            f"python_abi {target.minor}.* *_{abi_of(target.minor)}",
        )
    name = str(metadata["Name"])
    return Package(
        conda_name(name),
        str(metadata["Version"]),
        files,
        build=build,
        depends=(*python, *_depends(metadata, served or [target]), *required),
        noarch="python" if pure else "",
        entry_points=entry_points,
    )


def conda_name(name: str) -> str:
    """Return what the tests' channel calls a distribution."""
    return _CALLED.get(canonicalize_name(name), str(canonicalize_name(name)))


def _depends(metadata: Message, served: Sequence[Target]) -> Iterator[str]:
    """Yield what a distribution requires in any of these Pythons."""
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if any(target.holds(requirement.marker) for target in served):
            limits = ",".join(sorted(str(item).removeprefix("==") for item in requirement.specifier))
            yield f"{conda_name(requirement.name)} {limits}".strip()


def _placed(name: str, file: File, site: str, *, pure: bool) -> Iterator[tuple[str, File]]:
    """Yield where an entry of a wheel goes, and what it is there."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        yield f"{site}/{name}", file
        return
    kind, _, inside = rest.partition("/")
    if kind == "scripts":
        text = file.data.decode()
        if text.startswith("#!python"):
            text = f"#!{PLACEHOLDER}/bin/python{text.removeprefix('#!python')}"
        yield f"{'python-scripts' if pure else 'bin'}/{inside}", File.text(text, executable=True)
    elif kind == "data" and inside.endswith("/kernel.json"):
        spec = json.loads(file.data)
        spec["argv"][0] = f"{PLACEHOLDER}/bin/python"
        yield inside, File.text(json.dumps(spec, indent=1))
    elif kind != "headers":
        yield {"data": inside}.get(kind, f"{site}/{inside}"), file


def _commands(entry_points: bytes) -> tuple[tuple[str, str], ...]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(entry_points.decode())
    return tuple(parser.items("console_scripts")) if parser.has_section("console_scripts") else ()


def _script(place: str) -> File:
    module, _, call = place.partition("[")[0].replace(" ", "").partition(":")
    text = _SCRIPT.format(prefix=PLACEHOLDER, module=module, top=call.split(".")[0], call=call)
    return File.text(text, executable=True)


def _sdist_package(sdist: Path, filename: str, target: Target) -> Package:
    """Return the package of a distribution of source that is all Python: a folder or a module of its name."""
    content = dict(_sdist_files(sdist))
    metadata = email.parser.BytesParser().parsebytes(content["PKG-INFO"])
    name = str(metadata["Name"])
    files = {
        f"site-packages/{path}": File(data)
        for path, data in content.items()
        if (path.startswith(f"{name}/") and path.endswith(".py") and "/test/" not in path)
        or path == f"{name}.py"
    }
    assert files, filename
    files[f"site-packages/{name}-{metadata['Version']}-py{target.minor}.egg-info"] = File(content["PKG-INFO"])
    return _package(metadata, files, target, pure=True, required=_REQUIRED.get(name, ()))


def _sdist_files(sdist: Path) -> Iterator[tuple[str, bytes]]:
    data = sdist.read_bytes()
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.partition("/")[2], archive.read(name)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if (stream := archive.extractfile(member)) is not None:
                yield member.name.partition("/")[2], stream.read()
