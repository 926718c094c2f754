"""Limits as people write them: each with its setting, its flag, and how its amount is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

Unit = Literal["bytes", "seconds", "number", "processors"]
NONE = "none"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+(?=[KMGT]))?)([KMGT]?)(?:I?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_FORMS = {
    "bytes": "size, like 500M, 4G or a number of bytes",
    "seconds": "number of seconds above 0, like 90 or 3600",
    "number": "whole number above 0",
    "processors": "number of processors above 0, like 2 or 0.5",
}


@dataclass(frozen=True, slots=True)
class LimitSetting:
    """A limit: the `setting` in reprolake.toml, the `flag` of `run`, "" for none; `can_be_none` when it can be lifted.

    `of_cells` when only a notebook can reach it. With less than `least` nothing can start.
    """

    setting: str
    flag: str
    unit: Unit
    help: str
    can_be_none: bool = True
    of_cells: bool = False
    least: int = 0

    def parse(self, text: str) -> float | None:
        """Return the amount, None for no limit. Raises ValueError."""
        if self.can_be_none and text == NONE:
            return None
        found = parse_amount(text, self.unit)
        if found < self.least:
            raise ValueError(f"{text!r}, with which nothing can start: give {self.least >> 20}M or more")
        return found


LIMITS = (
    LimitSetting("max_timeout", "--timeout", "seconds", "End the run after this time."),
    LimitSetting(
        "max_execution_timeout",
        "--execution-timeout",
        "seconds",
        "End the run when one cell takes longer.",
        of_cells=True,
    ),
    LimitSetting(
        "max_stall_timeout",
        "--stall-timeout",
        "seconds",
        "End the run when nothing is said and done for so long.",
    ),
    LimitSetting(
        "max_memory_bytes",
        "--memory",
        "bytes",
        "Memory of everything in the sandbox, /tmp included.",
        least=1 << 20,
    ),
    LimitSetting("max_cpus", "--cpus", "processors", "Processors at work at a time."),
    LimitSetting("max_cpu_seconds", "--cpu-time", "seconds", "Processor time of the run."),
    LimitSetting(
        "max_processes", "--processes", "number", "Processes and threads at a time.", can_be_none=False
    ),
    LimitSetting(
        "max_disk_bytes", "--disk", "bytes", "What the run may write to its output folder and the repository."
    ),
    LimitSetting(
        "max_messages",
        "--messages",
        "number",
        "Messages of the kernel, most of which are outputs.",
        can_be_none=False,
        of_cells=True,
    ),
    LimitSetting(
        "max_message_bytes",
        "--message-size",
        "bytes",
        "Size of one message.",
        can_be_none=False,
        of_cells=True,
    ),
    LimitSetting(
        "max_messages_bytes",
        "--messages-size",
        "bytes",
        "Size of all messages together.",
        can_be_none=False,
        of_cells=True,
    ),
    LimitSetting("max_open_files", "", "number", "Open files of one process.", can_be_none=False),
    LimitSetting("max_file_bytes", "", "bytes", "Size of one file.", can_be_none=False),
    LimitSetting(
        "max_tmp_bytes", "", "bytes", "Size of each folder in memory: /tmp, HOME.", can_be_none=False
    ),
)
"""All limits of a run."""


def parse_amount(text: str, unit: Unit) -> float:
    """Return the amount that a text stands for, in bytes, seconds or as a number. Raises ValueError, which says what it can be."""
    amount = math.nan
    if unit == "bytes" and (found := _SIZE.fullmatch(text)):
        amount = math.floor(float(found[1]) * _FACTORS[found[2].upper()])
    elif unit == "number" and text.isascii() and text.isdigit():
        amount = int(text)
    elif unit in {"seconds", "processors"}:
        try:
            amount = float(text)
        except ValueError:
            amount = math.nan
    if not 0 < amount < 1 << 62:
        raise ValueError(f"{text!r} is no {_FORMS[unit]}")
    return amount
