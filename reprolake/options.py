"""Flags, environment and files merged once into a frozen value.

What is said later in this list wins: default, /etc/reprolake/reprolake.toml, the user's reprolake.toml, REPROLAKE_*, flags.
The Debian mirror and the package index default to what apt, uv and pip of this host are configured to use.
"""

from __future__ import annotations

import configparser
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake.apt import configured_mirrors
from reprolake_builder.errors import ReprolakeError
from reprolake_builder.site import Site

SITE_FILE = Path("/etc/reprolake/reprolake.toml")
SYSTEM_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
DATED_ARCHIVE = "https://snapshot.debian.org/archive/{alias}/{{date}}"
_UV_PASSED = ("HOME", "PATH", "XDG_CONFIG_HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
_GIT_PASSED = (
    *_UV_PASSED,
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "LOGNAME",
    "USER",
)
_ENGINE_PASSED = (
    *_UV_PASSED,
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "LOGNAME",
    "USER",
    "TMPDIR",
)


class UsageError(ReprolakeError):
    """The command line or a configuration file asks for something that does not exist."""

    exit_code = 2


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """reprolake.toml. Every value is optional; an unknown key is an error."""

    store: str = ""
    debian_mirror: str = ""
    debian_security_mirror: str = ""
    index_url: str = ""
    ca_bundle: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it was said."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for a whole call. `store` is a host path; `settings` tells the origin of each value."""

    store: Path
    site: Site
    git_environment: Mapping[str, str]
    engine_environment: Mapping[str, str]
    settings: Mapping[str, Setting]


def load_options(environment: Mapping[str, str], store: str = "") -> Options:
    """Return the merged options; `store` is the flag's value. Raises UsageError for a file that cannot be understood."""
    settings = {
        "store": Setting(str(_default_store(environment)), "default"),
        "ca_bundle": _default_ca_bundle(environment),
        "index_url": _pip_index(environment),
        "debian_mirror": Setting("", "default: the dated archive"),
        "debian_security_mirror": Setting("", "default: the dated archive"),
    }
    for name, found in zip(("debian_mirror", "debian_security_mirror"), configured_mirrors(), strict=True):
        if found is not None:
            settings[name] = Setting(found.url, str(found.file))
    for path in (SITE_FILE, _user_file(environment)):
        settings |= _from_file(path)
    for name in settings:
        if value := environment.get(f"REPROLAKE_{name.upper()}", ""):
            settings[name] = Setting(value, f"REPROLAKE_{name.upper()}")
    if store:
        settings["store"] = Setting(store, "--store")
    return Options(
        store=Path(settings["store"].value).expanduser(),
        site=_site({name: setting.value for name, setting in settings.items()}, environment),
        git_environment={
            name: environment[name] for name in (*_GIT_PASSED, *_PROXIES) if name in environment
        },
        engine_environment={
            name: value
            for name, value in environment.items()
            if name in (*_ENGINE_PASSED, *_PROXIES) or name.startswith(("DOCKER_", "CONTAINER"))
        },
        settings=settings,
    )


def _site(values: Mapping[str, str], environment: Mapping[str, str]) -> Site:
    def places(mirror: str, alias: str) -> tuple[str, ...]:
        dated = DATED_ARCHIVE.format(alias=alias)
        return (mirror.rstrip("/"), dated) if mirror else (dated,)

    uv = {name: environment[name] for name in (*_UV_PASSED, *_PROXIES) if name in environment}
    uv |= {name: value for name, value in environment.items() if name.startswith("UV_")}
    if values["ca_bundle"]:
        uv["SSL_CERT_FILE"] = values["ca_bundle"]
    return Site(
        archives={
            "debian": places(values["debian_mirror"], "debian"),
            "debian-security": places(values["debian_security_mirror"], "debian-security"),
        },
        index_url=values["index_url"],
        ca_bundle=values["ca_bundle"],
        uv_environment=uv,
    )


def _default_store(environment: Mapping[str, str]) -> Path:
    # Sandboxes never run as root: root's store lies where the user they run as can read it.
    if os.geteuid() == 0:
        return Path("/var/cache/reprolake")
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reprolake"


def _default_ca_bundle(environment: Mapping[str, str]) -> Setting:
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT"):
        if environment.get(name):
            return Setting(environment[name], name)
    for path in SYSTEM_CA_BUNDLES:
        if Path(path).is_file():
            return Setting(path, "the system's certificates")
    return Setting("", "the certificates of the requests library")


def _pip_index(environment: Mapping[str, str]) -> Setting:
    """Return the index that pip uses, unless uv has one of its own, which it then finds by itself."""
    if any(environment.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")):
        return Setting("", "uv's environment")
    if environment.get("PIP_INDEX_URL"):
        return Setting(environment["PIP_INDEX_URL"], "PIP_INDEX_URL")
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
            return Setting(index, str(path))
    return Setting("", "uv's own configuration")


def _user_file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "reprolake/reprolake.toml"


def _from_file(path: Path) -> dict[str, Setting]:
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=_Settings)
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, OSError) as error:
        known = ", ".join(_Settings.__struct_fields__)
        raise UsageError(f"{path}: {error}", hint=f"known settings are {known}") from error
    return {name: Setting(value, str(path)) for name, value in msgspec.structs.asdict(found).items() if value}
