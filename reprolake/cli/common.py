"""What several commands take: the same options with the same words everywhere."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.sections import F, stacked

if TYPE_CHECKING:
    from reprolake.pipeline import Request, Session


class _AsOf(click.ParamType[str]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, once it is known to be a date that is over."""
        del param, ctx
        if value:
            from reprolake_builder.solvers.as_of import parse_as_of

            with as_usage_error():
                parse_as_of(value, datetime.now(UTC).replace(microsecond=0))
        return str(value)


class _Python(click.ParamType[str]):
    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, once it can be the version of a Python."""
        if value:
            from reprolake_builder.solvers.python_choice import VERSION

            if not VERSION.fullmatch(value):
                self.fail(f"{value!r} is no version of a Python: write it like 3.11 or 3.11.4", param, ctx)
        return str(value)


class _AptName(click.ParamType[str]):
    name = "package"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, once it can be the name of a Debian package."""
        from reprolake_builder.solvers.debian_resolve import DEMAND

        if not DEMAND.fullmatch(value):
            self.fail(f"{value!r} is no name of a Debian package: write NAME or NAME=VERSION", param, ctx)
        return str(value)


def check_network(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the words for a network as they are, once they are known to be some."""
    if value:
        from reprolake_builder.network.policy import parse

        try:
            parse(value, None)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


@contextlib.contextmanager
def as_usage_error() -> Iterator[None]:
    """Turn what is wrong with an argument itself, whatever comes of the repository, into a mistake of the command line."""
    from reprolake.options import UsageError
    from reprolake_builder.errors import ReprolakeError

    try:
        yield
    except ReprolakeError as error:
        raise UsageError(error.message, hint=error.hint) from error


output_options = stacked(
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
    click.option("-v", "--verbose", count=True, help="Say more."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and failures."),
    click.option(
        "--store", metavar="DIR", default="", help="Where archives, layers and images are kept on this host."
    ),
    click.option("--config", metavar="FILE", default="", help="Read settings from this reprolake.toml, too."),
)
_link_options = (
    click.option(
        "--ref", metavar="REF", default="", help="Branch, tag, commit or refs/pull/N/head; also LINK@REF."
    ),
    click.option(
        "--subdir",
        metavar="DIR",
        default="",
        help="Folder of the repository that holds environment and notebooks.",
    ),
    click.option(
        "--source",
        "take",
        type=click.Choice(("auto", "repo", "archive")),
        default="auto",
        show_default=True,
        help="Of an archive's record take the repository behind it, its own files, or what there is.",
    ),
    click.option(
        "--require-proof",
        is_flag=True,
        help="Take a record's repository only when it is proven to hold what was published.",
    ),
    click.option(
        "--sha256",
        metavar="DIGITS",
        default="",
        help="SHA-256 of the archive at LINK, where that is the address of one; also LINK#sha256=DIGITS.",
    ),
)
link_options = stacked(click.argument("link"), *_link_options, title="Link")
_ignore_option = click.option(
    "--ignore",
    metavar="FILE",
    multiple=True,
    help="Go on without honouring this file of the repository, or without this submodule.",
)
many_links_options = stacked(
    click.argument("links", metavar="LINK...", nargs=-1), *_link_options, _ignore_option
)
source_dir_option = click.option(
    "--source-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the folder that a lock was made of is now.",
)
environment_options = stacked(
    click.option(
        "--as-of",
        metavar="DATE",
        type=_AsOf(),
        default="",
        help="Take packages as they were at DATE, or `now`. [the source's date]",
    ),
    click.option(
        "--python",
        metavar="X.Y",
        type=_Python(),
        default="",
        help="Use this Python, whatever the repository declares.",
    ),
    _ignore_option,
    click.option(
        "--extra",
        "extras",
        metavar="NAME",
        multiple=True,
        help="Install this extra of the repository's package, too.",
    ),
    click.option(
        "--group",
        "groups",
        metavar="NAME",
        multiple=True,
        help="Install this dependency group of the repository, too.",
    ),
    click.option(
        "--default-groups/--no-default-groups",
        default=True,
        help="With the dependency groups that the project's own tool installs unasked, or without. [with]",
    ),
    click.option(
        "--apt",
        metavar="NAME",
        type=_AptName(),
        multiple=True,
        help="Have this Debian package where packages are built from source; apt.txt is for the image.",
    ),
    click.option(
        "--recipe",
        "recipes",
        metavar="NAME",
        multiple=True,
        help="Stack these layers of a site on the environment: dlaas, jupyter, esap, ca-bundle, or the path of a recipe.",
    ),
    click.option(
        "--build-network",
        metavar="NET",
        callback=check_network,
        default="",
        help="What the repository's postBuild may reach: none, all, or allow=HOST[:PORT],...; what it fetched is in the lock. [none]",
    ),
    click.option(
        "--infer",
        is_flag=True,
        help="Add the packages that notebooks import and nothing declares, as they were at the date.",
    ),
    click.option(
        "--byte-code/--no-byte-code",
        default=True,
        help="With byte code or without: without it an image is smaller and built faster, but slower to import from. [with]",
    ),
    source_dir_option,
    title="Environment",
)

lock_options = stacked(
    environment_options,
    click.option(
        "--locked", is_flag=True, help="Refuse to resolve: LINK must be a lock, or have been locked before."
    ),
    click.option("--relock", is_flag=True, help="Resolve again although this source was locked before."),
    title="Environment",
)


def with_session(function: F) -> F:
    """Pass a Session in place of the output options, and close it afterwards."""

    @functools.wraps(function)
    def wrapped(*, verbose: int, quiet: bool, store: str, config: str, **rest: Any) -> Any:
        from reprolake.options import load_options
        from reprolake.pipeline import open_session
        from reprolake.terminal import Terminal

        options = load_options(os.environ, store, config)
        terminal = Terminal(-1 if quiet else verbose)
        if options.unread:
            terminal.note(f"{options.unread} in this folder is not read; --config {options.unread} reads it")
        with open_session(options, terminal, datetime.now(UTC)) as session:
            return function(session=session, **rest)

    return wrapped  # type: ignore[return-value]


def request_of(link: str, rest: dict[str, Any]) -> Request:
    """Take the link and lock options out of a command's arguments."""
    from reprolake.pipeline import Request

    names = (
        "ref",
        "subdir",
        "take",
        "require_proof",
        "sha256",
        "as_of",
        "python",
        "ignore",
        "apt",
        "extras",
        "groups",
        "default_groups",
        "byte_code",
        "infer",
        "recipes",
        "build_network",
        "source_dir",
        "locked",
        "relock",
    )
    return Request(link=link, **{name: rest.pop(name) for name in names if name in rest})


def show(session: Session, document: Any, *, as_json: bool, text: str, styled: bool = False) -> None:
    """Print a result: the document as JSON, or the text for people, which a stranger's names cannot drive the terminal with.

    A `styled` text has colours of ours in it, and its caller has made everything else printable.
    """
    del session
    if as_json:
        from reprolake_builder.documents.base import pretty

        say(pretty(document))
    elif text:
        from reprolake_builder.process import printable

        say(f"{text if styled else printable(text)}\n")


def say(result: str | bytes) -> None:
    """Write to standard output. Raises OutputError when it takes nothing, and BrokenPipeError when nobody reads it."""
    from reprolake.terminal import OutputError

    try:
        click.echo(result, nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error
