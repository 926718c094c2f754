"""The result as a page for a person: it opens from a folder, without a server, scripts or anything from elsewhere.

Everything on it may come from a stranger's notebook. All text is escaped, images are only those that are PNG or JPEG by
their bytes, and a content security policy forbids the rest in case we err.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from reprolake_builder.process import printable
from reprolake_runner.contents import Contents, Kept
from reprolake_runner.documents.run import CommandSpec, RunRecord
from reprolake_runner.figures import Failure
from reprolake_runner.page_style import STYLE
from reprolake_runner.plot import plot
from reprolake_runner.watchdog import size

_STATUS = {
    "succeeded": "Succeeded",
    "not-reproduced": "Not reproduced",
    "failed": "Failed",
    "timed-out": "Timed out",
    "kernel-died": "Kernel died",
    "limit-exceeded": "Limit exceeded",
    "stopped": "Stopped",
    "broken": "Broken",
}
_CHECKED = {
    "same": "the same",
    "close": "the same but for times or less than the tolerance",
    "differs": "<strong>not reproduced</strong>",
    "not-saved": "none were saved",
}
_ROLES = {
    "executed": "executed notebook",
    "output": "output",
    "created": "created in the repository",
    "changed": "changed in the repository",
    "added": "brought along by the user",
    "figure": "figure of a cell",
    "source": "notebook as in the repository",
    "log": "log",
    "events": "event log",
    "record": "run record",
    "basket": "basket",
}
_ORDER = list(_ROLES)
_PICTURES = {"image/png", "image/jpeg"}
_MAX_ROWS = 2000
_MAX_SHOWN = 20_000


def report(contents: Contents, pictures: frozenset[str]) -> bytes:
    """Return the page as HTML; `pictures` are the paths of output files whose bytes were seen to be PNG or JPEG."""
    record = contents.record
    title = f"{record.spec.name}: {_STATUS[record.status]}"
    parts = [
        _head(title),
        _summary(contents),
        *(_failure(one) for one in contents.shown.failures if record.status != "succeeded"),
        _notes(contents),
        _checks(contents.record),
        _parameters(contents),
        _figures(contents, pictures),
        _resources(contents.record),
        _inputs(contents),
        _network(contents.record),
        _files(contents),
        _origin(contents),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8", "replace")


def _head(title: str) -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    # `file:` because browsers give a page from a folder no origin of its own that 'self' could match.
    policy = f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="robots" content="noindex">'
        f'<meta name="color-scheme" content="light dark"><title>{_e(title)}</title><style>{STYLE}</style></head><body><main>'
    )


def _summary(contents: Contents) -> str:
    record = contents.record
    good = "good" if record.status == "succeeded" else "bad"
    facts = [
        _done(record),
        ("Took", _seconds((record.ended - record.started).total_seconds())),
        ("Finished", f"{record.ended:%Y-%m-%d %H:%M:%S} UTC"),
        ("Kept until", f"{contents.expires:%Y-%m-%d %H:%M} UTC" if contents.expires else "not limited"),
    ]
    executed = contents.of("executed")
    link = f"<p>{_link(executed[0], 'Executed notebook')}</p>" if executed else ""
    listed = "".join(f"<div><dt>{_e(name)}</dt><dd>{_e(value)}</dd></div>" for name, value in facts)
    return (
        f'<header class="{good}"><p class="status">{_STATUS[record.status]}</p><h1>{_e(record.spec.name)}</h1>'
        f'<p class="message">{_e(record.message)}</p><dl class="facts">{listed}</dl>{link}</header>'
    )


def _done(record: RunRecord) -> tuple[str, str]:
    """Return how much was done, for the summary."""
    if isinstance(record.spec, CommandSpec):
        return "Exit status", "none" if record.exit_status is None else str(record.exit_status)
    own = [cell for cell in record.cells if cell.counts]
    done = sum(cell.state in {"succeeded", "allowed-failure"} for cell in own)
    return "Cells run", f"{done} of {len(own)}"


def _failure(failure: Failure) -> str:
    return (
        f'<section class="failure"><h2>What went wrong in {_e(failure.cell)}</h2><p><strong>{_e(failure.message)}</strong></p>'
        f"<pre>{_e(failure.source)}</pre><details open><summary>Traceback</summary><pre>{_e(failure.traceback)}</pre></details></section>"
    )


def _notes(contents: Contents) -> str:
    notes = [*contents.record.warnings, *([contents.shown.note] if contents.shown.note else [])]
    if not notes:
        return ""
    return (
        "<section><h2>Please note</h2><ul>"
        + "".join(f"<li>{_e(note)}</li>" for note in notes)
        + "</ul></section>"
    )


def _checks(record: RunRecord) -> str:
    """Show which cells put out what the notebook was saved with."""
    names = {cell.index: cell.name for cell in record.cells}
    rows = [
        (_e(names.get(one.index, "")), _CHECKED[one.verdict], _e(one.reason))
        for one in record.checks[:_MAX_ROWS]
    ]
    return _table("Did it reproduce?", ("Cell", "Outputs", "What differs"), rows) if rows else ""


def _parameters(contents: Contents) -> str:
    spec = contents.record.spec
    if isinstance(spec, CommandSpec):
        words = [(_code(str(number)), _code(word)) for number, word in enumerate(spec.argv)]
        return _table("Command", ("", "Argument"), words[:_MAX_ROWS])
    parameters = spec.parameters.parameters
    rows = [(_code(one.name), _code(_json(one.value)), _e(one.origin)) for one in parameters]
    if not rows:
        return "<section><h2>Parameters</h2><p>None were given: the notebook's own values were used.</p></section>"
    return _table("Parameters", ("Name", "Value", "Given by"), rows)


def _figures(contents: Contents, pictures: frozenset[str]) -> str:
    of_cells = {figure.path: figure.cell for figure in contents.shown.figures}
    seen: set[str] = set()
    shown = []
    for kept in (*contents.of("output", "created", "changed"), *contents.of("figure")):
        is_picture = kept.path in of_cells or (kept.path in pictures and kept.media_type in _PICTURES)
        if not is_picture or kept.sha256 in seen:
            continue
        seen.add(kept.sha256)
        label = of_cells.get(kept.path, kept.path)
        shown.append(
            f'<figure><a href="{_href(kept)}"><img loading="lazy" src="{_href(kept)}" alt="Figure: {_e(label)}"></a>'
            f"<figcaption>{_e(label)}</figcaption></figure>"
        )
    return f'<section><h2>Figures</h2><div class="figures">{"".join(shown)}</div></section>' if shown else ""


def _resources(record: RunRecord) -> str:
    """Show what the run took; of a notebook cell by cell."""
    rows = [
        (
            _e(cell.name),
            _e(cell.state),
            _seconds(cell.seconds) if cell.seconds is not None else "",
            _seconds(cell.cpu_seconds) if cell.cpu_seconds is not None else "",
            size(cell.peak_bytes) if cell.peak_bytes is not None else "",
        )
        for cell in record.cells[:_MAX_ROWS]
    ]
    taken = record.resources
    if taken is None:
        return ""
    total = f"{_seconds(taken.cpu_seconds)} of processor time, {size(taken.peak_bytes)} of memory at the most"
    table = _table("", ("Cell", "State", "Took", "Processors", "Memory"), rows)
    cells = f"<details><summary>Cells</summary>{table}</details>" if rows else ""
    drawing = plot(record)
    drawn = f'<figure class="plot">{drawing}</figure>' if drawing else ""
    return f"<section><h2>Resources</h2><p>{total}.</p>{drawn}{cells}</section>"


def _inputs(contents: Contents) -> str:
    inputs = contents.record.spec.inputs
    rows = [(_e(one.name), _e(one.source), _size(one.size), _hash(one.sha256)) for one in inputs[:_MAX_ROWS]]
    table = _table("Inputs", ("Name", "From", "Size", "SHA-256"), rows) if rows else ""
    return table + _more(len(inputs), "run.json")


def _network(record: RunRecord) -> str:
    """Show what could be reached, what was, and what was refused."""
    network = record.network
    if network is None or network.policy == "none":
        return ""
    rows = [
        (
            _code(f"{one.host}:{one.port}"),
            _e(one.method),
            str(one.times),
            _size(one.sent),
            _size(one.received),
            _e(one.problem),
        )
        for one in network.passed[:_MAX_ROWS]
    ]
    refused = [
        (_code(f"{one.host}:{one.port}"), _e(one.method), str(one.times), _e(one.reason))
        for one in network.refused[:_MAX_ROWS]
    ]
    tables = _table("", ("Host", "Method", "Times", "Sent", "Received", "Problem"), rows) if rows else ""
    tables += _table("Refused", ("Host", "Method", "Times", "Reason"), refused) if refused else ""
    more = f" {network.untold} requests more are not listed." if network.untold else ""
    return (
        f"<section><h2>Network</h2><p>The run could reach: {_code(network.policy)}. Of CONNECT, behind which connections are "
        f"encrypted, only host and port are known.{more}</p>{tables}</section>"
    )


def _files(contents: Contents) -> str:
    files = sorted(contents.files, key=lambda kept: (_ORDER.index(kept.role), kept.path))
    rows = []
    for kept in files[:_MAX_ROWS]:
        was = f" <small>(was {_e(kept.original)})</small>" if kept.original else ""
        rows.append((_link(kept) + was, _e(_ROLES[kept.role]), _size(kept.size), _hash(kept.sha256)))
    table = _table("Files", ("File", "What it is", "Size", "SHA-256"), rows)
    return table + _more(len(files), "manifest.json")


def _more(number: int, where: str) -> str:
    """Return where the rest of so many rows is, "" when all of them are shown."""
    return f"<p>{number - _MAX_ROWS} more are listed in {where}.</p>" if number > _MAX_ROWS else ""


def _origin(contents: Contents) -> str:
    record = contents.record
    rows = [
        ("Repository", record.source.repository),
        ("Commit", record.source.commit),
        ("State", "with changes that are in no commit" if record.source.is_dirty else ""),
        ("Tree", record.source.tree),
        ("Record", record.source.record),
        ("Proof", record.source.proof),
        ("Image", record.spec.image),
        ("Packages as of", contents.annotations.get("reprolake.as-of", "")),
        ("Kernel", _kernel(record)),
        ("Isolation", "; ".join(f"{name}: {value}" for name, value in record.sandbox.items())),
        ("Run", record.id),
        ("Run key", record.key),
    ]
    listed = [(f"<th scope=row>{_e(name)}</th>", _code(value)) for name, value in rows if value]
    body = "".join(f"<tr>{head}<td>{value}</td></tr>" for head, value in listed)
    return f'<section><h2>Where it comes from</h2><div class="wide"><table>{body}</table></div></section>'


def _kernel(record: RunRecord) -> str:
    info = record.kernel_info
    kinds = [
        f"{info[kind]} {info.get(kind + '_version', '')}".strip()
        for kind in ("implementation", "language")
        if kind in info
    ]
    return ", ".join([record.kernel, *kinds])


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th scope=col>{_e(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    headed = f"<h2>{_e(title)}</h2>" if title else ""
    return (
        f'<section>{headed}<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _link(kept: Kept, text: str = "") -> str:
    # `download`: a page or drawing that the notebook wrote is handed over, not opened beside this one.
    active = "" if kept.media_type in _PICTURES else " download"
    return f'<a href="{_href(kept)}"{active} rel="noopener">{_e(text or kept.path)}</a>'


def _href(kept: Kept) -> str:
    return "./" + quote(kept.path)


def _code(text: str) -> str:
    return f"<code>{_e(text)}</code>"


def _hash(sha256: str) -> str:
    """Return the start of a hash; manifest.json and a pointer held over it tell the rest."""
    return f'<code title="{_e(sha256)}">{_e(sha256[:12])}…</code>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _e(text: str) -> str:
    """Return text as harmless HTML of bounded length."""
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + " …"
    return escape(printable(cut))


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
