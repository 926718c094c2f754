"""Flags, environment and files merged once into a frozen value; `settings` says who wins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake.conda_settings import conda_site
from reprolake.settings import Flags, Setting, UsageError, read_settings, unread_file
from reprolake.tokens import tokens_of
from reprolake_builder.site import PYTHON_SOURCES, PythonSite, PythonSource, Site

__all__ = ["Options", "Setting", "UsageError", "load_options"]

_PYTHON_SOURCES: dict[str, PythonSource] = {name: name for name in PYTHON_SOURCES}
_UV_PASSED = ("HOME", "PATH", "XDG_CONFIG_HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR")
_GIT_PASSED = (
    *_UV_PASSED,
    "SSH_AUTH_SOCK",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_SSH",
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


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for a whole call. `store` and `shared_stores` are host paths; `settings` tells the origin of each value.

    `unread` is the working folder's reprolake.toml, when there is one that was not read.
    """

    store: Path
    site: Site
    git_environment: Mapping[str, str]
    engine_environment: Mapping[str, str]
    settings: Mapping[str, Setting]
    shared_stores: tuple[Path, ...] = ()
    unread: str = ""


def load_options(environment: Mapping[str, str], store: str = "", config: str = "") -> Options:
    """Return the merged options; `store` and `config` are the flags' values.

    Raises UsageError for a file or value that cannot be understood.
    """
    flags = Flags(store, config)
    settings = read_settings(environment, flags)
    values = {name: setting.value for name, setting in settings.items()}
    network = _network(values)
    return Options(
        store=Path(values["store"]).expanduser(),
        site=_site(values, environment, network),
        git_environment=_git(environment, settings) | network,
        engine_environment={
            name: value
            for name, value in environment.items()
            if name in _ENGINE_PASSED or name.startswith(("DOCKER_", "CONTAINER"))
        }
        | network,
        settings=settings,
        shared_stores=tuple(
            Path(path).expanduser() for path in values["shared_stores"].split(os.pathsep) if path
        ),
        unread=unread_file(environment, flags),
    )


def _site(values: Mapping[str, str], environment: Mapping[str, str], network: Mapping[str, str]) -> Site:
    def places(mirror: str, alias: str) -> tuple[str, ...]:
        dated = values["dated_archive"].replace("{archive}", alias).rstrip("/")
        return (mirror.rstrip("/"), dated) if mirror else (dated,)

    uv = {name: environment[name] for name in _UV_PASSED if name in environment} | dict(network)
    uv |= {name: value for name, value in environment.items() if name.startswith("UV_")}
    if values["ca_bundle"]:
        uv["SSL_CERT_FILE"] = values["ca_bundle"]
    return Site(
        archives={
            "debian": places(values["debian_mirror"], "debian"),
            "debian-security": places(values["debian_security_mirror"], "debian-security"),
        },
        index_url=values["index_url"],
        extra_index_urls=tuple(values["extra_index_urls"].split()),
        ca_bundle=values["ca_bundle"],
        uv_environment=uv,
        proxies={
            scheme: values[f"{scheme}_proxy"] for scheme in ("http", "https") if values[f"{scheme}_proxy"]
        },
        no_proxy=tuple(entry.strip() for entry in values["no_proxy"].split(",") if entry.strip()),
        netrc=Path(environment.get("NETRC") or Path(environment.get("HOME") or Path.home()) / ".netrc"),
        keyring=values["keyring"] == "subprocess",
        gateways={
            host: url.rstrip("/")
            for host, _, url in (pair.partition("=") for pair in values["gateways"].split())
        },
        conda=conda_site(values),
        pythons=PythonSite(
            sources=tuple(_PYTHON_SOURCES[name] for name in values["python_sources"].split()),
            downloads=values["python_downloads"],
            mirror=values["python_mirror"],
        ),
        tokens=tokens_of(environment, values["gitlab_hosts"].split()),
        network_inward=tuple(values["network_inward"].split()),
    )


def _network(values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell programs of the proxies: libcurl, and so git, reads http_proxy in small letters only."""
    said = {name: values[name] for name in ("http_proxy", "https_proxy", "no_proxy") if values[name]}
    return said | {name.upper(): value for name, value in said.items()}


def _git(environment: Mapping[str, str], settings: Mapping[str, Setting]) -> dict[str, str]:
    passed = {name: environment[name] for name in _GIT_PASSED if name in environment}
    bundle = settings["ca_bundle"]
    if "GIT_SSL_CAINFO" not in passed and bundle.value and not bundle.origin.startswith("the "):
        passed["GIT_SSL_CAINFO"] = bundle.value
    return passed
