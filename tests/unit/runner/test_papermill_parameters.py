"""papermill's documented behaviours beside ours: where they are the same, and where they differ on purpose."""

from __future__ import annotations

import base64
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from papermill.cli import _resolve_type
    from papermill.translators import JuliaTranslator, PythonTranslator, RTranslator

from reprolake_runner.bind import BindOptions, bind
from reprolake_runner.declared import declared_parameters
from reprolake_runner.errors import NotebookError
from reprolake_runner.languages import julia, python, r
from reprolake_runner.notebook import CodeCell, Notebook


def notebook(text="", *, tagged=True, language="python"):
    return Notebook(
        path="a/n.ipynb",
        sha256="0" * 64,
        kernel="python3",
        language=language,
        code=(CodeCell(0, text),),
        parameters_cell=0 if tagged else None,
        parameters=declared_parameters(text, "n.ipynb", 0) if tagged and language == "python" else (),
    )


def bound(text="", **options):
    return bind(notebook(text, tagged=bool(text)), None, BindOptions(**options)).parameters.values


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text", ["5", "-3", "2.5", "1e5", "hello", "", "0x10", "é", "a: b", "yes", "True", "False", "None"]
)
def test_what_papermill_makes_of_a_text_we_make_of_it(text):
    """Without a declared type, -p gives numbers and words as papermill does."""
    ours = bound(values=(("x", text),))["x"]
    assert (ours, type(ours)) == (_resolve_type(text), type(_resolve_type(text)))


@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("007", 7, "007"),
        ("1_000", 1000, "1_000"),
        (" 12 ", 12, 12),
        ("٣", 3, "٣"),
        ("nan", pytest.approx(float("nan"), nan_ok=True), "nan"),
        ("infinity", float("inf"), "infinity"),
        ("1e999", float("inf"), "1e999"),
        ("true", "true", True),
        ("null", "null", None),
        ("[1, 2]", "[1, 2]", [1, 2]),
    ],
)
def test_where_an_undeclared_text_differs_on_purpose(text, theirs, ours):
    """What is no JSON stays the text that it is: no leading zero is lost, no word becomes a number."""
    assert _resolve_type(text) == theirs
    found = bound(values=(("x", text),))["x"]
    assert (found, type(found)) == (ours, type(ours))


@pytest.mark.parametrize(
    ("default", "text", "ours"),
    [
        ("x = '0'", "007", "007"),
        ("x = 1", "007", 7),
        ("x = True", "True", True),
        ("x: int | None = 1", "None", None),
        ("x = ''", "None", "None"),
        ("x = 0.5", "1", 1.0),
        ("x = []", "[1, [2, {'é': None}]]", [1, [2, {"é": None}]]),
    ],
)
def test_the_notebook_decides_what_a_text_is(default, text, ours):
    """A declared default or annotation gives the text its type, which papermill cannot know."""
    found = bound(default, values=(("x", text),))["x"]
    assert (found, type(found)) == (ours, type(ours))


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("no", "no"),
        ("010", 10),
        ("1:30", "1:30"),
        ("1e5", 1e5),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("true", True),
    ],
)
@pytest.mark.parametrize("by", ["yaml", "base64", "files"])
def test_yaml_is_that_of_today(text, ours, by):
    """-y, -f and -b read YAML 1.2: Norway is no boolean, a time no number, a date stays text."""
    line = f"x: {text}"
    given = {"yaml": (line,), "base64": (encoded(line),), "files": (("p.yaml", line.encode()),)}
    found = bound(**{by: given[by]})["x"]
    assert (found, type(found)) == (ours, type(ours))


def test_later_options_win_in_papermills_order():
    """Paths, then -b, -f, -y, -p and -r: the later one is what the notebook gets."""
    everything = {
        "input_path": "n.ipynb",
        "base64": (encoded("{PAPERMILL_INPUT_PATH: b, a: b, c: b, d: b, e: b, f: b}"),),
        "files": (("p.yaml", b"{c: f, d: f, e: f, f: f}"),),
        "yaml": ("{d: y, e: y, f: y}",),
        "values": (("e", "p"), ("f", "p")),
        "raw": (("f", "7"),),
    }
    assert bound(**everything) == {
        "PAPERMILL_INPUT_PATH": "b", "a": "b", "c": "f", "d": "y", "e": "p", "f": "7",
    }  # fmt: skip


def test_paths_are_injected_under_papermills_names():
    """They need no declaration, and nobody is told to declare them."""
    found = bind(
        notebook("x = 1", tagged=False), None, BindOptions(input_path="a/n.ipynb", output_path="n.ipynb")
    )
    assert found.parameters.values == {
        "PAPERMILL_INPUT_PATH": "a/n.ipynb",
        "PAPERMILL_OUTPUT_PATH": "n.ipynb",
    }
    assert found.notices == ()


def test_a_misspelt_name_is_refused_where_papermill_warns():
    """With declared parameters another name is an error that names the nearest."""
    with pytest.raises(NotebookError, match="did you mean bins"):
        bound("bins = 1", values=(("bin", "2"),))


def test_base64_that_is_none_is_refused():
    """Text that is no base64 is named as what it is, not silently shortened."""
    with pytest.raises(NotebookError, match="-b: no base64"):
        bound(base64=("%%%",))


def test_base64_may_be_broken_into_lines():
    """What the program `base64` writes is taken as it comes, as papermill does."""
    text = base64.encodebytes(f"n: 5\nname: {'x' * 100}".encode()).decode()
    assert text.count("\n") > 1
    assert bound(base64=(text,))["name"] == "x" * 100


def test_names_are_those_of_the_notebooks_language():
    """Dots belong to names in R and not in Python; nothing that is code is a name in either."""
    options = BindOptions(values=(("a.b", "1"),))
    assert bind(notebook(language="R"), None, options).parameters.values == {"a.b": 1}
    with pytest.raises(NotebookError, match=r"-p: 'a\.b' cannot be the name"):
        bind(notebook(), None, options)
    with pytest.raises(NotebookError, match="cannot be the name"):
        bind(notebook(language="bash"), None, BindOptions(values=(("x=1;id;y", "1"),)))


@pytest.mark.parametrize("value", [None, True, 5, 2.5, "text", [1, "a"], {"k": [1, None]}])
def test_our_python_means_what_papermills_means(value):
    """The two write different text for the same value."""
    assert eval(python(value)) == eval(PythonTranslator.translate(value)) == value


def test_other_scripts_and_dollars_are_not_spoilt():
    """Papermill escapes letters in a way that R refuses, and leaves Julia's interpolation alone; we do neither."""
    assert RTranslator.translate("é") == '"\\xe9"'
    assert r("é") == '"é"'
    assert "\\$" not in JuliaTranslator.translate("$(run(`id`))")
    assert julia("$(run(`id`))") == '"\\$(run(`id`))"'
