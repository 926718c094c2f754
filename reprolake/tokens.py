"""Tokens that the environment holds for well-known services: each for the hosts that it was made for, and for no other.

Source: the variables of GitHub's and GitLab's own command lines and of GitLab's CI; GitHub's and GitLab's "Clone with a token";
Zenodo's "Authentication"; figshare's API documentation, "Authentication"; the Dataverse guides, "API Tokens and Authentication",
with the variables of Dataverse's client for R.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reprolake_builder.site import Token

_FIGSHARE = ("api.figshare.com", "figshare.com", "ndownloader.figshare.com")


def tokens_of(environment: Mapping[str, str], gitlab_hosts: Iterable[str]) -> dict[str, Token]:
    """Return the tokens by host, with :PORT where it is not the usual one; `gitlab_hosts` are those that GITLAB_TOKEN is for."""

    def first(*names: str) -> str:
        return next((value for name in names if (value := environment.get(name, "").strip())), "")

    found: dict[str, Token] = {}
    if secret := first("CI_JOB_TOKEN"):  # good for the server that runs the job only
        port = environment.get("CI_SERVER_PORT", "443")
        host = environment.get("CI_SERVER_HOST", "").lower()
        if host:
            found[host if port in {"443", ""} else f"{host}:{port}"] = Token("gitlab-ci-token", secret)
    if secret := first("GITLAB_TOKEN"):
        found |= {host.lower(): Token("oauth2", secret) for host in gitlab_hosts}
    if secret := first("GH_TOKEN", "GITHUB_TOKEN"):
        found["github.com"] = Token("x-access-token", secret)
    if secret := first("ZENODO_TOKEN"):
        found["zenodo.org"] = Token("", secret)
    if secret := first("FIGSHARE_TOKEN"):
        found |= {host: Token("", secret, scheme="token ") for host in _FIGSHARE}
    server = environment.get("DATAVERSE_SERVER", "").lower().rpartition("://")[2].partition("/")[0]
    if server and (secret := first("DATAVERSE_KEY")):  # each installation has its own
        found[server] = Token("", secret, header="X-Dataverse-key", scheme="")
    return found
