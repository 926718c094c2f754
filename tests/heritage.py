"""A double of Software Heritage's archive over real git repositories: objects as git has them, bundles as `git archive` packs them."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone

from archive_server import ArchiveServer
from git_repositories import ENVIRONMENT, Repository

HOST = "archive.softwareheritage.org"
API = f"{HOST}/api/1"


def keep_commit(server: ArchiveServer, repository: Repository, commit: str) -> str:
    """Let the server know the commit as the archive would, and return the hash of its folder."""
    head, _, message = repository.git("cat-file", "commit", commit).partition("\n\n")
    lines = [line.partition(" ")[::2] for line in head.split("\n")]
    told: dict[str, object] = {
        "id": commit,
        "type": "git",
        "message": f"{message}\n",
        "parents": [],
        "synthetic": False,
    }
    for name, value in lines:
        if name == "tree":
            told["directory"] = value
        elif name == "parent":
            told["parents"] += [{"id": value, "url": ""}]
        else:
            person, moment = _person(value)
            told[name] = person
            told["date" if name == "author" else "committer_date"] = moment
    server.tell(f"GET {API}/revision/{commit}/", told)
    return str(told["directory"])


def _person(value: str) -> tuple[dict[str, str], str]:
    fullname, seconds, zone = value.rsplit(" ", 2)
    offset = timedelta(hours=int(zone[:3]), minutes=int(zone[0] + zone[3:]))
    return {"fullname": fullname}, datetime.fromtimestamp(int(seconds), timezone(offset)).isoformat()


def keep_bundle(
    server: ArchiveServer, repository: Repository, commit: str, *status: str, content: str = ""
) -> None:
    """Let the vault have the commit's folder ready after it said each `status`; with `content` it gives that commit's instead."""
    folder = repository.git("rev-parse", f"{commit}^{{tree}}")
    core = f"swh:1:dir:{folder}"
    packed = subprocess.run(
        ["git", "archive", "--format=tar.gz", f"--prefix={core}/", content or commit],
        cwd=repository.folder, env=ENVIRONMENT, capture_output=True, check=True,
    )  # fmt: skip
    said = [{"status": word, "progress_message": None, "swhid": core, "id": 1} for word in (*status, "done")]
    server.tell(f"POST {API}/vault/flat/{core}/", said[0])
    server.tell(f"GET {API}/vault/flat/{core}/", *said[1:] or said)
    server.tell(f"GET {API}/vault/flat/{core}/raw/", packed.stdout)


def keep_snapshot(server: ArchiveServer, digits: str, branches: dict[str, tuple[str, str]]) -> None:
    """Let the server know a snapshot: targets and their kinds by branch."""
    server.tell(f"GET {API}/snapshot/{digits}/", {
        "id": digits, "branches": {name: {"target": target, "target_type": kind} for name, (kind, target) in branches.items()},
        "next_branch": None,
    })  # fmt: skip
