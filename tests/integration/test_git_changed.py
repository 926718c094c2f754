"""When the files of an environment were last changed, as a history tells."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import UTC, datetime

import pytest
from git_repositories import DATE, Repository

from reprolake_builder.documents.environment import SpokenFile
from reprolake_builder.documents.source import GitSource, LocalSource, PinnedSource
from reprolake_builder.errors import FetchError
from reprolake_builder.providers.git.changed import last_changed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ODD = ":(glob)*.txt"


@pytest.fixture
def repository(tmp_path) -> Repository:
    """Three commits: requirements.txt, a file of an odd name, and a README, a day apart."""
    made = Repository(tmp_path / "remote")
    made.commit(requirements__txt="numpy\n")
    for name, text in ((ODD, "scipy\n"), ("README.md", "cite us\n")):
        made.clock += 24 * 3600
        (made.folder / name).write_text(text)
        made.git("add", "--all")
        made.commit()
    return made


def local(repository: Repository) -> LocalSource:
    return LocalSource(path=str(repository.folder), tree="1" * 40, date=NOW, date_is="commit")


def spoken(*names: str, text: str = "numpy\n") -> list[SpokenFile]:
    return [SpokenFile(path=name, sha256=hashlib.sha256(text.encode()).hexdigest()) for name in names]


def days(found: datetime | None) -> int | None:
    """Return the whole days after the first commit."""
    return None if found is None else (int(found.timestamp()) - DATE) // (24 * 3600)


def test_the_last_commit_that_touched_a_file_counts(repository, session):
    """Later commits that changed other files do not, and a name is no pattern."""
    tools = session.tools
    assert days(last_changed(local(repository), spoken("requirements.txt"), tools)) == 0
    assert days(last_changed(local(repository), spoken(ODD, text="scipy\n"), tools)) == 1
    remote: PinnedSource = GitSource(
        url=repository.url, commit=repository.git("rev-parse", "HEAD"), tree="1" * 40, date=NOW
    )
    assert days(last_changed(remote, spoken("requirements.txt", ODD), tools)) == 1


def test_what_no_history_tells_has_no_date(repository, session, tmp_path):
    """Files that are not as committed, are in no commit, or whose history was cut off."""
    tools = session.tools
    assert last_changed(local(repository), [], tools) is None
    assert last_changed(local(repository), spoken("requirements.txt", text="other\n"), tools) is None
    assert last_changed(local(repository), spoken("absent.txt"), tools) is None
    subprocess.run(["git", "clone", "-q", "--depth=1", repository.url, str(tmp_path / "shallow")], check=True)
    shallow = LocalSource(path=str(tmp_path / "shallow"), tree="1" * 40, date=NOW, date_is="commit")
    assert last_changed(shallow, spoken("requirements.txt"), tools) is None
    (tmp_path / "plain").mkdir()
    plain = LocalSource(path=str(tmp_path / "plain"), tree="1" * 40, date=NOW, date_is="now")
    assert last_changed(plain, spoken("requirements.txt"), tools) is None


def test_a_repository_that_is_gone_is_an_error(session, tmp_path):
    """What cannot be asked is not taken for an answer."""
    gone = GitSource(url=f"file://{tmp_path}/gone", commit="0" * 40, tree="1" * 40, date=NOW)
    with pytest.raises(FetchError):
        last_changed(gone, spoken("requirements.txt"), session.tools)
