"""Every sample repository does what its expected.toml says, through the command that users type."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest
from conda_channel import MAIN, channels

from reprolake_builder.documents.base import decode
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.image import LOCK_IN_IMAGE, Image
from reprolake_runner.staged import read_result

SAMPLES = Path(__file__).parent.parent.parent / "sample-repos"


class Link(msgspec.Struct, forbid_unknown_fields=True):
    as_of: str = ""
    ignore: list[str] = []
    extras: list[str] = []
    groups: list[str] = []
    default_groups: bool = True


class Run(msgspec.Struct, forbid_unknown_fields=True):
    notebook: str
    basket: str = ""
    parameters: dict[str, str] = {}
    maps: list[str] = []


class Expect(msgspec.Struct, forbid_unknown_fields=True):
    exit_code: int = 0
    status: str = "succeeded"
    outputs: list[str] = []
    no_outputs: list[str] = []
    in_notebook: list[str] = []
    not_in_notebook: list[str] = []
    in_messages: list[str] = []
    python: str = ""
    locked: dict[str, str] = {}
    conda: dict[str, str] = {}
    built: dict[str, str] = {}
    apt: list[str] = []
    project: str = ""
    obeyed: str = ""


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    run: Run
    link: Link = msgspec.field(default_factory=Link)
    expect: Expect = msgspec.field(default_factory=Expect)


def arguments(folder: Path, expected: Expected) -> list[str | Path]:
    found: list[str | Path] = [folder, expected.run.notebook]
    if expected.run.basket:
        found += ["--basket", folder / expected.run.basket]
    for name, value in expected.run.parameters.items():
        found += ["-p", name, value]
    for text in expected.run.maps:
        found += ["--map", text]
    for path in expected.link.ignore:
        found += ["--ignore", path]
    found += [f"--extra={name}" for name in expected.link.extras]
    found += [f"--group={name}" for name in expected.link.groups]
    found += [] if expected.link.default_groups else ["--no-default-groups"]
    return [*found, "--as-of", expected.link.as_of] if expected.link.as_of else found


def shown(notebook: Path) -> str:
    """Return all text that the cells of an executed notebook put out."""
    outputs = [out for cell in json.loads(notebook.read_bytes())["cells"] for out in cell.get("outputs", [])]
    texts = [
        out.get("text") or out.get("data", {}).get("text/plain") or out.get("ename", "") for out in outputs
    ]
    return "\n".join("".join(text) for text in texts)


def main_channel(session) -> str:
    """Return the address of the channel that the samples know as conda-forge."""
    return (channels(session.tools) / MAIN).as_uri()


def lock_of(image_id: str, session) -> EnvironmentLock:
    """Return the lock that lies in the image."""
    image = session.tools.store.get("images-by-id", image_id.removeprefix("sha256:"), Image)
    roots = [session.tools.store.tree(key).root for key in reversed(image.trees)]
    path = next(
        root / LOCK_IN_IMAGE.lstrip("/") for root in roots if (root / LOCK_IN_IMAGE.lstrip("/")).is_file()
    )
    return decode(path.read_bytes(), EnvironmentLock)


@pytest.mark.engine("bubblewrap")
@pytest.mark.parametrize("name", sorted(path.parent.name for path in SAMPLES.glob("*/expected.toml")))
def test_the_sample_does_what_it_promises(name, reprolake, session, tmp_path):
    """Exit code, status, files, outputs of cells, messages and locked versions are those of expected.toml."""
    folder = SAMPLES / name
    expected = msgspec.convert(tomllib.loads((folder / "expected.toml").read_text()), Expected)
    want = expected.expect
    channel = {"REPROLAKE_CONDA_CHANNELS": f"conda-forge={main_channel(session)}"} if want.conda else {}
    done = reprolake("run", *arguments(folder, expected), "--stage", tmp_path, "--json", **channel)
    assert done.returncode == want.exit_code, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == want.status
    result = Path(told["result"])
    checked = read_result(result)
    assert checked.intact
    files = {file.path for file in checked.staged.manifest.files}
    assert set(want.outputs) <= files
    assert not set(want.no_outputs) & files
    text = shown(result / Path(expected.run.notebook).name)
    assert [part for part in want.in_notebook if part not in text] == []
    assert [part for part in want.not_in_notebook if part in text] == []
    assert [part for part in want.in_messages if part not in done.stderr] == []
    lock = lock_of(told["image"], session)
    versions = {wheel.name: wheel.version for wheel in lock.wheels}
    assert lock.interpreter.version.startswith(want.python)
    assert {name: versions.get(name) for name in want.locked} == want.locked
    conda = {package.name: package.version for package in lock.conda.packages} if lock.conda else {}
    assert {name: conda.get(name) for name in want.conda} == want.conda
    assert {wheel.name: wheel.version for wheel in lock.built} == want.built
    assert set(want.apt) <= {deb.name for deb in lock.debian.extra}
    assert (lock.project.name if lock.project else "") == want.project
    assert (lock.environment.obeyed.path if lock.environment.obeyed else "") == want.obeyed


def test_every_sample_is_a_test():
    """No sample repository is without expectations."""
    folders = {path.name for path in SAMPLES.iterdir() if path.is_dir()}
    assert folders == {path.parent.name for path in SAMPLES.glob("*/expected.toml")}
