"""requirements.txt, environment.yml and pyproject.toml as anybody might write them, also with bad intent."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from source_trees import Link, source_tree

from reprolake_builder.detect import detect
from reprolake_builder.documents.environment import AskedSource
from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import DetectError


def read(tmp_path, text, **more):
    return detect(source_tree(tmp_path, {"requirements.txt": text, **more}))


def outcome(folder, files):
    """Return the spec and nothing, or None and the words of our own error."""
    try:
        return detect(source_tree(folder, files)), ""
    except DetectError as error:
        return None, error.message


def test_lines_as_pip_reads_them(tmp_path):
    """Comments, continuations, hashes, extras and markers come apart as pip has it."""
    spec = read(
        tmp_path,
        "  # comment\n"
        "numpy==1.26.4 \\\n"
        f"    --hash=sha256:{64 * 'a'} \\\n"
        f"    --hash=sha256:{64 * 'B'}\n"
        "requests[socks,security] >=2, <3  # why\n"
        "tomli ; python_version<'3.11'\n"
        "\n"
        "a#b\n".replace("a#b", "attrs")
        + "scipy \\\n# in between\n"
        "h5py\\\n==3.1\r\n",
    )
    assert [(a.text, a.origin.partition(":")[2]) for a in spec.requirements] == [
        ("numpy==1.26.4", "2"),
        ("requests[security,socks]<3,>=2", "5"),
        ('tomli; python_version < "3.11"', "6"),
        ("attrs", "8"),
        ("scipy", "9"),
        ("h5py==3.1", "11"),
    ]
    assert spec.unheard == ()
    assert [a.sha256 for a in spec.requirements] == [(64 * "a", 64 * "b"), (), (), (), (), ()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("numpy --hash=md5:1234", "cannot be compared"),
        ("numpy --hash=sha256:1234", "cannot be compared"),
        ("numpy --hash sha256", "cannot be compared"),
        (f"-e ./lib --hash=sha256:{64 * 'a'}", "no archive"),
        (f"./lib --hash=sha256:{64 * 'a'}", "no archive"),
        (f"a @ git+https://example.org/a.git --hash=sha256:{64 * 'a'}", "no archive"),
    ],
)
def test_a_hash_that_cannot_be_honoured_is_refused(tmp_path, line, words):
    """What no index tells, or no archive has, is never passed over in silence."""
    folder = {"requirements.txt": f"{line}\n", "lib/setup.py": ""}
    with pytest.raises(DetectError, match=f"requirements.txt:1: .*{words}"):
        detect(source_tree(tmp_path, folder))


@pytest.mark.parametrize(
    ("line", "matters"),
    [
        ("--index-url https://u:p4ssword@h.org/simple", True),
        ("-i https://h.org", True),
        ("-ihttps://h.org", True),
        ("--extra-index-url=https://h.org", True),
        ("--no-index --find-links ./wheels", True),
        ("--find-links=wheels", True),
        ("--pre", True),
        ("--no-binary :all:", True),
        ("--only-binary=:all:", False),
        ("--prefer-binary", False),
        ("--require-hashes", False),
        ("--trusted-host h.org", False),
        ("numpy --config-settings=a=b", True),
        ("numpy --global-option='--x'", True),
    ],
)
def test_options_are_never_passed_over(tmp_path, line, matters):
    """Each of pip's options is named with its line; those that would change the result stop the build; no secret is shown."""
    spec = read(tmp_path, f"scipy\n{line}\n")
    assert {item.path for item in spec.unheard} == {"requirements.txt:2"}
    assert any(item.matters for item in spec.unheard) is matters
    assert "p4ssword" not in str(spec)
    ignored = detect(source_tree(tmp_path, {"requirements.txt": f"scipy\n{line}\n"}), ("requirements.txt:2",))
    assert not any(item.matters for item in ignored.unheard)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("git+https://u:p4ssword@h.org/a/b@main#egg=b", "carries a login"),
        ("git+https://h.org/a/b@main#egg=-b", "no package after egg="),
        ("git+https://h.org/a/b@main#foo=b", "not understood"),
        ("git+ftp://h.org/a", "are not taken"),
        ("git+https://h.org/a@b..c", "is no name of a branch"),
        ("git+https://h.org/a#subdirectory=../b", "leads out of the repository"),
        ("b @ git+https://u:p4ssword@h.org/b", "carries a login"),
        ("b @ https://u:p4ssword@h.org/b.whl", "holds a login"),
        ("hg+https://h.org/b", "neither git nor an archive"),
        ("https://u:p4ssword@h.org/b.tar.gz", "holds a login"),
        ("file:.", "neither git nor an archive"),
        ("b @ file:///opt/b", "neither a git repository nor an archive"),
        ("./lib", "without pyproject.toml"),
        ("lib/sub", "without pyproject.toml"),
        ("-e lib", "without pyproject.toml"),
        ("-e ..", "leads out of the repository"),
        ("./a/../../b", "leads out of the repository"),
        ("/opt/b", "leads out of the repository"),
        ("~/b", "leads out of the repository"),
        ("b-1.0-py3-none-any.whl", "without pyproject.toml"),
        ("./requirements.txt", "a package file"),
        ("https://h.org/b.html", "the address of no archive"),
        ("https://h.org/b-1-py3-none-any.whl --hash=md5:0", "cannot be compared"),
        ("c @ https://h.org/b-1-py3-none-any.whl", "is the address of b, and c is asked for"),
        ("http://h.org/b-1.tar.gz", "needs one SHA-256"),
        ("https://h.org/b-1.tar.gz#subdirectory=py", "is not understood"),
        (".; python_version<'3'", "not understood"),
        (".[a", "not understood"),
        ("numpy=1.2", "is no requirement"),
        ("numpy=1.2=py_0", "is no requirement"),
        ("numpy>=1.20.*", "is no requirement"),
        ("numpy scipy", "is no requirement"),
        ("numpy==${VERSION}", "variable"),
        ("--index-url", "no value"),
        ("--frobnicate", "not understood"),
        ("-r", "no value"),
        ("-r none.txt", "not in the repository"),
        ("-r ../../etc/passwd", "not in the repository"),
        ("-r /etc/passwd", "from elsewhere"),
        ("-c https://h.org/c.txt", "from elsewhere"),
        ("-r 'open", "cannot be taken apart"),
        ("a" * 3000, "too long"),
        ("numpy\x00", "control characters"),
        ("numpy; python_version<'\x1b[2J'", "control characters"),
    ],
)
def test_what_cannot_be_honoured_names_its_line(tmp_path, line, said):
    """Packages from elsewhere, files from outside and text that is no requirement are errors with file and line."""
    with pytest.raises(DetectError, match=said) as caught:
        read(tmp_path, f"scipy\n{line}\n")
    assert "requirements.txt:2" in caught.value.message
    assert "p4ssword" not in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("git+https://h.org/a/b@main#egg=b", {"url": "https://h.org/a/b", "ref": "main", "name": "b"}),
        ("-e git+ssh://git@h.org/a.git", {"url": "ssh://git@h.org/a.git"}),
        (
            "B.c[x,Y] @ git+https://h.org/a@v1#subdirectory=py ; python_version<'4'",
            {
                "url": "https://h.org/a",
                "ref": "v1",
                "folder": "py",
                "name": "b-c",
                "extras": ("x", "y"),
                "marker": 'python_version < "4"',
            },
        ),
        ("git+file:///srv/a#egg=b[x]", {"url": "file:///srv/a", "name": "b", "extras": ("x",)}),
        ("./lib", {"folder": "lib"}),
        ("-e ./lib[x]", {"folder": "lib", "extras": ("x",)}),
        ("lib/../lib ; os_name=='nt'", {"folder": "lib", "marker": 'os_name == "nt"'}),
    ],
)
def test_packages_asked_for_by_where_they_are(tmp_path, line, asked):
    """Git repositories and folders of the repository are told with ref, folder, extras and marker."""
    spec = read(tmp_path, f"scipy\n{line}\n", **{"lib/setup.py": ""})
    assert spec.sources == (AskedSource(origin="requirements.txt:2", **asked),)


def test_a_repository_from_elsewhere_gets_no_repository_of_this_host(tmp_path):
    """A stranger's requirements cannot bring what lies on this host into an image."""
    source = GitSource(
        url="https://h.org/a", commit="0" * 40, tree="1" * 40, date=datetime(2024, 1, 1, tzinfo=UTC)
    )
    tree = dataclasses.replace(
        source_tree(tmp_path, {"requirements.txt": "git+file:///home/me/private\n"}), source=source
    )
    with pytest.raises(DetectError, match="repository of this host"):
        detect(tree)


def test_addresses_cannot_be_constraints(tmp_path):
    """A constraints file says versions, not places."""
    with pytest.raises(DetectError, match="constrains a package to an address"):
        read(tmp_path, "-c c.txt\n", **{"c.txt": "b @ git+https://h.org/b\n"})


def test_a_single_equals_sign_is_explained(tmp_path):
    """The commonest slip gets the line that was meant."""
    with pytest.raises(DetectError) as caught:
        read(tmp_path, "numpy=1.2\n")
    assert "numpy==1.2" in caught.value.hint


def test_includes_in_circles_end(tmp_path):
    """Files that include each other are read once, and constraints stay constraints through includes."""
    spec = read(tmp_path, "-r a/x.txt\n-c a/c.txt\nnumpy\n", **{"a/x.txt": "-r ../requirements.txt\n", "a/c.txt": "-r d.txt\n", "a/d.txt": "h5py<4"})  # fmt: skip
    assert [a.text for a in spec.requirements] == ["numpy"]
    assert [a.text for a in spec.constraints] == ["h5py<4"]
    assert {f.path for f in spec.files} == {"requirements.txt", "a/x.txt", "a/c.txt", "a/d.txt"}


def test_an_included_link_out_of_the_repository_is_refused(tmp_path):
    """An include cannot read the host's files through a link."""
    with pytest.raises(DetectError, match="leads out"):
        read(tmp_path, "-r more.txt\n", **{"more.txt": Link("/etc/passwd")})


@pytest.mark.parametrize(
    "text",
    [
        "numpy" + " " * 200_000 + "\n",
        " " * 200_000 + ";\n",
        "\\\n" * 50_000,
        "./a" + " " * 1900 + ";\n",
        "-" * 100_000,
        "[" * 1900,
        "a; " + "(" * 1900,
        "--hash=sha256:a " * 20_000,
        "a" + "[b," * 600,
    ],
)
def test_hostile_lines_take_no_time(tmp_path, text):
    """Lines made to be slow to take apart are understood or refused at once."""
    start = time.monotonic()
    outcome(tmp_path, {"requirements.txt": text})
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
        "dependencies: " + "[" * 5000,
        "dependencies:\n- " + "{a: " * 5000,
        "!!python/object/apply:os.system ['touch /tmp/x']",
        "dependencies: [python=3.11]\ndependencies: [python=3.12]",
        "a: b: c",
        "- python",
        "dependencies: text",
        "dependencies:\n- pip: text",
        "dependencies:\n- pip:\n  - [x]",
        "? [a]\n: b",
        "a: 1\n--- \nb: 2",
        "\x01",
        "x" * (1 << 21),
        "%YAML 9.9\n---\na: b",
        "a: 2024-99-99",
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text):
    """Alias bombs, deep nesting, objects, doubled keys and broken YAML are errors or read as plain text, and run nothing."""
    spec, said = outcome(tmp_path, {"environment.yml": text})
    assert "environment.yml" in said if spec is None else spec.requirements == ()


@pytest.mark.parametrize(
    "text",
    [
        "[", "a = " + "[" * 50_000, "project = 1", "[project]", "[project]\nname = 1", '[project]\nname = "a"\ndependencies = "x"',
        '[project]\nname = "a"\ndependencies = [1]', '[project]\nname = "a"\ndependencies = ["x y"]',
        '[project]\nname = "a"\ndependencies = ["x @ https://h.org/x"]', '[project]\nname = "a"\nrequires-python = 3',
        '[project]\nname = "a"\nrequires-python = "3.x"', '[project]\nname = "a"\noptional-dependencies = []',
        '[project]\nname = "a"\n[build-system]', "tool = 1\n[project]\nname = 'a'", "build-system = 1\n[project]\nname = 'a'",
    ],
)  # fmt: skip
def test_broken_pyproject_is_refused(tmp_path, text):
    """A pyproject.toml that does not follow its specification is an error that names the file."""
    with pytest.raises(DetectError, match=r"pyproject\.toml"):
        detect(source_tree(tmp_path, {"pyproject.toml": text}))


WORDS = st.sampled_from(
    ["numpy", "==1.0", ">=2", "[x]", ";", "python_version", "<'3'", "-r", "-c", "-e", ".", "..", "/", "a.txt", "--hash=",
     "sha256:0", "--pre", "@", "https://h", "\\", "\n", " ", "#", "'", '"', "(", ")", ",", "\x00", "é", "${A}", "~", "=",
     "-", "--index-url", "\u2028", "\x0c", "*"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=25).map("".join), st.text(max_size=60)))
def test_any_requirements_file_is_read_or_refused(text):
    """Whatever stands in requirements.txt, it is understood to the last line or refused with our own error."""
    with tempfile.TemporaryDirectory() as temporary:
        spec, said = outcome(Path(temporary), {"requirements.txt": text, "a.txt": "attrs"})
    assert said.replace("\n", "").isprintable()
    for asked in (*spec.requirements, *spec.constraints) if spec else ():
        assert asked.text.isprintable()
        assert Requirement(asked.text).url is None


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["environment.yml", "pyproject.toml", "runtime.txt", ".python-version", "apt.txt"]),
    st.text(max_size=80),
)
def test_any_other_file_is_read_or_refused(name, text):
    """Whatever stands in the other files, nothing but our own error is raised."""
    with tempfile.TemporaryDirectory() as temporary:
        spec, said = outcome(Path(temporary), {name: text})
    assert spec is not None or name in said


def test_archives_at_addresses_are_sources(tmp_path):
    """A wheel tells its name, an archive of sources may not; a hash stands in the address or behind it."""
    digest = "a" * 64
    text = (
        "https://h.org/w/Big_Lib-1.0-py3-none-any.whl ; python_version > '3'\n"
        f"lib[fast] @ https://h.org/archive/v1.tar.gz#sha256={digest}\n"
        f"other @ https://h.org/other-2.zip --hash=sha256:{digest}\n"
    )
    spec = detect(source_tree(tmp_path, {"requirements.txt": text}))
    assert [(a.name, a.url, a.sha256, a.extras, a.marker, a.archive) for a in spec.sources] == [
        ("big-lib", "https://h.org/w/Big_Lib-1.0-py3-none-any.whl", "", (), "python_version > '3'", True),
        ("lib", "https://h.org/archive/v1.tar.gz", digest, ("fast",), "", True),
        ("other", "https://h.org/other-2.zip", digest, (), "", True),
    ]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]"])
def test_a_strangers_repository_asks_for_no_archive_of_this_host(tmp_path, host):
    """Only a folder of this host may name its own servers."""
    files = {"requirements.txt": f"http://{host}/b-1-py3-none-any.whl#sha256={'a' * 64}\n"}
    assert detect(source_tree(tmp_path, files)).sources
    (tmp_path / "far").mkdir()
    with pytest.raises(DetectError, match="of this host"):
        detect(source_tree(tmp_path / "far", files, from_git=True))
