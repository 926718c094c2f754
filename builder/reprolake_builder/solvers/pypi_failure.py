"""Why no Python has the whole set: one error that says it for each, and where each demand stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reprolake_builder.errors import BuilderError, LockError, SourceBuildError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_requirements import Demand, places
from reprolake_builder.solvers.pypi_words import UnsatisfiableError
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER

_ERROR = re.compile(
    r"(?:^|\s)(?:fatal )?error: (?![Cc]ommand )|^\w*(?:Error|Exit): |^error in .* setup command: "
)
_PROBE = re.compile(r"_?conf(?:ig)?test|collect2: error: ld returned")
_SHOWN = 160  # characters of a line
RELAX = (
    "relax the requirement, choose a later date with `--as-of DATE`, or another Python with `--python X.Y`"
)

_OBEYED = (
    "its files are looked for by their hashes on the site's index: name the index that has them (`extra_index_urls`, UV_INDEX), "
    "or resolve without it: --ignore {0}"
)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A Python ("3.11") that does not serve, and why."""

    python: str
    reason: str


@dataclass(frozen=True, slots=True)
class NoChoice:
    """Every Python that was tried, none of which serves; `failures` are the errors behind that, in order.

    `lock` is the lock file that pins the set, "" where it was to be resolved.
    """

    demands: tuple[Demand, ...]
    as_of: AsOf
    rejected: tuple[Rejected, ...]
    failures: tuple[BuilderError, ...]
    lock: str = ""

    def error(self) -> LockError | SourceBuildError:
        """Return what the user is told: a SourceBuildError when a build failed."""
        others = f"\nno Python on offer has the whole set:\n{self._lines()}" if len(self.rejected) > 1 else ""
        if broken := next((error for error in self.failures if isinstance(error, SourceBuildError)), None):
            return SourceBuildError(broken.message + others + self._early(), hint=broken.hint, log=broken.log)
        refused = next((error for error in self.failures if isinstance(error, UnsatisfiableError)), None)
        if refused is None:
            first = self.failures[0]
            return LockError(first.message + others + self._early(), hint=first.hint)
        refusal, python = refused.refusal, self.rejected[0].python
        if self.lock and len(self.rejected) == 1:
            head = f"what {self.lock} pins cannot be had for Python {python}: {refusal.reason}"
        elif self.lock:
            head = f"what {self.lock} pins cannot be had for any Python on offer:\n{self._lines()}"
        elif len(self.rejected) == 1:
            head = f"no set of wheels fits Python {python} as of {self.as_of.day}: {refusal.reason}"
        else:
            head = f"no Python on offer has wheels for the whole set as of {self.as_of.day}:\n{self._lines()}"
        where = places(refusal.whole, self.demands)
        words = [f"uv says for Python {python}:", refusal.words] if refusal.words else []
        hint = _OBEYED.format(self.lock) if self.lock else refusal.hint or RELAX
        return LockError("\n".join(part for part in (head, where, *words) if part) + self._early(), hint=hint)

    def _lines(self) -> str:
        return "\n".join(f"  Python {item.python}: {item.reason}" for item in self.rejected)

    def _early(self) -> str:
        """Return a line about sets of before the oldest Python, "" for others."""
        oldest = min(PYTHONS_ON_OFFER.values(), key=lambda python: python.released)
        tried = {item.python for item in self.rejected}
        if self.as_of.date.date() >= oldest.released or not tried & PYTHONS_ON_OFFER.keys():
            return ""
        return (
            f"\nPython {oldest.version}, the oldest on offer, came on {oldest.released}: "
            f"packages with compiled parts of {self.as_of.day} do not know it"
        )


def reason_of(error: BuilderError, as_of: AsOf) -> str:
    """Return in one line why a set cannot be had."""
    if isinstance(error, UnsatisfiableError):
        return f"{error.refusal.reason} as of {as_of.day}"
    head = error.message.partition("\n")[0].rstrip(":")
    telling = _telling(error.log) if isinstance(error, SourceBuildError) else ""
    return f"{head}: {telling}" if telling and telling not in head else head


def explained(error: UnsatisfiableError, demands: Sequence[Demand], as_of: AsOf, minor: str) -> BuilderError:
    """Return the error for one Python: what does not fit as of which date, and where each demand stands."""
    return NoChoice(tuple(demands), as_of, (Rejected(minor, error.refusal.reason),), (error,)).error()


def _telling(log: str) -> str:
    """Return the line of a build's words that tells best why it failed: the last error that is no probe's, or else the last line."""
    lines = [line.strip() for line in log.splitlines() if any(map(str.isalnum, line))]
    found = (line for line in reversed(lines) if _ERROR.search(line) and not _PROBE.match(line))
    return next(found, lines[-1] if lines else "")[:_SHOWN]
