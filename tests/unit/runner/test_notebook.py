"""Notebooks: what they declare is read exactly, and nothing in them or around them leads astray."""

from __future__ import annotations

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.declared import declared_parameters
from reprolake_runner.errors import NotebookError
from reprolake_runner.imports import imported_modules, repository_modules, undeclared_imports
from reprolake_runner.notebook import MAX_BYTES, CodeCell, check_cwd, read_notebook

# Cells on which regular expressions go wrong.
CELL = '''a = 1 # type: int
b: float = 2.5  # help = text
c = {"k": 1}
d = "a=b"
e: dict[str, int] = {}
f: "list[int]" = [1,
   2]
g = f(x=1)
h, i = 1, 2
j += 1
if True:
    k = 3
l: int
m: Optional[int] = None
n = """multi
% line"""
o: np.ndarray = 3
p = "x # y"
import os
q = -1.5e3
r: int | None = 7
s = None
t: float = 1
u = (1, 2)
v = {1, 2}
w = True
x: Literal["a", "b"] = "a"
y: typing.List[str] = []
z = 1e999
'''


def cell(text, *tags, kind="code"):
    found = {
        "cell_type": kind,
        "id": f"c{abs(hash(str(text))) % 10**8}",
        "metadata": {"tags": list(tags)},
        "source": text,
    }
    return found | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def write(folder, *cells, name="n.ipynb", **changes):
    notebook = {
        "cells": list(cells),
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    } | changes
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(notebook))
    return folder


def refused(folder, path):
    with pytest.raises(NotebookError) as caught:
        read_notebook(folder, path)
    return f"{caught.value.message} | {caught.value.hint}"


def test_the_parameters_are_those_that_python_sees():
    """Names, types, defaults and lines of a cell full of traps come out as Python itself reads them."""
    found = {one.name: one for one in declared_parameters(CELL, "n.ipynb", 0)}
    short = {name: (one.kind, one.default, one.literal) for name, one in found.items()}
    assert short == {
        "a": ("int", 1, True),
        "b": ("float", 2.5, True),
        "c": ("dict", {"k": 1}, True),
        "d": ("str", "a=b", True),
        "e": ("dict", {}, True),
        "f": ("list", [1, 2], True),
        "g": ("", None, False),
        "h": ("int", 1, True),
        "i": ("int", 2, True),
        "l": ("int", None, False),
        "m": ("int", None, True),
        "n": ("str", "multi\n% line", True),
        "o": ("int", 3, True),
        "p": ("str", "x # y", True),
        "q": ("float", -1500.0, True),
        "r": ("int", 7, True),
        "s": ("", None, True),
        "t": ("float", 1, True),
        "u": ("list", [1, 2], True),
        "v": ("", None, False),
        "w": ("bool", True, True),
        "x": ("str", "a", True),
        "y": ("list", [], True),
        "z": ("", None, False),
    }
    assert [name for name, one in found.items() if one.required] == ["l"]
    assert [name for name, one in found.items() if one.nullable] == ["m", "r", "s"]
    assert found["p"].line == 18


def test_the_last_assignment_of_a_parameter_counts():
    """As in Python, a second assignment replaces the first."""
    (found,) = declared_parameters("a = 1\na = 'x'", "n.ipynb", 0)
    assert (found.kind, found.default) == ("str", "x")


def test_ipython_lines_do_not_hide_parameters():
    """Magics and shell lines in the cell are passed over."""
    found = declared_parameters("%matplotlib inline\n!ls\nfiles = !ls\nbins = 3\nbins?", "n.ipynb", 0)
    assert [(one.name, one.default) for one in found] == [("files", None), ("bins", 3)]


def test_a_cell_that_is_no_python_is_refused_with_its_line():
    """A syntax error is told with cell and line."""
    with pytest.raises(NotebookError, match=r"n\.ipynb, cell 3 \(tagged parameters\), line 2"):
        declared_parameters("a = 1\nprint 'x'", "n.ipynb", 2)


@given(st.text(max_size=200))
def test_any_text_is_a_cell_or_a_notebook_error(text):
    """Whatever stands in the cell, the reader ends in parameters or a NotebookError."""
    with contextlib.suppress(NotebookError):
        declared_parameters(text, "n.ipynb", 0)


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 100_000 + "1", "a = 1+" * 50_000 + "1", "a" + ".b" * 100_000, "\0"]
)
def test_bottomless_code_is_refused(text):
    """Code made to exhaust the parser is an error like any other."""
    with pytest.raises(NotebookError):
        declared_parameters(text, "n.ipynb", 0)


def test_a_notebook_is_read_with_its_first_tagged_cell(tmp_path):
    """Kernel, language, cells, parameters and hash describe the file."""
    write(
        tmp_path,
        cell("# Title", kind="markdown"),
        cell(["bins = 10\n", "x = 'a'"], "parameters"),
        cell("1/0"),
    )
    found = read_notebook(tmp_path, "n.ipynb")
    assert (found.kernel, found.language, found.parameters_cell) == ("python3", "python", 1)
    assert [one.name for one in found.parameters] == ["bins", "x"]
    assert [one.index for one in found.code] == [1, 2]


def test_a_missing_notebook_lists_what_there_is_and_the_nearest(tmp_path):
    """A typo is answered with the right spelling and the list."""
    write(tmp_path, name="analysis/lightcurve.ipynb")
    write(tmp_path, name="spectrum.ipynb")
    said = refused(tmp_path, "lightcurv.ipynb")
    assert "did you mean analysis/lightcurve.ipynb?" in said
    assert "analysis/lightcurve.ipynb, spectrum.ipynb" in said


@pytest.mark.parametrize("path", ["../n.ipynb", "/etc/passwd", "a/../../n.ipynb", "", "a\0b"])
def test_a_path_out_of_the_repository_is_refused(tmp_path, path):
    """No spelling of a path leaves the repository."""
    write(tmp_path, name="n.ipynb")
    (tmp_path / "repo").mkdir()
    assert "no path inside the repository" in refused(tmp_path / "repo", path)


def test_a_link_out_of_the_repository_is_refused(tmp_path):
    """A notebook that is a link to somewhere else is not read; one inside the repository is."""
    write(tmp_path, name="outside.ipynb")
    repository = write(tmp_path / "repo", name="real.ipynb")
    (repository / "n.ipynb").symlink_to("../outside.ipynb")
    (repository / "folder").symlink_to("..")
    (repository / "same.ipynb").symlink_to("real.ipynb")
    assert "leads out of the repository" in refused(repository, "n.ipynb")
    assert "leads out of the repository" in refused(repository, "folder/outside.ipynb")
    assert read_notebook(repository, "same.ipynb").path == "same.ipynb"


def test_a_name_that_no_record_can_hold_is_refused(tmp_path):
    """Names that are no UTF-8, as file systems have them, of the notebook and of its folder are told before a run begins."""
    name = os.fsdecode(b"n\xff.ipynb")
    write(tmp_path, name=name)
    assert "no name in UTF-8" in refused(tmp_path, name)
    folder = os.fsdecode(b"d\xff")
    (tmp_path / folder).mkdir()
    with pytest.raises(NotebookError, match="no folder of the repository"):
        check_cwd(tmp_path, folder)


def test_a_pipe_is_no_notebook(tmp_path):
    """A named pipe is refused at once instead of being waited for."""
    os.mkfifo(tmp_path / "n.ipynb")
    assert "is no file" in refused(tmp_path, "n.ipynb")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nbformat": 3}, "a notebook of format 3; format 4 can be run"),
        ({"nbformat": 99}, "format 99"),
        ({"nbformat": "4"}, "Expected `int`"),
        ({"cells": {}}, "$.cells"),
        ({"cells": [{"cell_type": "code", "metadata": {}, "source": 3}]}, "$.cells[0].source"),
        ({"cells": [{"cell_type": "heading", "metadata": {}, "source": ""}]}, "$.cells[0].cell_type"),
        ({"metadata": {"kernelspec": {"name": "../x"}}}, "names the kernel '../x'"),
        ({"metadata": {"kernelspec": {"name": ".."}}}, "names the kernel '..'"),
        ({"metadata": {"language_info": {"name": "R\n"}}}, "which is no name of a language"),
    ],
)
def test_an_unusable_notebook_is_refused_with_what_is_wrong(tmp_path, changes, said):
    """Another format, another structure, another language: the message says which."""
    assert said in refused(write(tmp_path, **changes), "n.ipynb")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"nbformat":4,"x":' + b"[" * 200_000]
)
def test_bytes_that_are_no_json_are_refused(tmp_path, data):
    """Broken or bottomless JSON is a NotebookError."""
    (tmp_path / "n.ipynb").write_bytes(data)
    assert "n.ipynb is no valid notebook" in refused(tmp_path, "n.ipynb")


def test_a_huge_notebook_is_refused_unread(tmp_path):
    """A file beyond the limit is refused by its size (it is sparse here: reading it would take long)."""
    with (tmp_path / "n.ipynb").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert "the limit is" in refused(tmp_path, "n.ipynb")


def test_undeclared_imports_are_named_with_their_cell(tmp_path):
    """What is imported and not provided is found through magics; prepared failures and relative imports do not count."""
    write(
        tmp_path,
        cell("import numpy as np, sys\n%matplotlib inline\nfrom astropy.io import fits"),
        cell("%%bash\nimport nothing"),
        cell("%%time\nimport healpy.projector"),
        cell("try:\n    import gammapy\nexcept ImportError:\n    gammapy = None\nfrom . import x"),
        cell("import here, beside\nthis is not python"),
        cell("def f():\n    import healpy, here, beside"),
    )
    (tmp_path / "here.py").write_text("")
    (tmp_path / "src" / "beside").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    provided = {"numpy", "sys"} | repository_modules(tmp_path, "n.ipynb")
    found = undeclared_imports(read_notebook(tmp_path, "n.ipynb"), provided)
    assert [(one.module, one.cell) for one in found] == [("matplotlib", 0), ("astropy", 0), ("healpy", 2)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("%matplotlib inline", ["matplotlib"]),
        ("%%time\nif True:\n    %pylab\n!ls", ["matplotlib"]),
        ("%matplotlib_of_mine", []),
        ('text = """\n%matplotlib inline\n"""', []),
        ("try:\n    %matplotlib widget\nexcept Exception:\n    pass", []),
    ],
)
def test_the_magic_of_matplotlib_imports_it(source, found):
    """`%matplotlib` fails where matplotlib is not installed: it counts as an import, except where it is only text."""
    assert list(imported_modules(CodeCell(0, source))) == found


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({}, ("python3", "python")),
        ({"language_info": {"name": "R"}}, ("", "R")),
        ({"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}}, ("ir", "R")),
        ({"kernelspec": {"display_name": "x"}, "language_info": {"name": "python"}}, ("python3", "python")),
    ],
)
def test_what_a_notebook_says_of_its_kernel(tmp_path, metadata, found):
    """Only a Python notebook, or one that says nothing, is taken to mean python3."""
    made = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": []}
    (tmp_path / "a.ipynb").write_text(json.dumps(made))
    notebook = read_notebook(tmp_path, "a.ipynb")
    assert (notebook.kernel, notebook.language) == found


def test_a_python_2_notebook_may_declare_what_is_no_python_of_today(tmp_path):
    """Its parameters are known as far as they can be parsed, and it is no error where they cannot."""
    made = {
        "nbformat": 4,
        "nbformat_minor": 4,
        "metadata": {"kernelspec": {"name": "python2", "language": "python"}},
        "cells": [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "print 'x'\nn = 1"}],
    }
    (tmp_path / "a.ipynb").write_text(json.dumps(made))
    notebook = read_notebook(tmp_path, "a.ipynb")
    assert (notebook.parameters, notebook.dialect) == ((), "python2")
