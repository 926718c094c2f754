"""Packages that tools take from git, folders and archives: one meaning in whatever file they stand."""

from __future__ import annotations

import pytest
from detected import found

from reprolake_builder.errors import DetectError

PROJECT = '[project]\nname = "demo"\nversion = "1"\ndependencies = ["alpha"]\n[tool.uv.sources]\nalpha = {}\n'
POETRY = '[tool.poetry]\nname = "demo"\nversion = "1"\n[tool.poetry.dependencies]\nalpha = {}\n'
PIPFILE = "[packages]\nalpha = {}\n"
FILES = {"pyproject.toml": PROJECT, "poetry": POETRY, "Pipfile": PIPFILE}


def asked(tmp_path, kind, written):
    name = "pyproject.toml" if kind == "poetry" else kind
    return found(
        tmp_path, {name: FILES[kind].format(written), "libs/setup.py": "", "x.whl": "", "etc/setup.py": ""}
    )


@pytest.mark.parametrize("kind", FILES)
def test_a_folder_of_the_repository_is_asked_for(tmp_path, kind):
    """A path is meant from the file's own folder."""
    (source,) = asked(tmp_path, kind, '{path = "libs"}').sources
    assert (source.name, source.folder, source.url) == ("alpha", "libs", "")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{path = "/etc"}', "leads out of the repository"),
        ('{path = "../etc"}', "leads out of the repository"),
        ('{path = "~/etc"}', "leads out of the repository"),
        ('{path = "./x.whl"}', "asks for a package file"),
        ('{git = "https://u:s3cret@h.org/x.git"}', "login"),
    ],
)
def test_what_lies_elsewhere_is_refused(tmp_path, kind, written, told):
    """Absolute paths are none of the repository, package files come later, and a login is shown to nobody."""
    with pytest.raises(DetectError, match=told) as caught:
        asked(tmp_path, kind, written)
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("kind", ["pyproject.toml", "poetry"])
def test_a_folder_inside_of_an_archive_is_not_passed_over(tmp_path, kind):
    """An archive with a `subdirectory` is refused, and not installed from its root."""
    with pytest.raises(DetectError, match="is not understood"):
        asked(tmp_path, kind, '{url = "https://h.org/a-1.tar.gz", subdirectory = "b"}')


@pytest.mark.parametrize("kind", ["pyproject.toml", "poetry"])
def test_a_tag_with_an_at_is_refused(tmp_path, kind):
    """The text after the last @ would be taken for the tag, and what is before it for the address."""
    with pytest.raises(DetectError, match="branch or tag with an @"):
        asked(tmp_path, kind, '{git = "https://h.org/a.git", tag = "a@1.0"}')
