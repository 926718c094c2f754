"""Settings about conda: the `[conda]` table of reprolake.toml, and what this host's conda is configured to.

Of conda's own files only what says where channels are is read, never what would change which packages are chosen. Source:
conda's documentation, "Using the .condarc conda configuration file".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from reprolake_builder.site import CondaSite

NAMES = ("conda_channels", "conda_channel_alias", "conda_defaults", "conda_channel_priority")
"""Settings as they are called in the environment, after REPROLAKE_ and in capitals."""
_ADDRESS = re.compile(r"(?:https?|file)://[^\s]+")
_PAIR = re.compile(r"([^\s=]+)=((?:https?|file)://[^\s]+)")
_PRIORITIES: dict[str, Literal["strict", "flexible", "disabled"]] = {
    "strict": "strict",
    "flexible": "flexible",
    "disabled": "disabled",
}


class CondaTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[conda]` of reprolake.toml: where channels are (one address or several to try in order), and how they are used."""

    channels: dict[str, str | tuple[str, ...]] = {}
    channel_alias: str = ""
    defaults: tuple[str, ...] = ()
    channel_priority: str = ""

    def said(self) -> dict[str, str]:
        """What the table says, written as in the environment."""
        pairs = [(name, one) for name, places in self.channels.items() for one in _several(places)]
        told = (_joined(pairs), self.channel_alias, " ".join(self.defaults), self.channel_priority)
        return {name: value for name, value in zip(NAMES, told, strict=True) if value}


def problem(name: str, value: str) -> str:
    """Return what is wrong with a setting's value, "" when nothing is."""
    if name == "conda_channels":
        for pair in value.split():
            if not _PAIR.fullmatch(pair):
                return f"{pair!r} is not of the form NAME=ADDRESS, where the address begins with https:// or file://"
    if name == "conda_channel_alias" and value and not _ADDRESS.fullmatch(value):
        return f"{value!r} is no address that begins with https:// or file://"
    if name == "conda_channel_priority" and value not in {"", *_PRIORITIES}:
        return f"{value!r} is none of {', '.join(_PRIORITIES)}"
    return ""


def from_condarc(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what conda's own files on this host say of channels: value and file by setting; a later file wins."""
    found: dict[str, tuple[str, str]] = {}
    pairs: dict[str, tuple[str, ...]] = {}
    for path in _files(environment):
        told = _read(path)
        if isinstance(alias := told.get("channel_alias"), str) and _ADDRESS.fullmatch(alias):
            found["conda_channel_alias"] = (alias, str(path))
        if isinstance(listed := told.get("default_channels"), list):
            found["conda_defaults"] = (" ".join(str(one) for one in listed if one), str(path))
        pairs |= dict(_channels(told))
        if pairs and dict(_channels(told)):
            joined = _joined((name, one) for name, places in pairs.items() for one in places)
            found["conda_channels"] = (joined, str(path))
    return {name: told for name, told in found.items() if told[0] and not problem(name, told[0])}


def conda_site(values: Mapping[str, str]) -> CondaSite:
    """Return where channels are, by checked settings. Addresses among the defaults get names, for the lock holds none."""
    channels: dict[str, tuple[str, ...]] = {}
    for pair in values["conda_channels"].split():
        name, _, address = pair.partition("=")
        channels[name] = (*channels.get(name, ()), address)
    defaults = []
    for one in values["conda_defaults"].split():
        name = one
        if "://" in one:
            parts = one.rstrip("/").split("/")
            name = "/".join(parts[-2:]) if parts[-2] == "pkgs" else parts[-1]
            channels.setdefault(name, (one,))
        defaults.append(name)
    return CondaSite(
        channels=channels,
        alias=values["conda_channel_alias"],
        defaults=tuple(defaults),
        priority=_PRIORITIES[values["conda_channel_priority"]],
    )


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    yield Path("/etc/conda/.condarc")
    yield Path("/etc/conda/condarc")
    yield config / "conda/.condarc"
    yield home / ".conda/.condarc"
    yield home / ".condarc"
    if named := environment.get("CONDARC"):
        yield Path(named)


def _read(path: Path) -> dict[str, object]:
    """Return what a file says; conda itself complains about a broken one, here it merely says nothing."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    from reprolake_builder.errors import DetectError
    from reprolake_builder.yaml_nodes import parse_yaml, plain

    try:
        found = plain(parse_yaml(text, str(path)))
    except DetectError:
        return {}
    return dict(found) if isinstance(found, dict) else {}


def _channels(told: Mapping[str, object]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the addresses of channels: `custom_channels` are bases below which a name lies, `mirrored_channels` lists."""
    custom, mirrored = told.get("custom_channels"), told.get("mirrored_channels")
    for name, base in custom.items() if isinstance(custom, dict) else ():
        if isinstance(base, str) and _PAIR.fullmatch(f"{name}={base}"):
            yield name, (f"{base.rstrip('/')}/{name}",)
    for name, places in mirrored.items() if isinstance(mirrored, dict) else ():
        if isinstance(places, list):
            found = tuple(one for one in places if isinstance(one, str) and _PAIR.fullmatch(f"{name}={one}"))
            if found:
                yield name, found


def _several(places: str | tuple[str, ...]) -> tuple[str, ...]:
    return (places,) if isinstance(places, str) else places


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}={place}" for name, place in pairs)
