"""A lock as a Dockerfile: what it says, what it refuses, and that no value of a lock says anything by itself there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest
from hostile_locks import DEB, LOCK, SOURCE
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    DebianLock,
    EnvironmentLock,
    GitOrigin,
    RecipeFile,
    RecipeLock,
    RepositoryOrigin,
    ScriptLock,
    SdistOrigin,
    WheelLock,
)
from reprolake_builder.download import Downloader
from reprolake_builder.errors import ReprolakeError
from reprolake_builder.export.docker_words import packed, quoted, runs, written
from reprolake_builder.export.dockerfile import dockerfile
from reprolake_builder.site import Site
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_SITE = Site(
    archives={"debian": ("https://jane:s3cret@mirror.example/debian", "https://old.example/{date}/")}
)
_QUOTES = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
_PATHS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=40
)
_HOSTILE = st.one_of(
    st.sampled_from(
        ["'; id; '", '"; id; "', "$(id)", "`id`", "a\\", "x' \\", "# no", "${PATH}", "<<EOF", "&& id", " --x", "a'\"b"]
    ),
    _PATHS,
).filter(lambda text: text not in {".", ".."})  # fmt: skip


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> Tools:
    """Tools of a site that has a mirror with a login, and a dated archive."""
    return Tools(Store(tmp_path_factory.mktemp("store")), _SITE, Downloader(_SITE))


def _sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _wheel(name: str, url: str = "") -> WheelLock:
    file = f"{name}-1.0-py3-none-any.whl"
    return WheelLock(
        name=name,
        version="1.0",
        filename=file,
        size=1,
        sha256=_sha256(name),
        url=url or f"https://h.example/{file}",
    )


def _built(name: str, origin: SdistOrigin | GitOrigin | RepositoryOrigin, value: str = "0") -> BuiltWheelLock:
    return BuiltWheelLock(
        name=name,
        version="1.0",
        filename=f"{name}-1.0-py3-none-any.whl",
        size=1,
        sha256="5" * 64,
        origin=origin,
        build_requirements=(_wheel("flit-core"),),
        variables={"PATH": "/x", "SEED": value},
        files={},
    )


def _lock(
    text: str = "plain", wheel_url: str = "", git_url: str = "", version: str = "1.0-1"
) -> EnvironmentLock:
    """Return a lock with a bit of everything, `text` wherever any text may stand."""
    sdist = SdistOrigin(
        filename="s-1.0.tar.gz", size=1, sha256="6" * 64, url="https://h.example/s-1.0.tar.gz"
    )
    source = msgspec.structs.replace(SOURCE, url=git_url) if git_url else SOURCE
    recipe = RecipeLock(
        name="lab",
        title=text,
        sha256="7" * 64,
        as_of=SOURCE.date,
        prefix=f"/opt/{text}",
        interpreter=LOCK.interpreter,
        wheels=(_wheel("lab"),),
        files=(RecipeFile(path=f"/etc/{text}", text=text),),
        variables={"RECIPE": text},
        labels={"org.example.label": text},
        path=(f"/opt/{text}",),
        writable=(f"/srv/{text}",),
        command=(text, text),
    )
    return msgspec.structs.replace(
        LOCK,
        as_of_is=text,
        source=msgspec.structs.replace(SOURCE, url=f"https://example.org/{text}", subdir=text),
        environment=EnvironmentSpec(files=(), variables={"OWN": text}, post_build=text, start=text),
        debian=msgspec.structs.replace(LOCK.debian, base=(msgspec.structs.replace(DEB, version=version),)),
        wheels=(_wheel("pip"), _wheel("demo", wheel_url)),
        built=(_built("s", sdist, text), _built("g", GitOrigin(source=source))),
        project=_built("mine", RepositoryOrigin(path=text)),
        recipes=(recipe,),
        post_build=ScriptLock(script=text, files={}, sha256="8" * 64),
    )


def _instructions(text: str) -> list[str]:
    """Return the instructions as docker's own reader divides them: comments go, lines that end in a backslash are continued."""
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return re.sub(r"\\[ \t]*\n", "", "\n".join(lines)).split("\n")


def _shape(text: str) -> list[tuple[str, ...]]:
    """Return each instruction's name, and what the shell takes as operators in those that it runs."""
    found = []
    for line in _instructions(text):
        name, _, rest = line.partition(" ")
        operators: list[str] = []
        if name == "RUN" and not rest.startswith("["):
            operators = re.findall(r"[();<>|&`]+", _QUOTES.sub("", rest))
        found.append((name, *operators))
    return found


@given(_HOSTILE)
def test_no_value_is_read_as_more_than_a_value(tools, text):
    """Whatever text a lock holds, the Dockerfile has the instructions and the shell's operators that a plain one has."""
    try:
        written_out = dockerfile(_lock(text), tools)
    except ReprolakeError:
        return
    assert _shape(written_out) == _shape(dockerfile(_lock(), tools))
    unquoted = _QUOTES.sub("", "\n".join(_instructions(written_out)))
    assert set(re.findall(r"\$\S*", unquoted)) == {"${BASE}"}


def test_comments_stay_comments(tools):
    """A lock's words about itself take one line, whatever line breaks are in them."""
    lock = msgspec.structs.replace(_lock(), as_of_is="the commit\nRUN id\r\nRUN id")
    assert _shape(dockerfile(lock, tools)) == _shape(dockerfile(_lock(), tools))


@pytest.mark.parametrize(
    "bad",
    [
        {"wheel_url": "https://h.example/a.whl'$(id)'"},
        {"wheel_url": "https://h.example/${HOME}/a.whl"},
        {"wheel_url": "https://h.example/a\u2028b.whl"},
        {"git_url": "https://h.example/a --config=x"},
        {"git_url": "file:///etc"},
        {"git_url": "--upload-pack=x"},
        {"version": "1.0 other"},
        {"version": "1.0\nRUN id"},
    ],
)  # fmt: skip
def test_addresses_and_versions_that_are_none_are_refused(tools, bad):
    """What pip or apt might read as an option, a variable or another package stops the export."""
    with pytest.raises(ReprolakeError, match="cannot stand in a Dockerfile"):
        dockerfile(_lock(**bad), tools)


@given(st.text())
def test_quoted_text_comes_back(text):
    """A value in docker's quotes is the text again, without what does not print."""
    inside = quoted(text)[1:-1]
    assert re.fullmatch(r'(?:[^"\\$]|\\["\\$])*', inside)
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    assert re.sub(r"\\(.)", r"\1", inside) == plain


def test_files_of_any_size_fit_into_lines(tmp_path: Path):
    """Docker 20.10 takes no line of more than 64 KiB: long lists and files come in pieces, and whole."""
    data = bytes(range(256)) * 500
    lines = [f"demo{number} @ https://h.example/{'x' * 200}" for number in range(1000)]
    both = list(runs((*packed("/a b", data), *written("/list", lines))))
    assert max(len(line) for one in both for line in one.split("\n")) < 60_000
    assert max(len(one) for one in both) < 128_000
    pieces = re.findall(r"echo (\S+) \| base64", "\n".join(both))
    assert b"".join(base64.b64decode(piece) for piece in pieces) == data
    named = [word for one in both if "printf" in one for word in shlex.split(one.replace("\\\n", ""))]
    assert [word for word in named if word.startswith("demo")] == lines


def test_addresses_are_the_sites_and_dated(tools):
    """The dated archive is named at the lock's date, and no login gets in."""
    text = dockerfile(_lock(), tools)
    assert "ARG DEBIAN_ARCHIVE=https://old.example/20240101T060000Z\n" in text
    assert "s3cret" not in text
    undated = Site(archives={"debian": _SITE.archives["debian"][:1]})
    text = dockerfile(_lock(), Tools(tools.store, undated, Downloader(undated)))
    assert "ARG DEBIAN_ARCHIVE=https://mirror.example/debian\n" in text


def test_every_package_has_its_version_or_hash(tools):
    """Debian packages come by version, archives of Python by hash, git repositories by commit, without dependencies."""
    text = dockerfile(_lock(), tools)
    assert f"{DEB.name}=1.0-1" in text
    assert f"demo @ https://h.example/demo-1.0-py3-none-any.whl --hash=sha256:{_sha256('demo')}" in text
    assert f"s @ https://h.example/s-1.0.tar.gz --hash=sha256:{'6' * 64}" in text
    assert f"'g @ git+https://example.org/lab/crab.git@{'1' * 40}'" in text
    commands = [command for line in _instructions(text) for command in line.split(" && ")]
    installs = [command for command in commands if "/pip/pip install" in command]
    assert all("--no-deps --no-index" in line for line in installs)
    assert (
        sum("--require-hashes" in line for line in installs) == len(installs) - 2
    )  # the commit, the repository


def test_scripts_user_and_command_are_the_images(tools):
    """The repository's scripts run as they do in the image, as its user, and a recipe's command is the default one."""
    text = dockerfile(_lock("run me"), tools)
    assert text.index("USER 1000:100") < text.index('"\\"$0\\"", "/repo/run me"]')
    assert 'ENTRYPOINT ["/bin/bash", "-c", "exec \\"$0\\" \\"$@\\"", "/repo/run me"]' in text
    assert text.endswith(f"CMD {json.dumps(['run me', 'run me'])}\n")
    assert 'WORKDIR "/repo/run me"' in text


def test_what_has_no_form_there_is_named(tools):
    """Conda packages, a recipe on another Debian and a lock without pip are errors that name the way out."""
    conda = msgspec.structs.replace(_lock(), conda=CondaLock(channels=(), packages=(), virtual_packages=()))
    with pytest.raises(ReprolakeError, match="conda packages") as caught:
        dockerfile(conda, tools)
    assert "explicit" in caught.value.hint
    (recipe,) = _lock().recipes
    other = msgspec.structs.replace(recipe, debian=DebianLock(suite="trixie", releases=(), base=()))
    with pytest.raises(ReprolakeError, match="the recipe lab"):
        dockerfile(msgspec.structs.replace(_lock(), recipes=(other,)), tools)
    with pytest.raises(ReprolakeError, match="has no pip"):
        dockerfile(msgspec.structs.replace(_lock(), wheels=()), tools)
