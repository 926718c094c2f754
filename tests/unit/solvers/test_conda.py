"""Solving conda packages as of a date, against channels of the tests."""

from __future__ import annotations

import contextlib
import json
import tomllib
from datetime import UTC, datetime

import pytest
from backports import zstd
from conda_channel import served
from conda_packages import File, Package, write_channel

from reprolake_builder.documents.conda import CondaChannel
from reprolake_builder.documents.environment import Asked
from reprolake_builder.download import Downloader
from reprolake_builder.errors import DetectError, FetchError, LockError
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import CondaSite, Site
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.conda import CondaAsking, UnsolvableError, solve_conda
from reprolake_builder.solvers.conda_index import find_channel
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = AsOf(datetime(2026, 1, 1, tzinfo=UTC), "now", hides=False)
THEN = AsOf(datetime(2024, 6, 1, tzinfo=UTC), "--as-of 2024-06-01", hides=True)
OLD, NEW = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
FILES = {"share/x.txt": File(b"x\n")}


def package(name: str, version: str, *depends: str, **more) -> Package:
    """A package with one file, built in 2024 unless told otherwise."""
    return Package(name, version, FILES, depends=depends, **{"timestamp": OLD, **more})


class Told(Progress):
    """Remembers what was said."""

    def __init__(self):
        self.steps, self.warnings = [], []

    @contextlib.contextmanager
    def step(self, label, total=None):
        """Yield a step that is remembered."""
        self.steps.append(label)
        with SILENT.step(label, total) as step:
            yield step

    def warn(self, message):
        """Remember the warning."""
        self.warnings.append(message)


@pytest.fixture
def site_of(tmp_path):
    """Makes Tools whose site has these channels below a folder of the test's own."""

    def make(names, **more):
        found = {name: ((tmp_path / name).as_uri(),) for name in names}
        site = Site(archives={}, conda=CondaSite(channels=found, **more))
        return Tools(Store(tmp_path / "store"), site, Downloader(site))

    return make


@pytest.fixture
def tools(site_of, tmp_path):
    """Two channels: astro with an older tool beside, main with the rest."""
    write_channel(
        tmp_path / "main",
        [
            package("tool", "1.0", "base-lib >=1", "__glibc >=2.30,<3.0.a0"),
            package("tool", "2.0", "base-lib >=2", timestamp=NEW),
            package("tool", "3.0", "__glibc >=2.99", timestamp=NEW),
            package("base-lib", "1.5", build_number=3, build="h1_3"),
            package("base-lib", "2.5", timestamp=NEW),
            package("pure", "1.0", noarch="python"),
            package("pure", "1.0", noarch="python", form=".tar.bz2"),
        ],
    )
    write_channel(tmp_path / "astro", [package("tool", "0.5"), package("sky", "1.0", "tool >=1")])
    return site_of(["main", "astro"])


def asked(*specs, channels=("main",), as_of=NOW, **more):
    """What an environment.yml with these specifications asks for."""
    given = [Asked(text=text, origin=f"environment.yml:{line}") for line, text in enumerate(specs, 5)]
    named = [Asked(text=name, origin="environment.yml:2") for name in channels]
    return CondaAsking(tuple(named), tuple(given), (), (), as_of, "2.36", **more)


def chosen(question, tools):
    """The file names of the answer."""
    lock, _ = solve_conda(question, tools)
    return [package.filename for package in lock.packages]


def test_the_newest_that_fits_the_machine_is_chosen_and_pinned_whole(tools):
    """The newest version whose demands the declared machine meets, with everything that a lock needs, and its dependencies."""
    lock, notes = solve_conda(asked("tool", "pure"), tools)
    assert [one.filename for one in lock.packages] == [
        "base-lib-2.5-h0_0.conda",
        "pure-1.0-h0_0.conda",
        "tool-2.0-h0_0.conda",
    ]
    base, pure, tool = lock.packages
    assert (base.requested, tool.requested, pure.subdir, pure.noarch) == (False, True, "noarch", "python")
    assert tool.channel == "main"
    assert tool.depends == ("base-lib >=2",)
    data = tools.downloader.get(f"{tools.site.conda.channels['main'][0]}/linux-64/{tool.filename}")
    assert len(data) == tool.size
    assert len(tool.md5) == 32
    assert [one.name for one in lock.channels] == ["main"]
    assert notes == ()


def test_what_was_built_after_the_cut_off_does_not_exist(tools, tmp_path):
    """As of a date the answer is what it was then, whenever the index was made."""
    path = tmp_path / "main/linux-64/repodata.json"
    index = json.loads(path.read_text())
    for record in index["packages.conda"].values():
        record["indexed_timestamp"] = int(NEW.timestamp() * 1000)
    path.write_text(json.dumps(index))
    assert chosen(asked("tool", as_of=THEN), tools) == ["base-lib-1.5-h1_3.conda", "tool-1.0-h0_0.conda"]


def test_a_package_of_unknown_age_is_told_of(site_of, tmp_path):
    """What says nothing of its build is taken as old, with a note."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    path = tmp_path / "main/linux-64/repodata.json"
    index = json.loads(path.read_text())
    for record in index["packages.conda"].values():
        del record["timestamp"]
    path.write_text(json.dumps(index))
    lock, notes = solve_conda(asked("tool", as_of=THEN), site_of(["main"]))
    assert [one.name for one in lock.packages] == ["tool"]
    assert "tool" in notes[0]


def test_strict_priority_takes_a_package_from_the_first_channel_that_has_it(tools):
    """The first channel that has a package is where it comes from; the error says how to have it otherwise."""
    assert "tool-2.0-h0_0.conda" in chosen(asked("tool", channels=("main", "astro")), tools)
    assert chosen(asked("tool", channels=("astro", "main")), tools) == ["tool-0.5-h0_0.conda"]
    with pytest.raises(UnsolvableError) as caught:
        chosen(asked("sky", channels=("astro", "main")), tools)
    assert "channel_priority" in caught.value.hint


def test_priority_can_be_switched_off(tools, site_of):
    """Where the configuration does not insist on priority the best of all channels is taken."""
    loose = site_of(["main", "astro"], priority="disabled")
    assert "tool-2.0-h0_0.conda" in chosen(asked("sky", channels=("astro", "main")), loose)


def test_a_specification_can_name_its_channel(tools):
    """CHANNEL::NAME takes the package from there, and the channel is part of the lock though no list names it."""
    lock, _ = solve_conda(asked("astro::tool", "base-lib"), tools)
    assert [(one.name, one.channel) for one in lock.packages] == [("base-lib", "main"), ("tool", "astro")]
    assert [one.name for one in lock.channels] == ["main", "astro"]


def test_defaults_are_what_the_configuration_says(tools, site_of):
    """The name "defaults" stands for the configured channels, and without any the error says what to write."""
    assert chosen(asked("pure", channels=("defaults",)), site_of(["main", "astro"], defaults=("main",)))
    with pytest.raises(LockError) as caught:
        chosen(asked("pure", channels=("defaults",)), tools)
    assert "[conda] defaults" in caught.value.hint


def test_unknown_defaults_beside_a_known_channel_are_told_of(tools):
    """Where the configuration does not know "defaults", the other channels serve, with a note, also when they do not suffice."""
    lock, notes = solve_conda(asked("pure", channels=("main", "defaults")), tools)
    assert [one.name for one in lock.channels] == ["main"]
    assert "[conda] defaults" in notes[0]
    with pytest.raises(UnsolvableError, match="nothing is taken from the channel"):
        chosen(asked("nope", channels=("main", "defaults")), tools)


def test_what_cannot_be_met_is_told_with_its_lines(tools):
    """The error names the packages, the channels, the date and the lines of the file."""
    with pytest.raises(UnsolvableError) as caught:
        chosen(asked("tool >=2", as_of=THEN), tools)
    assert "as of 2024-06-01" in caught.value.message
    assert "tool >=2 stands in environment.yml:5" in caught.value.message
    assert "--as-of" in caught.value.hint
    assert "tool 3.0 was built after 2024-06-01" in caught.value.message


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("tool=7", "of tool there are 3.0, 2.0, 1.0"),
        ("toll", "the channels have no toll; near to it: tool"),
        ("zzzz", "the channels have no zzzz"),
    ],
)
def test_what_there_is_instead_is_told(tools, spec, told):
    """A version that is not there ends with those that are, a name with those that are nearly it."""
    with pytest.raises(UnsolvableError) as caught:
        chosen(asked(spec), tools)
    assert told in caught.value.message


@pytest.mark.parametrize("text", ["tool=>1", "to ol::x", "num*", "tool[", "tool >=1 <2 <3 x y"])
def test_a_specification_that_means_nothing_is_told_by_line(tools, text):
    """Words that the solver does not understand stop with file and line."""
    with pytest.raises((DetectError, LockError)) as caught:
        chosen(asked("pure", text), tools)
    assert "environment.yml:6" in caught.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", None), ("size", None)],
)
def test_what_cannot_be_pinned_is_not_on_offer(site_of, tmp_path, field, value):
    """A package without size or SHA-256 is passed over for an older one that has both."""
    write_channel(tmp_path / "main", [package("tool", "1.0"), package("tool", "2.0")])
    path = tmp_path / "main/linux-64/repodata.json"
    index = json.loads(path.read_text())
    del index["packages.conda"]["tool-2.0-h0_0.conda"][field]
    path.write_text(json.dumps(index))
    assert chosen(asked("tool"), site_of(["main"])) == ["tool-1.0-h0_0.conda"]


@pytest.mark.parametrize("name", ["../../evil-1.0-0.conda", "e vil-1.0-0.conda", "/etc-1-0.conda"])
def test_odd_file_names_of_a_channel_are_never_pinned(site_of, tmp_path, name):
    """A channel that names a package outside its folder has nothing of that name to offer."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    path = tmp_path / "main/linux-64/repodata.json"
    index = json.loads(path.read_text())
    records = index["packages.conda"]
    records[name] = {**records["tool-1.0-h0_0.conda"], "version": "9.0"}
    path.write_text(json.dumps(index))
    assert chosen(asked("tool"), site_of(["main"])) == ["tool-1.0-h0_0.conda"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff\xfe", b'{"packages": 3}', b'{"packages.conda": {"x-1-0.conda\\n": {}}}']
)
def test_a_damaged_index_is_told_of(site_of, tmp_path, data):
    """An index that is none ends in an error, not in an empty channel."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    (tmp_path / "main/linux-64/repodata.json").write_bytes(data)
    with pytest.raises(LockError):
        chosen(asked("tool"), site_of(["main"]))


def test_indexes_are_read_compressed_and_again_when_they_change(site_of, tmp_path):
    """A .zst beside the index is preferred, and a changed one is seen at once."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    plain = tmp_path / "main/linux-64/repodata.json"
    packed = plain.with_name("repodata.json.zst")
    packed.write_bytes(zstd.compress(plain.read_bytes()))
    plain.write_text("{")
    tools = site_of(["main"])
    assert chosen(asked("tool"), tools) == ["tool-1.0-h0_0.conda"]
    write_channel(tmp_path / "main", [package("tool", "1.0"), package("tool", "1.1")])
    packed.write_bytes(zstd.compress(plain.read_bytes()))
    assert chosen(asked("tool"), tools) == ["tool-1.1-h0_0.conda"]
    packed.write_bytes(packed.read_bytes()[:-7])
    assert chosen(asked("tool"), tools) == ["tool-1.1-h0_0.conda"]  # from what is kept
    fresh = Tools(Store(tmp_path / "fresh"), tools.site, tools.downloader)
    with pytest.raises(FetchError, match="ends in the middle"):
        chosen(asked("tool"), fresh)


def test_an_index_is_fetched_once_and_serves_when_its_server_is_gone(tmp_path):
    """An unchanged index is not sent again, and without the network the one that is here serves, which is told."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    told = Told()
    with served(tmp_path) as address:
        site = Site(archives={}, conda=CondaSite(channels={"main": (f"{address}/main",)}))
        tools = Tools(Store(tmp_path / "store"), site, Downloader(site), told)
        assert chosen(asked("tool"), tools) == ["tool-1.0-h0_0.conda"]
        assert told.steps
        told.steps.clear()
        assert chosen(asked("tool"), tools) == ["tool-1.0-h0_0.conda"]
        assert told.steps == []
    assert chosen(asked("tool"), tools) == ["tool-1.0-h0_0.conda"]
    assert "is used" in told.warnings[0]
    fresh = Tools(Store(tmp_path / "fresh"), site, Downloader(site))
    with pytest.raises(FetchError) as caught:
        chosen(asked("tool"), fresh)
    assert caught.value.exit_status == 75
    assert "[conda] channels" in caught.value.hint


def test_a_channel_that_is_nowhere_is_told_with_the_setting(site_of, tmp_path):
    """The error names every address that was tried and the setting that says where a channel is, as it can be pasted."""
    with pytest.raises(FetchError) as caught:
        chosen(asked("tool", channels=("lab/astro",)), site_of(["main", "lab/astro"]))
    assert (tmp_path / "lab/astro").as_uri() in caught.value.message
    setting = caught.value.hint.removeprefix("say where it is with ").partition(" in ")[0]
    assert tomllib.loads(setting.replace("] ", "]\n", 1)) == {"conda": {"channels": {"lab/astro": "ADDRESS"}}}


def test_what_an_earlier_lock_has_stays_unless_it_is_upgraded(tools):
    """A newer release is no reason to change; a demand is, and so is being named, whatever the cut-off."""
    kept = ("tool-1.0-h0_0.conda", "base-lib-1.5-h1_3.conda")
    before = ["base-lib-1.5-h1_3.conda", "tool-1.0-h0_0.conda"]
    assert chosen(asked("tool", kept=kept), tools) == before
    assert chosen(asked("tool >=2", kept=kept), tools) == ["base-lib-2.5-h0_0.conda", "tool-2.0-h0_0.conda"]
    assert chosen(asked("tool", kept=kept[1:], as_of=THEN, upgraded=("tool",)), tools) == before
    both = ("tool", "base-lib")
    assert chosen(asked("tool", as_of=THEN, upgraded=both), tools)[1] == "tool-2.0-h0_0.conda"
    assert chosen(asked("tool", kept=("gone-1.0-0.conda",)), tools)[1] == "tool-2.0-h0_0.conda"


def test_a_channel_is_found_without_fetching_it(site_of, tmp_path):
    """The first of its addresses that has an index is told, and nothing is kept of it."""
    write_channel(tmp_path / "main", [package("tool", "1.0")])
    tools = site_of(["main", "astro"])
    assert find_channel(CondaChannel(name="main"), tools) == (tmp_path / "main").as_uri()
    assert not (tools.store.root / "archives").exists()
    with pytest.raises(FetchError, match="astro"):
        find_channel(CondaChannel(name="astro"), tools)
