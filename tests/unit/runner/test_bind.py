"""Binding: values take the types that the notebook declares, names are exact, baskets fill what they match."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.basket import read_basket
from reprolake_runner.bind import Binding, BindOptions, bind, refuse_unfilled
from reprolake_runner.declared import declared_parameters
from reprolake_runner.errors import BasketError, NotebookError, RunnerError
from reprolake_runner.notebook import CodeCell, Notebook

CELL = """bins = 10
emin: float = 0.1
name = "Crab"
flag = False
energies = [0.1, 1.0]
options = {}
anything = None
computed = len("abc")
maybe: int | None = None
events: list[str] = []
irf = ""
"""
ITEMS = [
    {"name": "crab_1.fits", "url": "file:crab_1.fits"},
    {"name": "crab_0.fits", "url": "file:crab_0.fits"},
    {"name": "irf.fits", "url": "file:irf.fits", "archive": "cta"},
    {"archive": "rucio", "record": {"scope": "t", "name": "dl3.fits", "type": "DATASET"}},
]


def notebook(text=CELL, *, tagged=True):
    return Notebook(
        path="n.ipynb",
        sha256="0" * 64,
        kernel="python3",
        language="python",
        code=(CodeCell(0, text),),
        parameters_cell=0 if tagged else None,
        parameters=declared_parameters(text, "n.ipynb", 0) if tagged else (),
    )


def basket(*items):
    return read_basket(json.dumps(items or ITEMS).encode(), "b", Path("/d"))


def values(found: Binding):
    return found.parameters.values


def given_value(name, text):
    return values(bind(notebook(), None, BindOptions(values=((name, text),))))[name]


def refused(kind, *args, **options):
    with pytest.raises(kind) as caught:
        bind(args[0] if args else notebook(), args[1] if len(args) > 1 else None, BindOptions(**options))
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bins", "20", 20),
        ("bins", "007", 7),
        ("bins", "-3", -3),
        ("emin", "1", 1.0),
        ("emin", "1e-3", 0.001),
        ("emin", "-.5", -0.5),
        ("name", "007", "007"),
        ("name", "true", "true"),
        ("name", "", ""),
        ("name", 'say "hi" $x {y}\n', 'say "hi" $x {y}\n'),
        ("flag", "true", True),
        ("flag", "False", False),
        ("energies", "[1, 2.5]", [1, 2.5]),
        ("energies", "['a', None]", ["a", None]),
        ("energies", "(1, 2)", [1, 2]),
        ("options", '{"a": [1]}', {"a": [1]}),
        ("anything", "None", None),
        ("anything", "3", 3),
        ("anything", "['a']", ["a"]),
        ("anything", "hello", "hello"),
        ("computed", "3.5", 3.5),
        ("computed", "true", True),
        ("computed", "null", None),
        ("computed", "007", "007"),
        ("computed", "NaN", "NaN"),
        ("computed", '"quoted"', '"quoted"'),
        ("maybe", "None", None),
        ("maybe", "4", 4),
    ],
)
def test_text_takes_the_type_of_the_notebooks_own_value(name, text, value):
    """The default or annotation decides what -p text means; types are exact."""
    found = given_value(name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bins", "2.5"), ("bins", "abc"), ("bins", "1_000"), ("bins", "٣"), ("bins", " 12 "), ("bins", "true"),
        ("bins", "9" * 30), ("bins", "nan"), ("emin", "1e999"), ("emin", "-1e999"), ("emin", "0x10"), ("emin", "nano"),
        ("flag", "1"), ("flag", "yes"), ("energies", "3"), ("energies", "a,b"), ("options", "[1]"), ("maybe", "x"),
    ],
)  # fmt: skip
def test_text_of_another_type_is_refused_with_the_default(name, text):
    """A clash names the value, the parameter and what it takes."""
    said = refused(NotebookError, values=((name, text),))
    assert "-p: " in said
    assert name in said


def test_a_clash_names_value_and_default():
    """The message holds both sides of the clash."""
    said = refused(NotebookError, values=(("bins", "twenty"),))
    assert "'twenty' does not fit the parameter bins (int, default 10)" in said


def test_yaml_is_yaml_1_2_without_dates():
    """`no` is text, 010 is ten, 1e5 a number and a date the text that it is."""
    text = b"a: no\nb: 010\nc: 1e5\nd: 2020-01-01\ne: 1:30\nf: ~\ng: 0o17\n"
    found = values(bind(notebook("x = 1", tagged=False), None, BindOptions(files=(("p.yaml", text),))))
    assert found == {"a": "no", "b": 10, "c": 100000.0, "d": "2020-01-01", "e": "1:30", "f": None, "g": 15}


def test_later_options_win():
    """-f < -y < -p < -r."""
    options = BindOptions(
        files=(("one.json", b'{"name": "f1", "bins": 1}'), ("two.yaml", b"name: f2\nemin: 2")),
        yaml=("name: y",),
        values=(("name", "p"), ("flag", "true")),
    )
    found = bind(notebook(), None, options).parameters.parameters
    assert [(one.name, one.value, one.origin) for one in found] == [
        ("bins", 1, "-f one.json"), ("emin", 2.0, "-f two.yaml"), ("name", "p", "-p"), ("flag", True, "-p"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"bins: [", "no YAML"),
        (b"- 1", "expected NAME: VALUE lines, found list"),
        (b"bins: 1\nbins: 2", "no YAML"),
        (b'{"bins": 1, "bins": 2}', "more than once"),
        (b"bins: .nan", "does not fit"),
        (b'{"emin": NaN}', "NaN and infinity are no JSON"),
        (b"1: 2", "is no text"),
        (b"a: &a [*a]", "nested deeper"),
        (b"bins: !!python/object/apply:os.system [id]", "no YAML"),
        (b"bins: 1\nname: a: b", "-f p.yaml: line 2, column 8: no YAML: mapping values are not allowed here"),
        (b"name: \x07", "-f p.yaml: $: no YAML: unacceptable character"),
        (b"name: 3", "3 does not fit the parameter name (str, default 'Crab')"),
        (b"bins: true", "True does not fit"),
        (b"bins:", "None does not fit"),
        (b"\xff", "no UTF-8"),
        (b"a: " + b"[" * 5000, "out of bounds"),
    ],
)
def test_a_broken_parameter_file_is_refused(text, said):
    """Broken, ambiguous, hostile or ill-typed files are NotebookErrors that name the file."""
    message = refused(NotebookError, files=(("p.yaml", text),))
    assert said in message
    assert "-f p.yaml" in message
    assert "<unicode string>" not in message


def test_an_alias_bomb_is_refused():
    """Aliases that unfold to billions of values end at the limit."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "more than" in refused(NotebookError, yaml=("\n".join(lines),))


def test_an_unknown_name_is_refused_with_the_nearest():
    """A misspelt parameter is answered with the right one and the list."""
    said = refused(NotebookError, values=(("bin", "3"),))
    assert "n.ipynb has no parameter bin; did you mean bins?" in said
    assert "emin" in said


@pytest.mark.parametrize("name", ["x=1; import os; y", "class", "a b", "", "1a"])
def test_a_name_that_is_no_variable_is_refused(name):
    """Names go into code that is run: only identifiers pass, also where any name would do."""
    assert "cannot be the name of a parameter" in refused(
        NotebookError, notebook(tagged=False), values=((name, "1"),)
    )


def test_a_notebook_without_parameters_cell_works_and_says_how_to_tag():
    """Names are accepted, and the notices tell the tag and which cell would undo the value."""
    found = bind(notebook("bins = 3", tagged=False), None, BindOptions(values=(("bins", "20"), ("new", "x"))))
    assert values(found) == {"bins": 20, "new": "x"}
    assert 'tag the cell that sets the defaults with "parameters"' in found.notices[0]
    assert "cell 1 of n.ipynb assigns bins itself" in found.notices[1]


def test_parameters_without_default_have_to_be_filled():
    """A parameter that is only annotated is reported, and a run refuses to start without it."""
    found = bind(notebook("irf: str\nbins = 1"), None, BindOptions())
    assert found.unfilled == ("irf",)
    with pytest.raises(NotebookError, match="no default for irf"):
        refuse_unfilled(found)
    refuse_unfilled(bind(notebook("irf: str"), None, BindOptions(values=(("irf", "x"),))))


def test_globs_fill_lists_with_all_and_scalars_with_one():
    """A list takes all matches sorted by name, text takes the only match; the rest is unused."""
    found = bind(notebook(), basket(), BindOptions(maps=("events=crab_*", "irf=cta:*")))
    assert values(found) == {
        "events": ["/data/in/crab_0.fits", "/data/in/crab_1.fits"],
        "irf": "/data/in/irf.fits",
    }
    assert [item.name for item in found.unused] == ["dl3.fits"]
    assert len(found.needed) == 3
    assert found.parameters.parameters[0].origin == "--map events=crab_*"


def test_a_did_is_matched_as_well():
    """A Rucio item can be chosen by scope:name, also though it holds a colon."""
    said = refused(BasketError, notebook(), basket(), maps=("irf=t:dl3*",))
    assert "t:dl3.fits has no bytes that could be fetched" in said


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("irf=crab_*", BasketError, "2 items match, the parameter takes one: crab_0.fits, crab_1.fits"),
        ("irf=nothing*", BasketError, "no item of the basket matches 'nothing*'"),
        ("events=nothing*", BasketError, "items there: crab_1.fits, crab_0.fits, cta:irf.fits, t:dl3.fits"),
        ("bins=irf*", NotebookError, "a file's path is text, and bins takes int, default 10"),
        ("irv=irf*", NotebookError, "did you mean irf?"),
        ("irf", NotebookError, "not of the form NAME=GLOB"),
    ],
)
def test_a_mapping_that_does_not_work_says_why(text, kind, said):
    """None, several, the wrong type, the wrong name: each has its own message."""
    assert said in refused(kind, notebook(), basket(), maps=(text,))


def test_a_parameter_is_mapped_or_given_not_both():
    """Two sources for one parameter are a mistake that is not decided silently."""
    said = refused(NotebookError, notebook(), basket(), maps=("irf=irf*",), values=(("irf", "x"),))
    assert "given by -p and by --map irf=irf*" in said


def test_a_mapping_needs_a_basket():
    """--map without --basket says what is missing."""
    assert "add --basket FILE" in refused(BasketError, maps=("irf=*",))


def test_parameters_with_the_names_of_a_basket_are_filled_without_a_map():
    """`basket` and `shopping_basket` get the file of the normalised basket, `input_files` all paths."""
    files = basket("file:b.fits", "file:a.fits")
    found = bind(notebook("basket = ''\nshopping_basket = None\ninput_files = []"), files, BindOptions())
    assert values(found) == {
        "basket": "/data/basket.json",
        "shopping_basket": "/data/basket.json",
        "input_files": ["/data/in/b.fits", "/data/in/a.fits"],
    }
    assert found.unused == ()


def test_a_basket_parameter_that_is_a_list_gets_the_items():
    """With a list as its default, `basket` gets the items themselves."""
    (item,) = values(bind(notebook("basket = []"), basket("file:a.fits"), BindOptions()))["basket"]
    assert (item["name"], item["path"]) == ("a.fits", "/data/in/a.fits")


def test_what_the_user_gives_wins_over_the_rule():
    """A value for `basket` on the command line is kept."""
    found = bind(notebook("basket = ''"), basket("file:a"), BindOptions(values=(("basket", "mine"),)))
    assert values(found) == {"basket": "mine"}
    assert len(found.unused) == 1


def test_one_input_file_for_a_scalar():
    """`input_files = ""` takes one item and refuses to guess among several."""
    one = bind(notebook("input_files = ''"), basket("file:a.fits"), BindOptions())
    assert values(one) == {"input_files": "/data/in/a.fits"}
    said = refused(BasketError, notebook("input_files = ''"), basket())
    assert "takes one file, the basket has 3" in said


@given(
    st.sampled_from([*list("abcdefgh"), "bins", "emin", "name", "flag", "options", "maybe"]),
    st.text(max_size=60),
)
def test_any_text_is_a_value_or_a_clear_error(name, text):
    """Binding ends in JSON values of the declared type or in one of the runner's errors."""
    kinds = {"bins": int, "emin": float, "name": str, "flag": bool, "options": dict}
    try:
        found = values(bind(notebook(), None, BindOptions(values=((name, text),))))
    except RunnerError:
        return
    json.loads(json.dumps(found, allow_nan=False))
    assert type(found[name]) is kinds.get(name, type(found[name]))


@given(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=30)
)
def test_values_survive_being_written_as_text(whole, real, text):
    """What Python prints for a value is bound to the same value."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert given_value("bins", str(whole)) == whole
    assert given_value("emin", repr(real)) == real
    assert given_value("name", text) == text
    assert given_value("energies", repr([text, real])) == [text, real]


@pytest.mark.parametrize(
    ("text", "spelling"),
    [("nan", "NaN"), ("NaN", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"), ("+Infinity", "Infinity")],
)
def test_floats_that_json_lacks_are_spelled(text, spelling):
    """A parameter that is a float takes NaN and infinities, which the record spells as an object."""
    assert given_value("emin", text) == {"$numberDouble": spelling}


@pytest.mark.parametrize(
    "text", [b"emin: .inf", b'{"emin": {"$numberDouble": "Infinity"}}', b"emin: {$numberDouble: Infinity}"]
)
def test_files_of_parameters_have_words_for_them(text):
    """YAML has its own, and JSON the spelling of the record."""
    found = values(bind(notebook(), None, BindOptions(files=(("p.yaml", text),))))
    assert found == {"emin": {"$numberDouble": "Infinity"}}


def test_lists_and_objects_may_hold_them():
    """They are spelled at any depth, as text that Python would read as well."""
    assert given_value("energies", "[1e999, -1e999]") == [
        {"$numberDouble": "Infinity"},
        {"$numberDouble": "-Infinity"},
    ]
    found = values(bind(notebook(), None, BindOptions(yaml=("options: {a: [.nan]}",))))
    assert found == {"options": {"a": [{"$numberDouble": "NaN"}]}}
