"""Values as source text: every language reads back what was given, and no text becomes code."""

from __future__ import annotations

import json
import math
import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_runner.errors import NotebookError
from reprolake_runner.languages import LANGUAGES, bash, dialect, julia, language_of, python, r

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NASTY = [
    "$(id)",
    "${HOME} $x `id`",
    'it\'s "so" \\',
    "a\nb\tc\r",
    "é 日本 \U0001f600",
    "\x03\x1b[2J\x7f",
    "%!#{}",
    "",
]
# What may stand between the quotes, as the two languages define it; in Julia a bare `$` begins code.
STRINGS = {
    "r": re.compile(r'"(?:[^"\\\n\r]|\\["\\]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"'),
    "julia": re.compile(r'"(?:[^"\\$\n\r]|\\["\\$]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*"'),
}
ESCAPES = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)


@given(VALUES)
def test_a_python_literal_is_its_value(value):
    """Python reads back from the text exactly the value, with its types."""
    read = eval(python(value), {"__builtins__": {"float": float}})
    assert read == value
    assert json.dumps(read) == json.dumps(value)


@given(st.text(st.characters()))
def test_a_python_string_is_never_code(text):
    """Any string, quotes and control characters and half surrogates included, stays one line and one constant."""
    found = python(text)
    assert "\n" not in found
    assert eval(found, {"__builtins__": {}}) == text


def test_floats_that_json_lacks():
    """NaN and infinities are spelled so that each language has them."""
    assert math.isnan(eval(python(math.nan)))
    assert eval(python([math.inf, -math.inf])) == [math.inf, -math.inf]
    assert (r(math.nan), r(-math.inf), julia(math.nan), julia(-math.inf)) == ("NaN", "-Inf", "NaN", "-Inf")


@pytest.mark.parametrize("value", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_huge_integers(value):
    """Numbers beyond Python's limit for decimal digits are written in another base."""
    assert eval(python(value)) == value


@pytest.mark.parametrize("write", [python, r, julia])
def test_bottomless_nesting_is_refused(write):
    """What a language's parser could not read is an error here."""
    value: list[object] = []
    for _ in range(200):
        value = [value]
    with pytest.raises(NotebookError, match="nested deeper"):
        write(value)


@pytest.mark.parametrize("write", [python, r, julia])
def test_what_is_no_json_is_refused(write):
    """A value of another kind never becomes text by accident."""
    with pytest.raises(NotebookError, match="no JSON value"):
        write({"a": [object()]})


@pytest.mark.parametrize("write", [r, julia], ids=["r", "julia"])
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_string_of_r_or_julia_is_one_constant(write, text):
    """The text is one string of the language, without interpolation, and unescaped it is the value again."""
    found = write(text)
    assert STRINGS[write.__name__].fullmatch(found)
    unescaped = ESCAPES.sub(lambda m: m[3] or chr(int(m[1] or m[2], 16)), found[1:-1])
    assert unescaped == text


@pytest.mark.parametrize(
    ("value", "in_r", "in_julia", "in_bash"),
    [
        (None, "NULL", "nothing", "''"),
        (True, "TRUE", "true", "true"),
        (7, "7", "7", "7"),
        (1e-05, "1e-05", "1e-05", "1e-05"),
        ("é", '"é"', '"é"', "'é'"),
        ("$(id)", '"$(id)"', '"\\$(id)"', "'$(id)'"),
        ([1, "a"], 'list(1, "a")', 'Any[1, "a"]', "'[1, \"a\"]'"),
        ({"k": [True]}, 'list("k" = list(TRUE))', 'Dict{String,Any}("k" => Any[true])', "'{\"k\": [true]}'"),
    ],
)
def test_each_language_has_its_own_words(value, in_r, in_julia, in_bash):
    """Constants, lists and objects are those of the language."""
    assert (r(value), julia(value), bash(value)) == (in_r, in_julia, in_bash)


def in_bash(texts):
    lines = "".join(f"x={bash(text)}; printf '%s\\0' \"$x\"\n" for text in texts)
    done = subprocess.run(
        ["bash"], input=lines.encode(), capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    return done.stdout.decode().split("\0")[:-1]


def test_bash_reads_back_what_was_given():
    """Quotes, expansions, control characters and other scripts arrive in the variable as they were."""
    assert in_bash(NASTY) == NASTY


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=20
    )
)
def test_bash_runs_nothing_of_a_text(texts):
    """Whatever the texts are, bash assigns them and does nothing else; none holds a character that a terminal acts on."""
    assert in_bash(texts) == texts
    assert not re.search(r"[\x00-\x1f\x7f]", "".join(map(bash, texts)))


@pytest.mark.parametrize("write", [r, bash], ids=["r", "bash"])
def test_what_a_language_cannot_hold_is_refused(write):
    """A text with U+0000 has no place in R or bash."""
    with pytest.raises(NotebookError, match=r"U\+0000"):
        write("a\0b")


def test_numbers_that_r_would_round_are_refused():
    """R's numbers are doubles: a larger whole number would silently be another one."""
    assert r(2**53) == "9007199254740992"
    with pytest.raises(NotebookError, match="no whole number"):
        r(2**53 + 1)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("name", ["x=1; import os; y", "", "a b", "a\nb", "1a", "a;b", "$x", "a(b)", "for"])
def test_names_must_be_names(language, name):
    """A name that is none of the language's is refused, not written down."""
    if language == "bash" and name == "for":
        return  # a variable of that name is in order
    with pytest.raises(NotebookError, match="cannot be the name"):
        LANGUAGES[language].assignment(name, 1)


def test_names_that_bash_obeys_are_refused():
    """Variables whose value bash runs, or finds its programs by, are no parameters."""
    for name in ("PROMPT_COMMAND", "PS4", "BASH_ENV", "PATH", "LD_PRELOAD"):
        with pytest.raises(NotebookError, match="cannot be the name"):
            LANGUAGES["bash"].assignment(name, "x")


def test_languages_go_by_several_names():
    """Kernels and notebooks differ in what they call a language."""
    assert language_of("IPython") is LANGUAGES["python"]
    assert language_of("R") is LANGUAGES["r"]
    assert language_of("scala") is None


@given(VALUES)
def test_a_python_2_literal_is_ascii_and_its_value(value):
    """Python 2 reads source as ASCII: other characters are escaped in a unicode string, others stay native strings."""
    found = LANGUAGES["python2"].literal(value)
    assert found.isascii()
    assert json.dumps(eval(found, {"__builtins__": {"float": float}})) == json.dumps(value)
    assert LANGUAGES["python2"].literal("é") == "u'\\xe9'"


@pytest.mark.parametrize(
    ("kernel", "language", "said"),
    [
        ("python2", "python", "python2"),
        ("python3", "python", "python"),
        ("python2", "R", "R"),
        ("Python2", "ipython", "python2"),
    ],
)
def test_the_name_of_a_kernel_tells_pythons_of_old(kernel, language, said):
    """Only a kernel that is called python2 takes Python 2, and only where its language is Python."""
    assert dialect(language, kernel) == said


@pytest.mark.parametrize("name", ["print", "exec", "é"])
def test_names_of_python_2(name):
    """What is a statement in Python 2, and letters beyond ASCII, are no names of parameters there."""
    with pytest.raises(NotebookError, match="cannot be the name"):
        LANGUAGES["python2"].check_name(name)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (python, '[float("nan"), float("inf"), float("-inf")]'),
        (LANGUAGES["python2"].literal, '[float("nan"), float("inf"), float("-inf")]'),
        (r, "list(NaN, Inf, -Inf)"),
        (julia, "Any[NaN, Inf, -Inf]"),
    ],
)
def test_numbers_that_json_spells_are_numbers_again(write, said):
    """Each language gets its own word for what the record spells as an object."""
    assert write([{"$numberDouble": text} for text in ("NaN", "Infinity", "-Infinity")]) == said
    assert bash({"$numberDouble": "-Infinity"}) == "-inf"


def test_other_objects_with_that_key_stay_objects():
    """Only the three spellings are numbers."""
    assert python({"$numberDouble": "1.5"}) == "{'$numberDouble': '1.5'}"
    assert python({"$numberDouble": "NaN", "more": 1}) == "{'$numberDouble': 'NaN', 'more': 1}"
    assert python({"$numberDouble": []}) == "{'$numberDouble': []}"
