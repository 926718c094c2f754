"""What uv says when it fails, in the words of this project: kept, trimmed, and with the reason first."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reprolake_builder.errors import LockError
from reprolake_builder.process import printable

_FIRST, _LAST = 14, 10  # lines kept of a long explanation
_NOISE = ("warning:", "No solution found when resolving")
_NETWORK = re.compile(
    r"Request failed|Failed to fetch|error sending request|timed out|dns error", re.IGNORECASE
)
_REFUSED = re.compile(r"HTTP status client error \((?!408|429)")
_NAME = r"[A-Za-z0-9][\w.-]*?"
_ABI = re.compile(rf"only found wheels for `({_NAME})`")
_ELSEWHERE = re.compile(rf"hint: Wheels are available for `({_NAME})` \(v[^)]*\) on the following platform")
_WHEELLESS = re.compile(rf"hint: Wheels are required for `({_NAME})`")
_ABSENT = re.compile(rf"\b({_NAME}) was not found in the package registry")
_NO_RELEASE = re.compile(
    r"Because there is no version of (\S+) and you require \1, we can conclude that your requirements are unsat"
)
_OTHERS_ONLY = re.compile(
    rf"Because only (({_NAME})[=<>!~]\S*) is available and you require \2[=<>!~]\S*, we can conclude that your requirements are unsat"
)
_FILTERED = re.compile(rf"`({_NAME})` was filtered by `exclude-newer`")
_HINT_OF_UV = re.compile(
    r"^hint: (?:You require|Wheels are available|`\S+` was filtered)[^\n]*", re.MULTILINE
)
_ADVICE = re.compile(r" The latest version satisfying.*| Consider using .*", re.DOTALL)
_CONTRADICTION = "the requirements contradict each other"
_OF_PYTHON = re.compile(r"\bPython(?: version|[<>=!~])")
_MISNAMED = "correct the name or the version where it stands, or say which index has it (`extra_index_urls`, UV_INDEX)"
_BLAMED = r"([A-Za-z0-9][\w.-]*)(?:[=<>!~]\S*)? depends? on {held}(?![\w.-])"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a set cannot be resolved: `reason` in one sentence without full stop, `words` as uv put it, in a few lines, `whole` all of it.

    `lacking` are packages that have no wheel that can be used. `hint` is the next step, "" for the usual ones.
    """

    reason: str
    words: str
    whole: str
    lacking: tuple[str, ...] = ()
    hint: str = ""

    @property
    def is_contradiction(self) -> bool:
        """Whether there are wheels for all, and what these require cannot be had together; the Python has no part in it."""
        return self.reason == _CONTRADICTION and not self.lacking and _OF_PYTHON.search(self.whole) is None


class UnsatisfiableError(LockError):
    """No set of wheels satisfies the question."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.reason}\n{refusal.words}")
        self.refusal = refusal


def failure(stderr: str, minor: str) -> LockError:
    """Return the error for uv's standard error; `minor` is the Python asked for."""
    text = printable(stderr).strip()
    if "No solution found" in text and "network was disabled" not in text:
        reason, hint = _reason(text, minor)
        return UnsatisfiableError(Refusal(reason, _shortened(text), text, wheelless(text), hint))
    network = _NETWORK.search(text) is not None and _REFUSED.search(text) is None
    if network or "network was disabled" in text:
        return LockError(
            f"the package index cannot be reached:\n{_shortened(text)}",
            hint="check the network, the proxy and the CA bundle (`reprolake doctor` shows what is used)",
            transient=True,
        )
    return LockError(f"uv could not resolve the packages:\n{_shortened(text)}")


def wheelless(words: str) -> tuple[str, ...]:
    """Return the names of the packages that, in uv's words, have no wheel that can be used."""
    flat = " ".join(words.split())
    found = [*_WHEELLESS.findall(flat), *_ABI.findall(flat), *_ELSEWHERE.findall(flat)]
    return tuple(dict.fromkeys(found))


def blamed_for(words: str, held: str) -> tuple[str, ...]:
    """Return the names of the packages that, in uv's words, depend on certain versions of `held`."""
    pattern = _BLAMED.format(held=re.escape(held))
    return tuple(dict.fromkeys(re.findall(pattern, " ".join(words.split()))))


def _reason(text: str, minor: str) -> tuple[str, str]:
    """Return the reason, and the next step where it is not the usual one."""
    flat = " ".join(text.split())
    if absent := _ABSENT.search(flat):
        return f"{absent[1]} is not in the package index", _MISNAMED
    if elsewhere := _ELSEWHERE.search(flat):
        return f"{elsewhere[1]} has wheels for other platforms than this only", ""
    if wheel := _ABI.search(flat) or _WHEELLESS.search(flat):
        return f"{wheel[1]} has no wheel for Python {minor}", ""
    if filtered := _FILTERED.search(flat):
        return f"no release of {filtered[1]} that is asked for had been uploaded", ""
    if unreleased := _NO_RELEASE.search(flat):
        return f"there is no release {unreleased[1]}", _MISNAMED
    if others := _OTHERS_ONLY.search(flat):
        return f"of {others[2]} there is {others[1]} only", ""
    return _CONTRADICTION, ""


def _shortened(text: str) -> str:
    """Return uv's explanation without its advice about its own options, long ones without their middle."""
    body, _, _ = text.partition("\nhint:")
    body = re.sub(r"^(error: |  cause: | {9})", "", body, flags=re.MULTILINE)
    lines = [line.rstrip() for line in body.splitlines() if not line.startswith(_NOISE)]
    if len(lines) > _FIRST + _LAST:
        lines = [*lines[:_FIRST], "[…]", *lines[-_LAST:]]
    hints = [_ADVICE.sub("", hint.removeprefix("hint: ")) for hint in _HINT_OF_UV.findall(text)]
    return "\n".join(f"  {line}"[:300] for line in [*lines, *dict.fromkeys(hints)])
