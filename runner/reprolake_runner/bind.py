"""Notebook + Basket + options → ParameterSet: strict and pure, the same whenever the same is given.

Later wins, as in papermill: paths, `-b`, `-f` files, `-y` texts, `-p`, `-r`; a parameter is either mapped or given, never both.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from reprolake_builder.process import printable
from reprolake_runner.declared import DeclaredParameter
from reprolake_runner.documents.basket import Basket, BasketItem
from reprolake_runner.documents.run import Parameter, ParameterSet, cell_name
from reprolake_runner.errors import NotebookError
from reprolake_runner.imports import assigned_in
from reprolake_runner.languages import language_of
from reprolake_runner.mapping import Mapped, map_items
from reprolake_runner.notebook import HOW_TO_TAG, Notebook
from reprolake_runner.placement import place
from reprolake_runner.typing_values import fitted, from_text, yaml_values

INPUT_PATH, OUTPUT_PATH = "PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH"


@dataclass(frozen=True, slots=True)
class BindOptions:
    """What the user gave for the parameters, as typed.

    `values` (-p) and `raw` (-r) are pairs of name and text; `files` (-f) pairs of a name for messages and the file's
    content; `yaml` (-y) texts; `base64` (-b) such texts in base64; `maps` (--map) texts like "irf=*irf*". `input_path` and
    `output_path` (--inject-paths) are given under papermill's names, "" for not at all.
    """

    values: tuple[tuple[str, str], ...] = ()
    raw: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    yaml: tuple[str, ...] = ()
    base64: tuple[str, ...] = ()
    input_path: str = ""
    output_path: str = ""
    maps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """What the notebook will be given.

    `basket` has the sandbox path of every item with bytes. `feeds` tells which items go into which parameter; `unused`
    are the items that go into none; `unfilled` names the parameters without a default that nothing fills; `notices`
    are for the user.
    """

    parameters: ParameterSet
    basket: Basket
    feeds: tuple[Mapped, ...] = ()
    unused: tuple[BasketItem, ...] = ()
    unfilled: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def needed(self) -> frozenset[str]:
        """Ids of the items that parameters need."""
        return frozenset(item.id for feed in self.feeds for item in feed.items)


def bind(notebook: Notebook, basket: Basket | None, options: BindOptions) -> Binding:
    """Return the parameters' values and where they come from; `unfilled` ones are for the caller to refuse.

    Raises NotebookError for a name that the notebook does not declare or a value of another type than its default, and
    BasketError when a mapping does not find what it needs.
    """
    placed = place(basket) if basket is not None else Basket()
    declared = {parameter.name: parameter for parameter in notebook.parameters}
    found = _given(notebook, declared, options)
    feeds = map_items(notebook, declared, placed if basket is not None else None, options.maps)
    for feed in feeds:
        if feed.parameter in found:
            if feed.by_rule:
                continue
            raise NotebookError(
                f"the parameter {feed.parameter} is given by {found[feed.parameter].origin} and by {feed.origin}",
                hint="leave one of them away",
            )
        _known(notebook, declared, feed.parameter, feed.origin)
        found[feed.parameter] = Parameter(name=feed.parameter, value=feed.value, origin=feed.origin)
    for one in declared.values():
        if (
            one.line == 0 and one.literal and one.name not in found
        ):  # the notebook does not set it, the file beside it does
            value = fitted(one, one.default, notebook.sidecar)
            found[one.name] = Parameter(name=one.name, value=value, origin=notebook.sidecar)
    feeds = tuple(feed for feed in feeds if found[feed.parameter].origin == feed.origin)
    order = [name for name in declared if name in found] + sorted(
        name for name in found if name not in declared
    )
    used = {item.id for feed in feeds for item in feed.items}
    return Binding(
        parameters=ParameterSet(parameters=tuple(found[name] for name in order)),
        basket=placed,
        feeds=feeds,
        unused=tuple(item for item in placed.items if item.id not in used),
        unfilled=tuple(name for name, one in declared.items() if one.required and name not in found),
        notices=_notices(notebook, found),
    )


def refuse_unfilled(binding: Binding) -> None:
    """Raise NotebookError when a parameter without a default has no value."""
    if binding.unfilled:
        names = ", ".join(binding.unfilled)
        first = binding.unfilled[0]
        raise NotebookError(
            f"the notebook has no default for {names}, and nothing gives a value",
            hint=f"-p {first} VALUE, or --map {first}=GLOB for files of the basket",
        )


def _given(
    notebook: Notebook, declared: Mapping[str, DeclaredParameter], options: BindOptions
) -> dict[str, Parameter]:
    """Return the parameters given by value; what comes later wins."""
    paths = {INPUT_PATH: options.input_path, OUTPUT_PATH: options.output_path}
    found = {
        name: Parameter(name=name, value=value, origin="--inject-paths")
        for name, value in paths.items()
        if value
    }
    # The record names files without their folders: those are this host's business.
    texts = [("-b", "-b", _decoded(text)) for text in options.base64]
    texts += [(f"-f {name}", f"-f {name.rpartition('/')[2]}", data) for name, data in options.files]
    texts += [("-y", "-y", text.encode()) for text in options.yaml]
    for where, origin, data in texts:
        for name, value in yaml_values(data, where).items():
            parameter = _known(notebook, declared, name, where)
            found[name] = Parameter(name=name, value=fitted(parameter, value, where), origin=origin)
    for name, text in options.values:
        parameter = _known(notebook, declared, name, "-p")
        found[name] = Parameter(name=name, value=from_text(parameter, text, "-p"), origin="-p")
    for name, text in options.raw:
        parameter = _known(notebook, declared, name, "-r")
        found[name] = Parameter(name=name, value=fitted(parameter, text, "-r"), origin="-r")
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # `base64` breaks its lines
    except ValueError as error:
        raise NotebookError(f"-b: no base64 text: {error}") from error


def _known(
    notebook: Notebook, declared: Mapping[str, DeclaredParameter], name: str, origin: str
) -> DeclaredParameter:
    """Return what the notebook declares under that name; any name of its language will do where we do not know of them."""
    if name in declared:
        return declared[name]
    shown = printable(name)
    language = language_of(notebook.dialect)
    if language is not None:
        try:
            language.check_name(name)
        except NotebookError as error:
            raise NotebookError(f"{origin}: {error.message}", hint=error.hint) from error
    if not notebook.sidecar and (notebook.parameters_cell is None or notebook.dialect != "python"):
        return DeclaredParameter(name=name, kind="", line=0)
    near = difflib.get_close_matches(name, declared, 1)
    there = ", ".join(declared) or "none"
    raise NotebookError(
        f"{origin}: {notebook.path} has no parameter {shown}"
        + (f"; did you mean {near[0]}?" if near else ""),
        hint=f"parameters of the notebook: {there} ({_told_by(notebook)})",
    )


def _told_by(notebook: Notebook) -> str:
    """Return what says which parameters a notebook has."""
    cell = notebook.parameters_cell
    tagged = f"{cell_name(cell)}, tagged parameters" if cell is not None else ""
    return ", and ".join(filter(None, (tagged, printable(notebook.sidecar))))


def _notices(notebook: Notebook, found: Mapping[str, Parameter]) -> tuple[str, ...]:
    """Return what the user should know about parameters of a notebook that declares none."""
    names = found.keys() - {INPUT_PATH, OUTPUT_PATH}  # which no notebook declares
    if notebook.parameters_cell is not None or not names:
        return ()
    notices = [
        f"{notebook.path} has no cell tagged parameters: {', '.join(sorted(names))} will be set in a new first cell; {HOW_TO_TAG}"
    ]
    for name, cell in assigned_in(notebook, names).items():
        notices.append(
            f"{cell_name(cell)} of {notebook.path} assigns {name} itself, so the value given for it has no effect there; "
            'tag that cell "parameters"'
        )
    return tuple(notices)
