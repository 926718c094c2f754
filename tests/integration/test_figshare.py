"""Articles of Figshare, replayed by a double of its servers, and what all such records have in common."""

from __future__ import annotations

import msgspec
import pytest
from archive_server import Reply
from deposits import DATAVERSE, FIGSHARE, HOSTS, HYDRO, NOTEBOOK, asked, keep_article, zipped
from source_tools import source_tools

from reprolake_builder.documents.source import FilesSource
from reprolake_builder.errors import FetchError, ReprolakeError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store


def test_an_article_is_its_files_with_their_archive_unpacked(server, tools):
    """One version's files are pinned by address and hash, an archive among them is unpacked, folders and all."""
    keep_article(server, 2, ("code.zip", zipped(crab___fit__ipynb=NOTEBOOK, crab___a___b__txt=b"b")))
    source = resolve(asked("10.6084/m9.figshare.42.v2", subdir="a"), tools)
    assert isinstance(source, FilesSource)
    assert [file.url for file in source.files] == ["https://ndownloader.figshare.com/files/200"]
    assert (source.date_is, f"{source.date:%Y-%m-%d}", source.subdir) == ("published", "2024-03-13", "a")
    record = source.record
    assert (record.site, record.id, record.doi, record.version, record.asked, record.state) == (
        "figshare.com", "42.v2", "10.6084/m9.figshare.42.v2", "2", "", "archive only"
    )  # fmt: skip
    tree = fetch(source, tools)
    assert tree.paths == (b"a/b.txt", b"fit.ipynb")


def test_an_article_without_a_version_is_its_newest_and_says_which(server, tools, said):
    """The version is asked for, named in the pin and to the user; --locked wants it in the link."""
    keep_article(server, 3, ("fit.ipynb", NOTEBOOK))
    source = resolve(asked("https://figshare.com/articles/software/crab/42"), tools)
    assert (source.record.id, source.record.asked) == ("42.v3", "figshare article 42")
    assert source.record.chain[0] == "figshare article 42 has the newest version 3"
    assert said.notes == ["No version was given: figshare article 42 has the newest version 3"]
    with pytest.raises(ResolveError, match="--locked follows no such name") as caught:
        resolve(asked("10.6084/m9.figshare.42", locked=True), tools)
    assert "10.6084/m9.figshare.42.v3" in caught.value.hint
    assert resolve(asked("10.6084/m9.figshare.42.v3", locked=True), tools).tree == source.tree


def test_all_files_of_a_large_article_are_taken(server, tools):
    """An article tells its first ten files only; the list of the version tells all."""
    keep_article(server, 1, *((f"{number}.txt", b"%d" % number) for number in range(12)))
    assert len(resolve(asked("10.6084/m9.figshare.42.v1"), tools).files) == 12


def test_files_of_one_name_are_told_apart(server, tools):
    """Figshare lets several files of an article have one name; each stands in a folder of its number then."""
    keep_article(server, 1, ("a.txt", b"1"), ("b.txt", b"b"), ("a.txt", b"2"))
    source = resolve(asked("10.6084/m9.figshare.42.v1"), tools)
    assert [file.name for file in source.files] == ["100/a.txt", "102/a.txt", "b.txt"]


def test_links_to_elsewhere_are_left_out_and_named(server, tools, said):
    """A file that figshare only links to is no part of the article, which is said."""
    article = keep_article(server, 1, ("fit.ipynb", NOTEBOOK))
    link = {
        "id": 5,
        "name": "big data",
        "size": 0,
        "is_link_only": True,
        "download_url": "https://files.example.org/x",
    }
    server.tell(f"{FIGSHARE}/42/versions/1/files", [*article["files"], link])
    source = resolve(asked("10.6084/m9.figshare.42.v1"), tools)
    assert [file.name for file in source.files] == ["fit.ipynb"]
    assert "only links to big data" in said.warnings[0]


def test_a_file_with_another_checksum_is_refused(server, tools):
    """What arrives must have the MD5 that the record tells."""
    keep_article(server, 1, ("fit.ipynb", NOTEBOOK))
    server.tell("GET ndownloader.figshare.com/files/100", NOTEBOOK[:-1] + b" ")
    with pytest.raises(FetchError, match="arrived with the MD5"):
        resolve(asked("10.6084/m9.figshare.42.v1"), tools)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..", "", ".git/config", "a\x00b", "a\nb"]
)
def test_no_name_of_a_file_leads_out_of_the_source(server, tools, tmp_path, name):
    """repo2docker writes such files where they point to; here the record is refused."""
    keep_article(server, 1, (name, b"evil"))
    with pytest.raises(ReprolakeError):
        resolve(asked("10.6084/m9.figshare.42.v1"), tools)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("10.6084/m9.figshare.42.v9", "has no article 42 of version 9"),
        ("10.6084/m9.figshare.43", "has no article 43"),
        ("10.6084/m9.figshare.c.42.v1", "is a list of articles"),
        ("https://figshare.com/collections/x/42", "is a list of articles"),
    ],
)
def test_what_figshare_does_not_have_is_named(server, tools, link, words):
    """Missing versions, articles, and collections end in a sentence."""
    keep_article(server, 1, ("fit.ipynb", NOTEBOOK))
    with pytest.raises(ResolveError, match=words):
        resolve(asked(link), tools)


def test_closed_and_empty_articles_say_why(server, tools):
    """An embargo is told with its reason; an article without files is no source."""
    keep_article(server, 1, ("fit.ipynb", NOTEBOOK), is_embargoed=True, embargo_reason="until 2030")
    with pytest.raises(ResolveError, match="is closed: until 2030"):
        resolve(asked("10.6084/m9.figshare.42.v1"), tools)
    keep_article(server, 2)
    with pytest.raises(ResolveError, match="offers no files"):
        resolve(asked("10.6084/m9.figshare.42.v2"), tools)


def test_options_that_mean_nothing_for_files_are_refused(server, tools):
    """A record has neither refs nor a repository behind it."""
    keep_article(server, 1, ("fit.ipynb", NOTEBOOK))
    with pytest.raises(ResolveError, match="--ref v1 has no meaning"):
        resolve(asked("10.6084/m9.figshare.42.v1", ref="v1"), tools)
    with pytest.raises(ResolveError, match="names no repository"):
        resolve(asked("10.6084/m9.figshare.42.v1", take="repo"), tools)


@pytest.mark.parametrize(
    ("question", "link"),
    [
        (f"{FIGSHARE}/42", "10.6084/m9.figshare.42"),
        (f"GET {DATAVERSE}/api/datasets/:persistentId/versions/:latest-published", "10.7910/DVN/A"),
        (f"GET www.hydroshare.org/hsapi/resource/{HYDRO}/sysmeta/", f"10.4211/hs.{HYDRO}"),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[1]", b'{"id": {}, "data": 3}', b"\xff\xfe", b"[" * 100_000, b'{"id":1e999}', Reply(b"", 403), Reply(b"", 302)],
)  # fmt: skip
def test_answers_of_no_known_form_are_errors_of_ours(server, tools, question, link, answer):
    """Whatever a server sends in the place of a description, the user reads a sentence."""
    server.tell(question, answer)
    with pytest.raises(ReprolakeError) as caught:
        resolve(asked(link), tools)
    assert caught.value.exit_code in {10, 11}


def test_a_pin_can_be_fetched_on_another_host(server, tools, tmp_path):
    """The lock's document alone, and the archive, give the same files; what they would replace is checked again."""
    keep_article(server, 1, ("fit.ipynb", NOTEBOOK))
    text = msgspec.json.encode(resolve(asked("10.6084/m9.figshare.42.v1"), tools))
    source = msgspec.json.decode(text, type=FilesSource)
    store = Store(tmp_path / "other")
    other = source_tools(store, gateways=server.gateways(*HOSTS))
    assert fetch(source, other).paths == (b"fit.ipynb",)
    server.tell("GET ndownloader.figshare.com/files/100", b"others")
    empty = Store(tmp_path / "third")
    with pytest.raises(FetchError):
        fetch(source, source_tools(empty, gateways=server.gateways(*HOSTS)))
    store.close()
    empty.close()
