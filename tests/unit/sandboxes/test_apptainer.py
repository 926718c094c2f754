"""What apptainer is told, and what it is not."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from pathlib import Path

import pytest
from sandbox_programs import HOST, output, spec

from reprolake_builder.sandboxes import apptainer
from reprolake_builder.sandboxes.apptainer import Apptainer
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite

pytestmark = pytest.mark.engine("apptainer")


def runtime(given):
    """What the launcher would become."""
    return Apptainer()._runtime(given, None, 9, copied=False)


def test_nothing_of_the_host_is_on_the_command_line(tmp_path):
    """Neither sources of binds nor variables, arguments or limits can be read in apptainer's own arguments."""
    view = CopyOnWrite(tmp_path / "lower", tmp_path / "scratch", "/repo")
    given = spec(HOST, "echo secret", binds=(Bind(tmp_path, "/in"),), copy_on_write=view, env={"A": "secret"})
    told = runtime(given)
    assert str(tmp_path) not in " ".join(told.words)
    assert "secret" not in " ".join(told.words)
    assert dict(told.env).keys() == {"PATH", "HOME"}


def test_targets_cannot_become_options(tmp_path):
    """A path with commas, quotes or equals signs is one value."""
    odd = '/a,ro,source=/etc,"b=c'
    words = runtime(spec(HOST, "true", binds=(Bind(tmp_path, odd),))).words
    values = [next(csv.reader([word])) for name, word in itertools.pairwise(words) if name == "--mount"]
    assert ["type=bind", "source=/tmp/b/0", f"destination={odd}", "ro"] in values


def test_an_odd_target_is_mounted(tmp_path):
    """Apptainer takes such a path for what it is."""
    (tmp_path / "file").write_text("here")
    given = spec(HOST, 'cat "/a,b/c d/file"', binds=(Bind(tmp_path, "/a,b/c d"),))
    assert output(Apptainer(), given) == (0, "here", "")


def test_the_configuration_is_ours():
    """Everything that a site may have switched on is off, and our file is what apptainer reads."""
    lines = dict(line.split(" = ") for line in apptainer._CONFIGURATION.decode().splitlines())
    on = {name for name, value in lines.items() if value == "yes"}
    assert on == {"allow ipc ns", "allow pid ns", "allow user ns", "allow uts ns", "mount proc", "mount slave",
                  "user bind control", "allow container dir"}  # fmt: skip
    over = dict(runtime(spec(HOST, "true")).enclosure["over"])
    assert Path(over["conf"]).name == "apptainer.conf"


@pytest.mark.parametrize(("gpus", "seen"), [("all", None), ("2", "0,1")])
def test_graphics_processors_are_asked_for(gpus, seen):
    """The flag is passed on with the variables that programs look at; a host without any runs the program all the same."""
    given = dataclasses.replace(spec(HOST, 'echo "$LD_LIBRARY_PATH $CUDA_VISIBLE_DEVICES"'), gpus=gpus)
    assert "--nv" in runtime(given).words
    assert "--nv" not in runtime(dataclasses.replace(given, gpus="")).words
    status, told, _ = output(Apptainer(), given)
    assert (status, told) == (0, f"/.singularity.d/libs {seen or ''}\n")
