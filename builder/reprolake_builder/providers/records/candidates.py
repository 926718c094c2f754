"""Repositories that a record's own description names, the likeliest first, each with the place that names it.

Source: DataCite's relation types; what Zenodo's GitHub integration writes (relation isSupplementTo to the tag's page, field
`code:codeRepository`, file OWNER/REPO-TAG.zip, title "OWNER/REPO: RELEASE"); eossr writes isDerivedFrom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reprolake_builder.archives.formats import folder_name
from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.links.git import parse_git_link
from reprolake_builder.providers.links.web import WebLink, parse_web_link
from reprolake_builder.providers.records.record import Record

MOST = 6
"""So many repositories of one record are asked."""
_SUPPLEMENT = "issupplementto"
_RELATIONS = (
    _SUPPLEMENT,
    "issupplementedby",
    "isderivedfrom",
    "isversionof",
    "isidenticalto",
    "ispartof",
    "issourceof",
)
_OF_SOFTWARE_ONLY = ("references", "cites")
_FORGE_HOST = re.compile(
    r"https?://(?:git|gitlab|gitea|forge|forgejo|codeberg|scm|src)[.-][^/]+/[^/]+/[^/].*"
)
_GITHUB = "https://github.com/"
_SSH = re.compile(r"(?:ssh://)?git@([A-Za-z0-9.-]+)[:/](.+)")
_IN_TEXT = re.compile(r"https?://[^\s\"'<>()\[\]{}\\]+")
_OWNER_REPO = re.compile(r"([A-Za-z0-9-]{1,39})/([A-Za-z0-9._-]{1,100})")
_TITLE = re.compile(rf"{_OWNER_REPO.pattern}:\s*(.*)")
_TOP = re.compile(r"(.+)-([0-9a-f]{7,40})")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A repository, perhaps with a ref; `origin` says in which words of the record it stands."""

    link: WebLink
    origin: str


def repository_link(text: str, *, sure: bool = False) -> WebLink | None:
    """Return the repository in an address, None when it is none; `sure` of one that is said to be a repository.

    On hosts of no known forge an address is taken only in a form that leaves no doubt, or from where repositories stand.
    """
    text = re.sub(r"^(?:scm:)?git[+:](?=\S+:)", "", text.strip()).rstrip(".,;)")
    text = re.sub(r"^git://", "https://", text)
    if found := _SSH.fullmatch(text):
        text = f"https://{found[1]}/{found[2]}"
    if not re.match(r"https?://", text) or not text.isprintable() or " " in text:
        return None
    try:
        if (link := parse_web_link(text)) is not None:
            url = link.url.removesuffix(".git") if link.url.startswith(_GITHUB) else link.url
            return WebLink(url, link.ref, link.rest)
        plain = text.partition("#")[0].partition("?")[0].rstrip("/")
        if plain.endswith(".git") or sure or _FORGE_HOST.fullmatch(plain):
            url = parse_git_link(plain.replace("@", "%40")).url
            return WebLink(url)
    except ResolveError:
        return None
    return None


def described(record: Record) -> tuple[Candidate, ...]:
    """Return the repositories that related identifiers and the field for it name: steps 1 to 3 of the order."""
    found = [*_related(record, with_ref=True)]
    if record.code_repository and (link := repository_link(record.code_repository, sure=True)):
        found.append(Candidate(link, f"code:codeRepository {record.code_repository}"))
    return distinct([*found, *_related(record, with_ref=False)])


def named_by_files(record: Record, top: str) -> tuple[Candidate, ...]:
    """Return GitHub repositories that file names, title and an archive's top folder hint at: step 6.

    `top` is the folder's name, OWNER-REPO-SHA, which a dash in one of the names makes ambiguous.
    """
    found = []
    for file in record.files:
        owner, slash, rest = file.key.partition("/")
        stem = folder_name(rest) if slash else ""
        tag = record.version
        if stem and tag and stem.endswith(f"-{tag}") and _OWNER_REPO.fullmatch(f"{owner}/{rest}"):
            found.append(_github(f"{owner}/{stem.removesuffix(f'-{tag}')}", f"file {file.key}"))
    if title := _TITLE.fullmatch(record.title):
        found.append(_github(f"{title[1]}/{title[2]}", f"title {record.title}"))
    if (words := _TOP.fullmatch(top)) and words[1].count("-") == 1:
        found.append(_github(words[1].replace("-", "/"), f"folder {top}"))
    return distinct(filter(None, found))


def mentioned(record: Record) -> tuple[str, ...]:
    """Return repositories that the description mentions: they may be anybody's, and are shown only (step 7)."""
    links = (repository_link(text) for text in _IN_TEXT.findall(record.description)[:100])
    return tuple(dict.fromkeys(link.url for link in links if link is not None))[:MOST]


def file_tags(record: Record, repository: str) -> tuple[str, ...]:
    """Return the tags that names of files end in, of archives REPO-TAG.zip of the repository (its URL)."""
    name = repository_name(repository)
    stems = (folder_name(file.key.rpartition("/")[2]) for file in record.files)
    return tuple(stem[len(name) + 1 :] for stem in stems if stem.lower().startswith((f"{name}-", f"{name}_")))


def repository_name(url: str) -> str:
    """Return a repository's name in small letters, without its owner's."""
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git").lower()


def guessed_tags(record: Record) -> tuple[str, ...]:
    """Return what the release's tag may be called, after the record's version and title."""
    version = record.version
    release = title[3].strip() if (title := _TITLE.fullmatch(record.title)) else ""
    other = version.removeprefix("v") if version.startswith("v") else f"v{version}"
    spelled = [version, other] if version else []
    return tuple(dict.fromkeys(tag for tag in (*spelled, release) if tag and " " not in tag))


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return each repository once, at its first place, with a ref when one of its mentions has one; the first few."""
    kept: dict[str, Candidate] = {}
    for candidate in candidates:
        key = candidate.link.url.lower().removesuffix(".git")
        known = kept.setdefault(key, candidate)
        if not (known.link.ref or known.link.rest) and (candidate.link.ref or candidate.link.rest):
            kept[key] = candidate
    return tuple(kept.values())[:MOST]


def _related(record: Record, *, with_ref: bool) -> Iterator[Candidate]:
    relations = (_SUPPLEMENT,) if with_ref else (*_RELATIONS, *_OF_SOFTWARE_ONLY)
    for relation in relations:
        for item in record.related:
            if item.relation != relation:
                continue
            if relation in _OF_SOFTWARE_ONLY and not item.kind.startswith("software"):
                continue
            link = repository_link(item.target)
            if link is not None and bool(link.ref or link.rest) >= with_ref:
                yield Candidate(link, f"the record's link {item.target} ({relation})")


def _github(name: str, origin: str) -> Candidate | None:
    link = repository_link(f"{_GITHUB}{name}")
    return Candidate(link, origin) if link is not None else None
