"""Heads of HTTP/1.1 messages, read strictly: what two programs could understand in two ways is refused.

Source: RFC 9110, 5 and 7.6.1 (fields of one connection only); RFC 9112, 2 to 7, and its 11.2 (request smuggling).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reprolake_builder.network.policy import entry, joined

HEAD_BYTES = 1 << 16
_MOST_FIELDS = 200
_LONGEST_METHOD, _LONGEST_TARGET = 32, 1 << 14
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rf"({_WORD}) ([\x21-\x7e]+) HTTP/1\.([01])")
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(rf"({_WORD}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
_OF_ONE_CONNECTION = {
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade",
    "transfer-encoding", "content-length", "expect", "http2-settings",
}  # fmt: skip
Fields = tuple[tuple[str, str], ...]


class BadMessageError(Exception):
    """A message is not what HTTP/1.1 allows, or not what a proxy passes on; `status` is the answer to it."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body ends: after `length` bytes, by its chunks, with its connection, or there is none ("length" and 0)."""

    kind: Literal["length", "chunks", "connection"]
    length: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a proxy: `path` is what the server is asked for, "" for CONNECT."""

    method: str
    host: str
    port: int
    path: str
    is_old: bool
    fields: Fields
    body: Framing

    @property
    def authority(self) -> str:
        """Host and port as the field Host has them."""
        return joined(self.host, 0 if self.port == 80 else self.port)


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer to a request."""

    status: int
    reason: str
    fields: Fields
    body: Framing


def request(head: bytes) -> Request:
    """Return the request of a head that ends in an empty line. Raises BadMessageError."""
    first, fields = _lines(head)
    found = _REQUEST.fullmatch(first)
    if found is None:
        raise BadMessageError("the request line is no one of HTTP/1.1")
    method, target, old = found[1], found[2], found[3] == "0"
    if len(method) > _LONGEST_METHOD or len(target) > _LONGEST_TARGET:
        raise BadMessageError("the request line is too long", 414)
    if method == "CONNECT":
        host, port = _authority(target)
        if not port:
            raise BadMessageError("CONNECT needs HOST:PORT")
        return Request(method, host, port, "", old, fields, Framing("length"))
    body = _framing(fields) or Framing("length")
    if method == "TRACE":
        raise BadMessageError("TRACE is not passed on", 405)
    scheme, _, rest = target.partition("://")
    if scheme.lower() != "http":
        raise BadMessageError(
            "a proxy is asked by CONNECT HOST:PORT, or with an address that begins with http://"
        )
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if "#" in target or "@" in authority or "\\" in authority:
        raise BadMessageError("the address has a login, a fragment or a character that none has")
    host, port = _authority(authority)
    path = rest[len(authority) :]
    return Request(method, host, port or 80, path if path[:1] == "/" else f"/{path}", old, fields, body)


def answer(head: bytes, method: str) -> Answer:
    """Return the answer of a head to a request by `method`. Raises BadMessageError."""
    try:
        first, fields = _lines(head)
        body = _framing(fields) or Framing("connection")
    except BadMessageError as error:
        raise BadMessageError(f"the server's answer: {error}", 502) from error
    found = _STATUS.fullmatch(first)
    if found is None:
        raise BadMessageError("the server does not speak HTTP/1.1", 502)
    status = int(found[2])
    if method == "HEAD" or status < 200 or status in {204, 304}:
        body = Framing("length")
    return Answer(status, found[3] or "", fields, body)


def passed_on(fields: Fields, without: Iterable[str] = ()) -> Fields:
    """Return the fields but those that are for one connection, and `without` (lower case)."""
    named = {
        word.strip().lower()
        for name, value in fields
        if name.lower() == "connection"
        for word in value.split(",")
    }
    left_out = {*_OF_ONE_CONNECTION, *named, *without}
    return tuple((name, value) for name, value in fields if name.lower() not in left_out)


def head(first: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a head as bytes."""
    lines = [first, *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def value_of(fields: Fields, name: str) -> str:
    """Return a field's first value, "" when there is none."""
    return next((value for one, value in fields if one.lower() == name), "")


def _lines(head: bytes) -> tuple[str, Fields]:
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    if len(lines) > _MOST_FIELDS:
        raise BadMessageError("the head has too many fields", 431)
    fields = []
    for line in lines[1:]:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise BadMessageError("a field of the head is none of HTTP/1.1")
        fields.append((found[1], found[2].rstrip(" \t")))
    return lines[0], tuple(fields)


def _authority(text: str) -> tuple[str, int]:
    try:
        return entry(text)
    except ValueError as error:
        raise BadMessageError(str(error)) from error


def _framing(fields: Fields) -> Framing | None:
    """Return how the fields say that the body ends, None when they do not."""
    lengths = {value for name, value in fields if name.lower() == "content-length"}
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if codings:
        if lengths or codings != ["chunked"]:
            raise BadMessageError("it is not clear where the body ends")
        return Framing("chunks")
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise BadMessageError("it is not clear where the body ends")
    return Framing("length", int(length))
