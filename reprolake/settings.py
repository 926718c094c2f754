"""Every setting with the place where it was said: flags, environment, files and what this host is configured to.

What is said later in this list wins: default, /etc/reprolake/reprolake.toml, the user's reprolake.toml, the project's (named
with --config or REPROLAKE_CONFIG), REPROLAKE_*, flags. No file is read because it lies in the working folder: that may be a
stranger's repository, and the settings say where packages come from and which login they are asked for with.
"""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake import conda_settings
from reprolake.amounts import LIMITS, LimitSetting
from reprolake.apt import configured_mirrors
from reprolake.conda_settings import CondaTable
from reprolake_builder.documents.base import Document
from reprolake_builder.errors import ReprolakeError, without_logins
from reprolake_builder.network.policy import NONE
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.cgroups import available_memory
from reprolake_builder.sandboxes.interface import Limits
from reprolake_builder.sandboxes.names import AUTO, NAMES
from reprolake_builder.site import PYTHON_SOURCES
from reprolake_runner.bounds import Bounds

SITE_FILE = Path("/etc/reprolake/reprolake.toml")
SYSTEM_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
DATED_ARCHIVE = "https://snapshot.debian.org/archive/{archive}/{date}"
_FILE_NAME = "reprolake.toml"
_ADDRESS = re.compile(r"(?:https?|file)://\S+")
_GATEWAY = re.compile(r"[a-z0-9.-]+=https?://[^\s/?#]+(?:/[^\s?#]*)?")
_LISTS = {
    "shared_stores": os.pathsep,
    **dict.fromkeys(("extra_index_urls", "gitlab_hosts", "network_inward", "python_sources"), " "),
}
_PYTHONS = {
    "python_downloads": ("UV_PYTHON_DOWNLOADS_JSON_URL", "default: uv's own list"),
    "python_mirror": ("UV_PYTHON_INSTALL_MIRROR", "default: where the list has them"),
}


class UsageError(ReprolakeError):
    """The command line or a configuration file asks for something that does not exist."""

    exit_code = 2


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """reprolake.toml. Every value is optional; an unknown key is an error."""

    store: str = ""
    shared_stores: tuple[str, ...] = ()
    debian_mirror: str = ""
    debian_security_mirror: str = ""
    dated_archive: str = ""
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    keyring: str = ""
    gateways: dict[str, str] = {}
    gitlab_hosts: tuple[str, ...] = ()
    ca_bundle: str = ""
    python_sources: tuple[str, ...] = ()
    python_downloads: str = ""
    python_mirror: str = ""
    conda: CondaTable = CondaTable()
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    sandbox: str = ""
    network: str = ""
    network_inward: tuple[str, ...] = ()
    max_timeout: int | float | str = ""
    max_execution_timeout: int | float | str = ""
    max_stall_timeout: int | float | str = ""
    max_memory_bytes: int | str = ""
    max_cpus: int | float | str = ""
    max_cpu_seconds: int | float | str = ""
    max_processes: int | str = ""
    max_disk_bytes: int | str = ""
    max_messages: int | str = ""
    max_message_bytes: int | str = ""
    max_messages_bytes: int | str = ""
    max_open_files: int | str = ""
    max_file_bytes: int | str = ""
    max_tmp_bytes: int | str = ""


class Setting(Document, frozen=True, kw_only=True):
    """A value, written as its environment variable is, and where it was said."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says: host paths, "" for nothing."""

    store: str = ""
    config: str = ""


def read_settings(environment: Mapping[str, str], flags: Flags) -> dict[str, Setting]:
    """Return all settings. Raises UsageError for a file or value that cannot be understood."""
    settings = _defaults(environment)
    for path in (SITE_FILE, _user_file(environment)):
        settings |= _from_file(path)
    if named := flags.config or environment.get("REPROLAKE_CONFIG", ""):
        settings |= _from_file(Path(named).expanduser(), must_exist=True)
    for name in settings:
        variable = f"REPROLAKE_{name.upper()}"
        if value := environment.get(variable, ""):
            settings[name] = Setting(value=value, origin=variable)
    if flags.store:
        settings["store"] = Setting(value=flags.store, origin="--store")
    for name in ("http_proxy", "https_proxy"):  # libraries differ in what they make of HOST:PORT alone
        proxy = settings[name]
        if proxy.value and "://" not in proxy.value:
            settings[name] = Setting(value=f"http://{proxy.value}", origin=proxy.origin)
    _check(settings)
    refuse_beyond(settings, site_maxima())
    return settings


def site_maxima() -> dict[str, Setting]:
    """Return the limits that the site's file sets, which nobody goes beyond. Raises UsageError when it cannot be understood."""
    limits = {limit.setting for limit in LIMITS}
    return {name: setting for name, setting in _from_file(SITE_FILE).items() if name in limits}


def refuse_beyond(settings: Mapping[str, Setting], maxima: Mapping[str, Setting]) -> None:
    """Raise UsageError for a limit that is no amount, or that is beyond what the site allows."""
    for limit in LIMITS:
        said = settings[limit.setting]
        most = maxima.get(limit.setting)
        asked, allowed = (amount(limit, one) if one else None for one in (said, most))
        if allowed is not None and (asked is None or asked > allowed) and most is not None:
            raise UsageError(
                f"{said.origin} asks for {said.value or 'no limit'}, and this site allows {most.value} ({limit.setting} in {most.origin})",
                hint="ask for less, or leave it out",
            )


def amount(limit: LimitSetting, said: Setting) -> float | None:
    """Return the amount that a setting says, None for no limit. Raises UsageError, which says where it stands."""
    try:
        return limit.parse(said.value) if said.value else None
    except ValueError as error:
        raise UsageError(f"{said.origin}: {limit.setting}: {printable(str(error))}") from error


def shown(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings as they may be shown to others: without logins."""
    return {
        name: Setting(value=printable(without_logins(setting.value)), origin=printable(setting.origin))
        for name, setting in settings.items()
    }


def unread_file(environment: Mapping[str, str], flags: Flags) -> str:
    """Return the name of the working folder's reprolake.toml when it is none of those that are read, else ""."""
    here = Path(_FILE_NAME)
    read = (SITE_FILE, _user_file(environment), Path(flags.config or environment.get("REPROLAKE_CONFIG", "")))
    try:
        if not here.is_file() or any(path.is_file() and path.samefile(here) for path in read):
            return ""
    except OSError:
        return ""
    return _FILE_NAME


def _defaults(environment: Mapping[str, str]) -> dict[str, Setting]:
    unset = Setting(value="", origin="default")
    settings = {
        **dict.fromkeys((*_File.__struct_fields__, *conda_settings.NAMES), unset),
        "store": Setting(value=str(_default_store(environment)), origin="default"),
        "debian_mirror": Setting(value="", origin="default: the dated archive"),
        "debian_security_mirror": Setting(value="", origin="default: the dated archive"),
        "dated_archive": Setting(value=DATED_ARCHIVE, origin="default"),
        "index_url": _pip_index(environment),
        "gitlab_hosts": Setting(value="gitlab.com", origin="default"),
        "ca_bundle": _default_ca_bundle(environment),
        "sandbox": Setting(value=AUTO, origin="default"),
        "network": Setting(value=NONE, origin="default"),
        "conda_channel_priority": Setting(value="strict", origin="default"),
        "python_sources": Setting(value=" ".join(PYTHON_SOURCES), origin="default"),
        **{
            name: Setting(
                value=environment.get(variable, ""), origin=variable if variable in environment else origin
            )
            for name, (variable, origin) in _PYTHONS.items()
        },
        **_default_limits(),
    }
    del settings["conda"]
    for name, (value, place) in conda_settings.from_condarc(environment).items():
        settings[name] = Setting(value=value, origin=place)
    for name, found in zip(("debian_mirror", "debian_security_mirror"), configured_mirrors(), strict=True):
        if found is not None:
            settings[name] = Setting(value=found.url, origin=str(found.file))
    if environment.get("UV_KEYRING_PROVIDER"):
        settings["keyring"] = Setting(value=environment["UV_KEYRING_PROVIDER"], origin="UV_KEYRING_PROVIDER")
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        general = () if name == "no_proxy" else ("all_proxy", "ALL_PROXY")
        for variable in (name, name.upper(), *general):
            if environment.get(variable):
                settings[name] = Setting(value=environment[variable], origin=variable)
                break
    return settings


def _default_limits() -> dict[str, Setting]:
    limits, bounds = Limits(), Bounds()
    numbers = {
        "max_processes": limits.processes,
        "max_open_files": limits.open_files,
        "max_file_bytes": limits.file_bytes,
        "max_tmp_bytes": limits.tmp_bytes,
        "max_stall_timeout": bounds.stall_seconds,
        "max_messages": bounds.messages.messages,
        "max_message_bytes": bounds.messages.message_bytes,
        "max_messages_bytes": bounds.messages.total_bytes,
    }
    found = {name: Setting(value=f"{number:.0f}", origin="default") for name, number in numbers.items()}
    memory = available_memory() // 10 * 9
    found["max_memory_bytes"] = Setting(
        value=str(memory), origin="default: nine tenths of what there is here"
    )
    found["max_disk_bytes"] = Setting(
        value="", origin="default: what leaves room to stage the result, and 512 MiB"
    )
    return found


def _check(settings: Mapping[str, Setting]) -> None:
    dated = settings["dated_archive"]
    if missing := [part for part in ("{archive}", "{date}") if part not in dated.value]:
        raise UsageError(
            f"dated_archive is {without_logins(dated.value)!r} ({dated.origin}), which lacks {missing[0]}",
            hint="it is an address like https://example.org/archive/{archive}/{date}, where {archive} becomes debian or "
            "debian-security and {date} a time like 20260131T000000Z",
        )
    keyring = settings["keyring"]
    if keyring.value not in {"", "disabled", "subprocess"}:
        raise UsageError(
            f"keyring is {keyring.value!r} ({keyring.origin}), and can be subprocess or disabled",
            hint="subprocess asks the program `keyring`",
        )
    sandbox = settings["sandbox"]
    if sandbox.value not in NAMES:
        raise UsageError(
            f"sandbox is {printable(sandbox.value)!r} ({sandbox.origin}), and can be {', '.join(NAMES)}",
            hint="auto takes the first that works here",
        )
    for name in conda_settings.NAMES:
        if wrong := conda_settings.problem(name, settings[name].value):
            told = without_logins(printable(wrong))
            raise UsageError(f"{name} ({settings[name].origin}): {told}")
    _check_pythons(settings)
    gateways = settings["gateways"]
    for pair in gateways.value.split():
        if not _GATEWAY.fullmatch(pair):
            raise UsageError(
                f"gateways holds {without_logins(pair)!r} ({gateways.origin}), where HOST=URL is expected",
                hint="like zenodo.org=https://cache.example.org/zenodo; several stand apart by spaces",
            )


def _check_pythons(settings: Mapping[str, Setting]) -> None:
    sources = settings["python_sources"]
    names = sources.value.split()
    if len(set(names)) < len(names):
        raise UsageError(f"python_sources names a source twice ({sources.origin})")
    for name in names:
        if name not in PYTHON_SOURCES:
            raise UsageError(
                f"python_sources holds {printable(name)!r} ({sources.origin}), and can hold {', '.join(PYTHON_SOURCES)}",
                hint="they are looked at in this order; conda's Pythons come where an environment.yml asks for them",
            )
    for name in _PYTHONS:
        place = settings[name]
        if place.value and not _ADDRESS.fullmatch(place.value):
            raise UsageError(
                f"{name} is {without_logins(printable(place.value))!r} ({place.origin}), which is no address",
                hint="an address begins with https:// or file://",
            )


def _default_store(environment: Mapping[str, str]) -> Path:
    # Sandboxes never run as root: root's store lies where the user they run as can read it.
    if os.geteuid() == 0:
        return Path("/var/cache/reprolake")
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reprolake"


def _default_ca_bundle(environment: Mapping[str, str]) -> Setting:
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT"):
        if environment.get(name):
            return Setting(value=environment[name], origin=name)
    for path in SYSTEM_CA_BUNDLES:
        if Path(path).is_file():
            return Setting(value=path, origin="the system's certificates")
    return Setting(value="", origin="the certificates of the requests library")


def _pip_index(environment: Mapping[str, str]) -> Setting:
    """Return the index that pip uses, unless uv has one of its own, which it then finds by itself."""
    if any(environment.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")):
        return Setting(value="", origin="uv's environment")
    if environment.get("PIP_INDEX_URL"):
        return Setting(value=environment["PIP_INDEX_URL"], origin="PIP_INDEX_URL")
    config_home = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    named = environment.get("PIP_CONFIG_FILE")
    paths = [Path(named)] if named else []
    for path in (*paths, config_home / "pip/pip.conf", Path.home() / ".pip/pip.conf", Path("/etc/pip.conf")):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself complains about a broken file; here it merely says nothing
        if index := parser.get("global", "index-url", fallback=""):
            return Setting(value=index, origin=str(path))
    return Setting(value="", origin="uv's own configuration")


def _user_file(environment: Mapping[str, str]) -> Path:
    config_home = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config_home / "reprolake" / _FILE_NAME


def _from_file(path: Path, *, must_exist: bool = False) -> dict[str, Setting]:
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_File)
    except FileNotFoundError as error:
        if must_exist:
            raise UsageError(f"{path} is not there", hint="--config names a reprolake.toml") from error
        return {}
    except msgspec.ValidationError as error:
        in_conda = str(error).endswith("`$.conda`")
        known = ", ".join((CondaTable if in_conda else _File).__struct_fields__)
        where = " of [conda]" if in_conda else ""
        raise UsageError(f"{path}: {error}", hint=f"known settings{where} are {known}") from error
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, OSError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}",
            hint="a setting is a line of TOML, like: max_memory_bytes = '16G'",
        ) from error
    said = {name: value for name, value in msgspec.structs.asdict(found).items() if value}
    del said["conda"]
    said |= found.conda.said()
    said |= {name: mark.join(said[name]) for name, mark in _LISTS.items() if name in said}
    if found.gateways:
        said["gateways"] = " ".join(f"{host}={url}" for host, url in found.gateways.items())
    return {name: Setting(value=str(value), origin=str(path)) for name, value in said.items()}
