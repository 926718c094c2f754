"""Questions to an archive's API, whose answers are documents in JSON: of the type asked for, or an error of ours."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from reprolake_builder.errors import AnswerError, FetchError, ResolveError
from reprolake_builder.tools import Tools

T = TypeVar("T")
_LARGEST = 32 << 20  # bytes
_NOT_THERE = {404, 410}


def ask(tools: Tools, url: str, kind: type[T]) -> T | None:
    """Return what the address answers, None when there is nothing. Raises ResolveError for everything else."""
    content = ask_bytes(tools, url, accept="application/json")
    return None if content is None else decoded(content, url, kind)


def ask_bytes(tools: Tools, url: str, *, accept: str) -> bytes | None:
    """Return a small document, None when there is none. Raises ResolveError."""
    try:
        return tools.downloader.get(url, accept=accept, limit=_LARGEST)
    except AnswerError as error:
        if error.status in _NOT_THERE:
            return None
        raise as_resolve_error(error) from error
    except FetchError as error:
        raise as_resolve_error(error) from error


def decoded(content: bytes, url: str, kind: type[T]) -> T:
    """Return the answer as a value. Raises ResolveError when it is of another form."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResolveError(
            f"{urlsplit(url).hostname} answers {url} with something else than its API promises: {error}",
            hint="the server may be closed for maintenance: open the link in a browser",
        ) from error


def as_resolve_error(error: FetchError) -> ResolveError:
    """Return the failure of a question as one of resolving."""
    return ResolveError(error.message, hint=error.hint, transient=error.transient)
