"""What `run` and `plan` take beside the link: the notebook, its data and parameters."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.amounts import LIMITS
from reprolake.cli.common import as_usage_error
from reprolake.cli.result_options import (
    add_option,
    asked_of,
    basket_option,
    isolation_options,
    lifetime_option,
    limit_options,
    stage_option,
)
from reprolake.cli.sections import stacked

if TYPE_CHECKING:
    from reprolake.runs import RunRequest

_NAME = re.compile(r"[\w.]+")  # more is known once the notebook's language is
_FILE = click.Path(path_type=Path)


class _Range(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; one that is none compares to nothing, so it is in no range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"nan is not in the range {self._describe_range()}.", param, ctx)
        return number


def _check_maps(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    del ctx, param
    if value:
        from reprolake_runner.mapping import parse_map

        with as_usage_error():
            for text in value:
                parse_map(text)
    return value


def _check_names(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    for name, text in value:
        if not _NAME.fullmatch(name):
            option = param.opts[0]
            right = " ".join(name.split("=", 1)) if "=" in name else f"bins {text}"
            raise click.BadParameter(
                f"{name!r} is no name of a parameter; name and value stand apart, as in: {option} {right}",
                ctx,
                param,
            )
    return value


_check_options = stacked(
    click.option(
        "--check-outputs",
        is_flag=True,
        help="Compare what cells put out with what the notebook was saved with; exit 3 when it differs.",
    ),
    click.option(
        "--tolerance",
        metavar="SHARE",
        type=_Range(0, 1),
        default=1e-6,
        show_default=True,
        help="By how much numbers may differ in that, relative to their size.",
    ),
    click.option(
        "--image-tolerance",
        metavar="SHARE",
        type=_Range(0, 1),
        default=1e-3,
        show_default=True,
        help="How many of an image's pixels may differ in that.",
    ),
    title="Reproduction",
)
run_options = stacked(
    click.argument("notebook", required=False, default=""),
    basket_option,
    click.option(
        "--map",
        "maps",
        metavar="NAME=GLOB",
        multiple=True,
        callback=_check_maps,
        help="Fill a parameter with matching files of the basket.",
    ),
    click.option(
        "-p",
        "--parameter",
        "--parameters",
        "values",
        nargs=2,
        metavar="NAME VALUE",
        multiple=True,
        callback=_check_names,
        help="Set a parameter, typed as its default is.",
    ),
    click.option(
        "-r",
        "--raw",
        "--parameters_raw",
        nargs=2,
        metavar="NAME TEXT",
        multiple=True,
        callback=_check_names,
        help="Set a parameter to a text as it is.",
    ),
    click.option(
        "-f",
        "--parameter-file",
        "--parameters_file",
        "files",
        metavar="FILE",
        multiple=True,
        type=_FILE,
        help="Set the parameters of a YAML or JSON file.",
    ),
    click.option(
        "-y",
        "--yaml",
        "--parameters_yaml",
        metavar="YAML",
        multiple=True,
        help="Set the parameters of a YAML text.",
    ),
    click.option(
        "-b",
        "--base64",
        "--parameters_base64",
        metavar="TEXT",
        multiple=True,
        help="Set the parameters of a YAML text in base64.",
    ),
    click.option(
        "--inject-input-path", is_flag=True, help="Set PAPERMILL_INPUT_PATH to the notebook's path."
    ),
    click.option(
        "--inject-output-path",
        is_flag=True,
        help="Set PAPERMILL_OUTPUT_PATH to the executed notebook's name.",
    ),
    click.option("--inject-paths", is_flag=True, help="Set both."),
    click.option("-k", "--kernel", metavar="NAME", default="", help="Run it by this kernel of the image."),
    click.option(
        "--kernel-transport",
        type=click.Choice(("auto", "ipc", "tcp")),
        default="auto",
        show_default=True,
        help="How the kernel is reached: tcp is for those that know nothing else.",
    ),
    click.option(
        "-l", "--language", metavar="NAME", default="", help="Take it for a notebook in this language."
    ),
    click.option(
        "--cwd",
        metavar="DIR",
        default="",
        help="Run it in this folder of the repository. [the notebook's own]",
    ),
    click.option(
        "--start-timeout",
        "--start_timeout",
        metavar="SECONDS",
        type=_Range(min=0, min_open=True),
        default=60,
        show_default=True,
        help="How long the kernel may take to answer.",
    ),
    stage_option,
    lifetime_option,
    add_option,
    click.option("--strict-shell", is_flag=True, help="Fail a cell when one of its shell lines fails."),
    limit_options(LIMITS),
    isolation_options,
    _check_options,
    title="Notebook and parameters",
)
"""The options that decide a run."""


def chosen_notebook(given: str, link: str, in_link: str) -> str:
    """Return the notebook to run: the argument's, or the one that the link names (`in_link`). Raises UsageError."""
    from reprolake.options import UsageError
    from reprolake_builder.process import printable

    if not given and not in_link:
        raise UsageError(
            f"no notebook is named, neither by NOTEBOOK nor by {printable(link)}",
            hint="give its path inside the repository after the link",
        )
    if given and in_link and os.path.normpath(given) != os.path.normpath(in_link):
        raise UsageError(
            f"two notebooks: the link names {printable(in_link)}, NOTEBOOK is {printable(given)}",
            hint="leave NOTEBOOK away, or give the link of the repository",
        )
    return given or in_link


def run_request(rest: dict[str, Any]) -> RunRequest:
    """Take the options of a run out of a command's arguments."""
    from reprolake.options import UsageError
    from reprolake.runs import RunRequest
    from reprolake_runner.bind import BindOptions
    from reprolake_runner.documents.run import CheckSpec

    asked = asked_of(rest, LIMITS)
    try:
        files = tuple((str(path), path.read_bytes()) for path in rest.pop("files"))
    except OSError as error:
        raise UsageError(f"-f {error.filename} cannot be read: {error.strerror}") from error
    values = BindOptions(
        values=rest.pop("values"),
        raw=rest.pop("raw"),
        files=files,
        yaml=rest.pop("yaml"),
        base64=rest.pop("base64"),
        maps=rest.pop("maps"),
    )
    check = CheckSpec(tolerance=rest.pop("tolerance"), image_tolerance=rest.pop("image_tolerance"))
    both = rest.pop("inject_paths")
    injects = (rest.pop("inject_input_path") or both, rest.pop("inject_output_path") or both)
    names = ("notebook", "strict_shell", "kernel", "language", "start_timeout", "kernel_transport")
    return RunRequest(
        values=values,
        injects=injects,
        check=check if rest.pop("check_outputs") else None,
        **asked,
        **{name: rest.pop(name) for name in names},
    )
