"""A world for records: repositories on a forge of the tests' own, and the archives that a release of one publishes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from archive_server import ArchiveServer, archive_server
from git_repositories import ENVIRONMENT, Repository, served
from heritage import HOST as HERITAGE
from record_server import Site, recorded, serving_records
from source_tools import source_tools

from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.progress import Progress
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAME = "EmilieMauduit/PALANTIR"
KEY = f"{NAME}-v0.1.1.zip"
URL = f"https://github.com/{NAME}"
DOI = "10.5281/zenodo.15600127"


class Told(Progress):
    """What was told on the way."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class World:
    """A forge in the place of github.com, a site in the place of zenodo.org, a double of Software Heritage, an empty store."""

    folder: Path
    site: Site
    archive: ArchiveServer
    store: Store
    told: Told = field(default_factory=Told)
    moved: dict[str, str] = field(default_factory=dict)

    def repository(self, name: str) -> Repository:
        """A new repository OWNER/NAME of the forge."""
        return Repository(self.folder / "forge" / name)

    def tools(self) -> Tools:
        """Tools that reach both."""
        environment = {**ENVIRONMENT, "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig")}
        gateways = {self.site.host: self.site.url} | self.archive.gateways(HERITAGE)
        return source_tools(self.store, self.told, environment, gateways)

    def publish(self, name: str, files: dict[str, bytes], swhid: str | None = None) -> dict:
        """Put a recorded answer on the site, with these files in place of its own; return the answer."""
        record = recorded(name)
        id_ = str(record["id"])
        record["files"] = [
            {"key": key, "size": len(content), "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}
            for key, content in files.items()
        ]
        record["swh"] = {"swhid": swhid} if swhid else {}
        self.site.records[id_] = record
        self.site.files |= {(id_, key): content for key, content in files.items()}
        return record

    def resolve(self, link: str, **options: object) -> PinnedSource:
        """What the link means."""
        return resolve(LinkRequest(link=link, now=NOW, **options), self.tools())

    def downloads(self) -> list[str]:
        """Files that were fetched whole."""
        return [path for path, part, _ in self.site.asked if path.endswith("/content") and not part]


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Yield a world while its servers run."""
    (folder / "forge").mkdir()
    moved: dict[str, str] = {}
    store = Store(folder / "store")
    with (
        serving_records(Site()) as site,
        archive_server() as archive,
        served(folder / "forge", moved=moved) as address,
    ):
        (folder / "gitconfig").write_text(f'[url "{address}/"]\n\tinsteadOf = https://github.com/\n')
        yield World(folder, site, archive, store, moved=moved)
    store.close()


def zipball(repository: Repository, owner_name: str, commit: str = "HEAD", *, comment: bool = True) -> bytes:
    """The archive that GitHub makes of a commit."""
    short = repository.git("rev-parse", "--short=7", commit)
    prefix = f"{owner_name.replace('/', '-')}-{short}/"
    named = commit if comment else f"{commit}^{{tree}}"  # git writes the id only when it archives a commit
    done = subprocess.run(
        ["git", "archive", "--format=zip", f"--prefix={prefix}", named],
        cwd=repository.folder, env=ENVIRONMENT, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


def heritage(repository: Repository, owner_name: str, commit: str = "HEAD") -> str:
    """The identifier that Software Heritage gives the archive's directory, as git computes it."""
    tree = repository.git("rev-parse", f"{commit}^{{tree}}")
    folder = f"{owner_name.replace('/', '-')}-{repository.git('rev-parse', '--short=7', commit)}"
    listing = f"040000 tree {tree}\t{folder}\n".encode()
    directory = repository.git("mktree", "--missing", stdin=listing)
    return f"swh:1:dir:{directory};origin=https://doi.org/10.5281/zenodo.1;path={folder}"


def commit_of(repository: Repository, ref: str = "v0.1.1") -> str:
    """The commit that a ref leads to."""
    return repository.git("rev-parse", f"{ref}^{{commit}}")


def by_hand() -> bytes:
    """An archive that somebody made without git."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("run.sh", "notebook.ipynb", "a.csv"):
            archive.writestr(name, "published")
    return buffer.getvalue()


def packed(repository: Repository, *arguments: str) -> bytes:
    """What `git archive` makes."""
    done = subprocess.run(
        ["git", "archive", *arguments],
        cwd=repository.folder,
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    return done.stdout
