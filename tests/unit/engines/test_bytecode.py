"""Byte code: the same bytes every time, the image's paths inside, and nothing of the tree is executed."""

import dataclasses
import hashlib
import marshal
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_base import MINOR as PYTHON
from python_base import python_base

from reprolake_builder.engines import compiler
from reprolake_builder.engines.bytecode import SHARE, ByteCode
from reprolake_builder.engines.interpreters import debian_program
from reprolake_builder.errors import BuildError
from reprolake_builder.sandboxes import cgroups, scope

pytestmark = pytest.mark.engine("bubblewrap")

TAG = sys.implementation.cache_tag
MODULE = 'NAMES = {"b", "a", "c"}\n\ndef has(name):\n    return name in {"x", "y", "z", "w"}\n'


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base whose interpreter is the one that runs the tests."""
    return python_base(tmp_path_factory.mktemp("base"))


def compile_tree(base: Path, root: Path, folder: str, prefix: str) -> dict[bytes, bytes]:
    """Compile one folder and return the digests of what was made."""
    with ByteCode(debian_program(base, PYTHON)) as byte_code:
        return byte_code.compile_tree(root, (folder,), prefix)


def compiled(base: Path, root: Path, sources: dict[str, str]) -> dict[str, bytes]:
    """Write the sources, compile them and return the byte code by path."""
    for name, text in sources.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    compile_tree(base, root, "lib", "/opt/env")
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.pyc"))}


def code_of(pyc: bytes):
    """Return the code object of a pyc that this test just made."""
    return marshal.loads(pyc[16:])


def test_two_trees_get_identical_bytes(base, tmp_path, monkeypatch):
    """The same sources in other folders, under another environment and umask, give the same byte code."""
    sources = {f"lib/package/module_{number}.py": MODULE + f"N = {number}\n" for number in range(SHARE + 30)}
    first = compiled(base, tmp_path / "first", sources)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("LANG", "tr_TR.UTF-8")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    before = os.umask(0o077)
    try:
        second = compiled(base, tmp_path / "a longer name" / "second", sources)
    finally:
        os.umask(before)
    assert len(first) == SHARE + 30
    assert first == second


def test_what_was_compiled_before_leaves_no_trace(base, tmp_path):
    """One compiler gives a tree the same bytes after other trees, sound and broken ones, as at first; their digests are right."""
    sources = {"lib/a.py": MODULE, "lib/b.py": "# coding: latin-1\nname = 'b'\n"}
    first = compiled(base, tmp_path / "first", sources)
    for number, text in enumerate(
        ("name = lambda x: {1.5, None, ()}\n", "def has(:\n", "# coding: cp1252\n" + MODULE)
    ):
        (tmp_path / f"other{number}/lib").mkdir(parents=True)
        (tmp_path / f"other{number}/lib/a.py").write_text(text)
    (tmp_path / "second/lib").mkdir(parents=True)
    for name, text in sources.items():
        (tmp_path / "second" / name).write_text(text)
    with ByteCode(debian_program(base, PYTHON)) as byte_code:
        for number in range(3):
            byte_code.compile_tree(tmp_path / f"other{number}", ("lib",), "/elsewhere")
        digests = byte_code.compile_tree(tmp_path / "second", ("lib",), "/opt/env")
    second = {os.fsdecode(path): (tmp_path / "second" / os.fsdecode(path)).read_bytes() for path in digests}
    assert second == first
    assert digests == {os.fsencode(p): hashlib.sha256(data).digest() for p, data in first.items()}


def test_the_code_names_its_place_in_the_image(base, tmp_path):
    """A traceback shows the path inside the image, never the host's."""
    made = compiled(base, tmp_path, {"lib/a.py": MODULE})
    pyc = made[f"lib/__pycache__/a.{TAG}.pyc"]
    assert code_of(pyc).co_filename == "/opt/env/lib/a.py"
    assert pyc[4:8] == (1).to_bytes(4, "little"), "hash-based and unchecked"
    assert os.fsencode(tmp_path) not in pyc


def test_what_is_no_python_gets_no_byte_code(base, tmp_path):
    """Sources that cannot be compiled are left alone and those beside them are compiled."""
    sources = {
        "lib/syntax.py": "def broken(:\n",
        "lib/zero.py": "a = '\0'\n",
        "lib/deep.py": "(" * 5000 + ")" * 5000,
        "lib/sum.py": "x = " + "+".join(["1"] * 60000),
        "lib/cookie.py": "# coding: no-such-thing\n",
        "lib/fine.py": "x = 1\n",
    }
    assert f"lib/__pycache__/fine.{TAG}.pyc" in compiled(base, tmp_path, sources)
    assert not (tmp_path / f"lib/__pycache__/syntax.{TAG}.pyc").exists()
    assert not (tmp_path / f"lib/__pycache__/cookie.{TAG}.pyc").exists()


def test_test_modules_get_no_byte_code(base, tmp_path):
    """Modules test_*.py below a folder of tests are left out; what tests share and what is only called so is compiled."""
    left_out = ["lib/a/tests/test_x.py", "lib/test/deep/test_y.py", "lib/a/tests/test_.py"]
    kept = [
        "lib/a/tests/__init__.py",
        "lib/a/tests/helper.py",
        "lib/test_z.py",
        "lib/a/testing/test_w.py",
        "lib/tests.py",
    ]
    made = compiled(base, tmp_path, dict.fromkeys((*left_out, *kept), "x = 1\n"))
    expected = [Path(name).parent / f"__pycache__/{Path(name).stem}.{TAG}.pyc" for name in kept]
    assert sorted(made) == sorted(map(str, expected))


def test_nothing_of_the_tree_is_imported(base, tmp_path):
    """Modules of the tree that shadow the standard library do not run while the tree is compiled."""
    mark = tmp_path / "executed"
    text = f"open({str(mark)!r}, 'w').close()\n"
    sources = {
        f"lib/{name}.py": text for name in ("os", "marshal", "linecache", "sitecustomize", "encodings")
    }
    assert len(compiled(base, tmp_path, sources)) == len(sources)
    assert not mark.exists()


def test_links_are_neither_read_nor_written_through(base, tmp_path):
    """A source or a cache folder that is a symbolic link is left alone, and a shipped hard-linked pyc is not written into."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("secret = 1\n")
    (outside / "pyc").write_bytes(b"kept")
    tree = tmp_path / "tree"
    (tree / "lib/linked").mkdir(parents=True)
    (tree / "lib/linked/a.py").write_text("a = 1\n")
    (tree / "lib/linked/__pycache__").symlink_to(outside)
    (tree / "lib/secret.py").symlink_to(outside / "secret.py")
    (tree / "lib/folder").symlink_to(outside)
    (tree / "lib/__pycache__").mkdir()
    os.link(outside / "pyc", tree / f"lib/__pycache__/b.{TAG}.pyc")
    (tree / "lib/b.py").write_text("b = 1\n")
    compile_tree(base, tree, "", "")
    assert sorted(path.name for path in outside.iterdir()) == ["pyc", "secret.py"]
    assert (outside / "pyc").read_bytes() == b"kept"
    assert not (tree / f"lib/__pycache__/secret.{TAG}.pyc").exists()
    assert code_of((tree / f"lib/__pycache__/b.{TAG}.pyc").read_bytes()).co_filename == "/lib/b.py"


def test_an_endless_source_gets_no_byte_code(base, tmp_path):
    """A source beyond the limit is passed over before it is read, and the one after it is compiled."""
    made = compiled(base, tmp_path, {"lib/endless.py": "#" * (8 << 20) + "\n", "lib/fine.py": "x = 1\n"})
    assert list(made) == [f"lib/__pycache__/fine.{TAG}.pyc"]


def test_a_source_that_kills_the_compiler_is_named(base, tmp_path, monkeypatch):
    """When the compiling process dies the build ends with the name of the source that it died of."""
    script = tmp_path / "script.py"
    script.write_text("import os\nos.write(1, bytes(8))\nos.abort()\n")
    monkeypatch.setattr(compiler, "_SCRIPT", script)
    with pytest.raises(BuildError, match=r"ended by signal 6 at /opt/env/lib/bad\.py"):
        compiled(base, tmp_path, {"lib/a.py": "", "lib/bad.py": ""})


HOG = "import os\nkept = [bytearray(b'x' * (1 << 20)) for _ in range({megabytes})]\nimport time; time.sleep({rest})\n"


@pytest.mark.parametrize("way", ["groups", "watched"])
def test_a_compiler_that_wants_all_memory_is_ended(base, tmp_path, monkeypatch, way):
    """An interpreter that takes more memory than it may, whoever it is, ends the build with that word; below the limit it may go on."""
    if way == "watched":
        monkeypatch.setattr(cgroups, "places", dict)
        monkeypatch.setattr(scope, "is_there", bool)
    limit = 1 << 29
    monkeypatch.setattr(compiler, "_MEMORY", limit)
    monkeypatch.setattr(compiler, "_LIMITS", dataclasses.replace(compiler._LIMITS, memory_bytes=limit))
    script = tmp_path / "script.py"
    monkeypatch.setattr(compiler, "_SCRIPT", script)
    script.write_text(HOG.format(megabytes=800, rest=30))
    with pytest.raises(BuildError, match=r"needed more than \S+ GiB of memory at /opt/env/lib/a\.py"):
        compiled(base, tmp_path, {"lib/a.py": ""})
    script.write_text(HOG.format(megabytes=100, rest=0.5) + "os.write(1, bytes(8))\n")
    assert compiled(base, tmp_path, {"lib/a.py": ""}) == {}


def test_a_base_without_python_is_an_error(tmp_path):
    """A lock whose base has no interpreter is told so."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a.py").write_text("a = 1\n")
    with pytest.raises(BuildError, match="holds no Python"):
        compile_tree(tmp_path / "none", tmp_path, "lib", "/")


@settings(max_examples=10, deadline=None)
@given(name=st.binary(min_size=1, max_size=20).filter(lambda b: not set(b) & {0, 47}))
def test_any_file_name_is_compiled(base, tmp_path_factory, name):
    """File names are bytes: spaces, newlines and what is no text do no harm."""
    root = tmp_path_factory.mktemp("tree")
    with open(os.fsencode(root) + b"/" + name + b".py", "w") as stream:
        stream.write("a = 1\n")
    compile_tree(base, root, "", "/x")
    pyc = os.fsencode(root) + b"/__pycache__/" + name + b"." + os.fsencode(TAG) + b".pyc"
    assert os.path.exists(pyc)
