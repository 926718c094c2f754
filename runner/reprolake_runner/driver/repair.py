"""Messages of a kernel made into what a notebook can hold: nothing that a kernel sends may end the driver.

Source: nbformat 4 (`nbformat.v4.5.schema.json`, "output" and "misc"), "Messaging in Jupyter" 5.4, and RFC 8259, which knows no
NaN and leaves the depth of values to the reader.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from reprolake_builder.process import printable
from reprolake_runner.driver.channels import Message

_JSON_TYPE = re.compile(r"application/(.*\+)?json")
_DEPTH = 100  # the notebook is copied by functions that call themselves
_BITS = 1000  # larger integers are beyond what readers take for a number
_COUNT = 1 << 31
_WORDS = {"stream": ("text",), "error": ("ename", "evalue")}
_SHOWN = 60
_TOO_DEEP = "(nested too deep to be kept)"


class Repair:
    """Makes content valid and remembers what was wrong with it, in `reasons`."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def content(self, message: Message) -> dict[str, Any]:
        """Return the content of an iopub message with every field in the form that its type promises.

        Raises TypeError for a widget's message that cannot be given one.
        """
        content: dict[str, Any] = message["content"]
        kind: str = message["msg_type"]
        if kind == "status" or kind.startswith("comm"):
            # neither has a count to tell, and whoever reads messages believes any that is there
            content = {name: value for name, value in content.items() if name != "execution_count"}
            return content if kind == "status" else self._comm(content)
        fixed = dict(content)
        if "execution_count" in content or kind == "execute_result":
            fixed["execution_count"] = execution_count(content.get("execution_count"))
        for name in _WORDS.get(kind, ()):
            fixed[name] = self._text(content.get(name), name)
        match kind:
            case "stream":
                if content.get("name") not in ("stdout", "stderr"):
                    self.reasons.append("a stream was neither stdout nor stderr")
                    fixed["name"] = "stdout"
            case "display_data" | "update_display_data" | "execute_result":
                fixed["data"] = self._bundle(content.get("data"))
                fixed["metadata"] = self._object(content.get("metadata"))
                fixed["transient"] = _transient(content.get("transient"))
            case "error":
                lines = content.get("traceback", [])
                lines = lines if isinstance(lines, list) else [lines]
                fixed["traceback"] = [self._text(line, "traceback") for line in lines]
            case _:
                pass
        return fixed

    def _comm(self, content: dict[str, Any]) -> dict[str, Any]:
        data = content.get("data")
        stated = data.get("state", {}) if isinstance(data, dict) else None
        if not isinstance(content.get("comm_id"), str) or not isinstance(stated, dict):
            raise TypeError("a widget has a name, and its state is an object")
        return dict(self.plain(content))

    def _bundle(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            data = {"text/plain": data}
        bundle: dict[str, Any] = {}
        for kind, value in data.items():
            name = self._text(kind, "a media type")
            bundle[name] = self.plain(value) if _JSON_TYPE.fullmatch(name) else self._text(value, name)
        return bundle

    def _object(self, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return dict(self.plain(value))
        self.reasons.append("metadata were no object")
        return {}

    def _text(self, value: Any, name: str) -> str:
        """Return text as it is, lines joined, and anything else as its JSON."""
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            value = "".join(value)
        if not isinstance(value, str):
            self.reasons.append(f"{printable(name)[:_SHOWN]} was no text")
            value = json.dumps(self.plain(value), ensure_ascii=False)
        return self._characters(value)

    def _characters(self, text: str) -> str:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            self.reasons.append("text held half of a surrogate pair")
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value that every reader of JSON takes."""
        if isinstance(value, str):
            return self._characters(value)
        if isinstance(value, float) and not math.isfinite(value):
            self.reasons.append(f"the number {value} is not JSON")
            return None
        if isinstance(value, int) and value.bit_length() > _BITS:
            self.reasons.append(f"an integer had more than {_BITS} bits")
            return str(value)
        if isinstance(value, list | dict) and depth >= _DEPTH:
            self.reasons.append(f"a value was nested deeper than {_DEPTH} levels")
            return _TOO_DEEP
        if isinstance(value, list):
            return [self.plain(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {self._characters(key): self.plain(item, depth + 1) for key, item in value.items()}
        return value


def execution_count(value: Any) -> int | None:
    """Return a kernel's count of executions, None for what cannot be one."""
    return value if type(value) is int and 0 <= value < _COUNT else None


def language_info(value: Any) -> dict[str, Any]:
    """Return a kernel's words about its language as a notebook's metadata hold them; empty without a name."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return {}
    words = {key: one for key, one in value.items() if isinstance(one, str)}
    mode = value.get("codemirror_mode")
    return dict(Repair().plain(words | ({"codemirror_mode": mode} if isinstance(mode, dict) else {})))


def _transient(value: Any) -> dict[str, str]:
    name = value.get("display_id") if isinstance(value, dict) else None
    return {"display_id": name} if isinstance(name, str) else {}
