"""Which sandbox is used."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reprolake.options import UsageError, load_options
from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes import choice
from reprolake_builder.sandboxes.names import AUTO, NAMES


@dataclass
class Way:
    """A way to isolate that has a problem, and one that shows only when it is tried."""

    lacks: str = ""
    fails: str = ""
    passes_gpus: bool = False

    def missing(self):
        return self.lacks

    def problem(self):
        return self.lacks or self.fails


@pytest.fixture
def ways(monkeypatch):
    """Two ways, the first of which lacks something."""
    found = {"first": Way(lacks="no first here"), "second": Way(passes_gpus=True)}
    monkeypatch.setattr(choice, "_MAKERS", {name: lambda _, way=way: way for name, way in found.items()})
    return found


def test_every_name_has_its_maker():
    """What the command line offers is what can be made, and automatic choice."""
    assert (AUTO, *choice._MAKERS) == NAMES


def test_the_first_that_works_is_taken(ways):
    """The choice says why those before it were not."""
    found = choice.choose(AUTO, {})
    assert (found.name, found.sandbox) == ("second", ways["second"])
    assert found.why == "the first that works here; not first: no first here"


def test_one_that_is_named_and_cannot_be_used_is_refused(ways):
    """Nothing else is taken in its place; the error says what it lacks and what to do."""
    with pytest.raises(SandboxError, match="the sandbox first cannot be used here: no first here") as caught:
        choice.choose("first", {})
    assert caught.value.exit_code == 23
    assert "--sandbox auto" in caught.value.hint


def test_none_at_all_is_refused(ways):
    """When none works the error names the reason of each."""
    ways["second"].fails = "it does not start"
    with pytest.raises(SandboxError, match="not first: no first here; not second: it does not start"):
        choice.choose(AUTO, {})


def test_graphics_processors_need_one_that_passes_them_on(ways):
    """One that passes on none is refused by name and passed over by itself."""
    ways["first"].lacks = ""
    assert choice.choose(AUTO, {}, gpus="all").name == "second"
    with pytest.raises(SandboxError, match="passes on no graphics processors"):
        choice.choose("first", {}, gpus="1")


def test_the_setting_is_one_of_the_names(tmp_path):
    """It can be said in the environment; what is no name is refused with those that are."""
    assert load_options({"HOME": str(tmp_path)}).settings["sandbox"].value == AUTO
    said = load_options({"HOME": str(tmp_path), "REPROLAKE_SANDBOX": "podman"}).settings["sandbox"]
    assert (said.value, said.origin) == ("podman", "REPROLAKE_SANDBOX")
    with pytest.raises(
        UsageError, match=r"sandbox is 'chroot' .REPROLAKE_SANDBOX., and can be auto, bubblewrap"
    ):
        load_options({"HOME": str(tmp_path), "REPROLAKE_SANDBOX": "chroot"})
