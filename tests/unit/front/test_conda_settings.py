"""Where conda's channels are: the [conda] table, variables, and conda's own configuration."""

from __future__ import annotations

import pytest

from reprolake import settings
from reprolake.options import UsageError, load_options
from reprolake.settings import shown
from reprolake_builder.site import CondaSite

CONDARC = """\
channels: [conda-forge]
channel_alias: https://channels.example/conda
default_channels:
  - https://mirror.example/pkgs/main
  - https://mirror.example/extra/
custom_channels:
  astro: https://lab.example/channels
  odd: ${HOME}/x
mirrored_channels:
  conda-forge: [https://one.example/cf, https://two.example/cf]
channel_priority: flexible
"""


@pytest.fixture(autouse=True)
def _no_host_files(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SITE_FILE", tmp_path / "site.toml")


def environment(tmp_path, **more):
    """An environment whose home is the test's own."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), **more}


def test_nothing_said_is_the_usual_place_and_strict(tmp_path):
    """Without configuration no channel has an address of its own, and their priority is strict."""
    assert load_options(environment(tmp_path)).site.conda == CondaSite()


def test_the_table_names_channels(tmp_path):
    """Channels have one address or several, and the other settings of the table count as well."""
    (tmp_path / "site.toml").write_text(
        '[conda]\nchannel_alias = "https://a.example"\ndefaults = ["conda-forge"]\nchannel_priority = "disabled"\n'
        '[conda.channels]\nconda-forge = ["file:///srv/cf", "https://m.example/cf"]\nastro = "https://l.example/a"\n'
    )
    found = load_options(environment(tmp_path))
    assert found.site.conda == CondaSite(
        channels={
            "conda-forge": ("file:///srv/cf", "https://m.example/cf"),
            "astro": ("https://l.example/a",),
        },
        alias="https://a.example",
        defaults=("conda-forge",),
        priority="disabled",
    )
    assert found.settings["conda_channels"].origin == str(tmp_path / "site.toml")
    assert "conda" not in found.settings


def test_variables_win(tmp_path):
    """The variable holds pairs apart by spaces, and wins over files."""
    (tmp_path / "site.toml").write_text('[conda]\nchannels = {a = "https://l.example/a"}\n')
    given = environment(tmp_path, REPROLAKE_CONDA_CHANNELS="b=file:///srv/b b=https://l.example/b")
    assert load_options(given).site.conda.channels == {"b": ("file:///srv/b", "https://l.example/b")}


def test_condas_own_files_say_where_channels_are(tmp_path):
    """Aliases, channels with bases, mirrors and defaults of a .condarc count; what would change the choice of packages does not."""
    (tmp_path / ".condarc").write_text(CONDARC)
    found = load_options(environment(tmp_path))
    assert found.site.conda == CondaSite(
        channels={
            "astro": ("https://lab.example/channels/astro",),
            "conda-forge": ("https://one.example/cf", "https://two.example/cf"),
            "pkgs/main": ("https://mirror.example/pkgs/main",),
            "extra": ("https://mirror.example/extra/",),
        },
        alias="https://channels.example/conda",
        defaults=("pkgs/main", "extra"),
    )
    assert found.settings["conda_channels"].origin == str(tmp_path / ".condarc")
    (tmp_path / "other").write_text("channel_alias: https://other.example\n")
    named = environment(tmp_path, CONDARC=str(tmp_path / "other"))
    assert load_options(named).site.conda.alias == "https://other.example"


@pytest.mark.parametrize(
    "text", ["[", "- a", "channel_alias: [x]", "channel_alias: nowhere", "default_channels: x", "\x00"]
)
def test_a_broken_condarc_says_nothing(tmp_path, text):
    """Conda complains about its own files; here they merely say nothing."""
    (tmp_path / ".condarc").write_text(text)
    assert load_options(environment(tmp_path)).site.conda == CondaSite()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", "conda-forge"),
        ("channels", "a=/srv/x"),
        ("channels", "a=s3://x/y"),
        ("channel_alias", "example"),
        ("channel_priority", "loose"),
    ],
)
def test_what_is_no_address_is_refused_by_name(tmp_path, name, value):
    """A wrong value ends with the name of the setting and where it was said."""
    given = environment(tmp_path, **{f"REPROLAKE_CONDA_{name.upper()}": value})
    with pytest.raises(UsageError, match=f"conda_{name} .REPROLAKE_CONDA_{name.upper()}"):
        load_options(given)


def test_tokens_in_addresses_are_not_shown(tmp_path):
    """Conda writes tokens into the path of an address: what is shown of settings leaves them out."""
    token = "ab-12345678-9abc-def0-1234-56789abcdef0"
    given = environment(tmp_path, REPROLAKE_CONDA_CHANNELS=f"lab=https://l.example/t/{token}/lab")
    found = load_options(given)
    assert token not in shown(found.settings)["conda_channels"].value
    assert token in found.site.conda.channels["lab"][0]
