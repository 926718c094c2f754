"""The command line on links: several at once, and links that name their notebook."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from git_repositories import Repository, served

PLAIN = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a server with one repository, and that repository."""
    root = tmp_path_factory.mktemp("lab")
    repository = Repository(root / "group" / "crab.git")
    shutil.copytree(PLAIN, repository.folder, dirs_exist_ok=True)
    repository.commit(deep___other__ipynb="{}")
    with served(root) as address:
        yield f"{address}/group/crab.git", repository


def test_a_list_of_links(reprolake, lab, tmp_path):
    """Links of arguments and files are told in order, a JSON line each; failures are lines too and decide the exit code."""
    url, repository = lab
    (tmp_path / "links.txt").write_text(
        f"# two more\n\n  {url}/tree/main/deep \n{url}/-/blob/main/sum.ipynb\n"
    )
    done = reprolake(
        "resolve", url, f"{url}@gone", "http://127.0.0.1:9/a", "--from", tmp_path / "links.txt", "--json"
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["link"] for answer in answers][:3] == [url, f"{url}@gone", "http://127.0.0.1:9/a"]
    assert [answer["exit_code"] for answer in answers] == [0, 10, 75, 0, 0]
    assert [answer["source"] and answer["source"]["subdir"] for answer in answers] == [
        "",
        None,
        None,
        "deep",
        "",
    ]
    assert answers[4]["notebook"] == "sum.ipynb"
    assert answers[4]["source"]["commit"] == repository.git("rev-parse", "HEAD")
    assert "no branch, tag or commit 'gone'" in answers[1]["error"]
    assert done.returncode == 10
    assert "2 of 5 links could not be resolved" in done.stderr


def test_a_list_in_words(reprolake, lab):
    """Without --json each link heads its facts; a login in a link is not repeated."""
    url, _ = lab
    secret = url.replace("://", "://jane:s3cret-word@")
    done = reprolake("resolve", secret, f"{url}@gone", f"{url}/-/blob/main/sum.ipynb")
    heads = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [url.replace("://", "://***@"), f"{url}@gone", f"{url}/-/blob/main/sum.ipynb"]
    assert "  notebook    sum.ipynb" in done.stdout
    assert "  failed      " in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no link is given"),
        (("a", "b", "--ref", "main"), "--ref, --subdir and --sha256 are for one link"),
        (("--from", "/nonexistent"), "cannot be read"),
    ],
)
def test_mistakes_with_lists(reprolake, arguments, said):
    """A list that is not there, or options that cannot be of several links, are mistakes of the command line."""
    done = reprolake("resolve", *arguments)
    assert said in done.stderr
    assert done.returncode == 2


def test_a_list_on_standard_input(lab, tmp_path):
    """`--from -` reads links as they are piped in."""
    url, _ = lab
    program = Path(__file__).parent.parent.parent / ".venv/bin/reprolake"
    done = subprocess.run(
        [program, "resolve", "--from", "-", "--json", "--store", tmp_path / "store"],
        input=f"{url}\n".encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["source"]["url"] == url


def test_a_link_that_names_its_notebook(reprolake, lab):
    """`plan` and `run` take the notebook of the link; another one beside it is a mistake, the same one is not."""
    url, _ = lab
    page = url.replace("crab.git", "crab/-/blob/main/sum.ipynb")
    done = reprolake("plan", page, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["notebook"] == "sum.ipynb"
    assert reprolake("plan", page, "./sum.ipynb").returncode == 0
    for command in ("plan", "run"):
        refused = reprolake(command, page, "deep/other.ipynb")
        assert "two notebooks" in refused.stderr
        assert refused.returncode == 2


WRONG = {
    "https://zenodo.org/communities/escape2020": "a page of an archive",
    "https://figshare.com/authors/jane/1": "a page of an archive",
    "https://www.hydroshare.org/resource/zzz": "a page of an archive",
    "https://dataverse.harvard.edu/dataverse/harvard": "a page of an archive",
    "https://joss.theoj.org/papers": "a page of an archive",
    "https://doi.org/": "a page of an archive",
    "10.6084/m9.figshare.c.42.v1": "is a list of articles",
    "swh:1:rev:123": "no identifier of Software Heritage",
    f"swh:1:cnt:{'1' * 40}": "is a single file",
    "https://archive.softwareheritage.org/browse/": "no page of Software Heritage",
    "hg+ssh://hg.example.org/x": "over https only",
    "https://github.com/lab": "names no repository",
    "https://github.com/lab/crab/releases/latest": "another release tomorrow",
    "https://github.com/lab/crab/issues/3": "names no commit",
    "https://mybinder.org/": "opens no notebook",
    "https://files.example.org/x.rar": "of a kind that is not read",
    "https://example.org": "names no repository",
    "ftp://example.org/a": "are not taken",
    "doi:": "neither a folder here nor a git URL",
}


def test_wrong_links_are_told_without_asking_a_server(reprolake):
    """Each kind of link has its sentence and its next step, and the exit code of what cannot be resolved."""
    done = reprolake("resolve", *WRONG, "--json")
    assert done.returncode == 10
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["link"] for answer in answers] == list(WRONG)
    for answer in answers:
        assert answer["exit_code"] == 10, answer
        assert WRONG[answer["link"]] in answer["error"], answer
        assert answer["hint"], answer
