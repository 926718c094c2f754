"""Staging out: whole or absent, described truly, checked again later."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from datetime import timedelta
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import error_output, image_output, notebook_with, outcome, png

from reprolake_runner.collect import Limits
from reprolake_runner.documents.run import CellRecord, Origin
from reprolake_runner.errors import StageOutError
from reprolake_runner.stage_out import Staging, check_folder, stage_out
from reprolake_runner.staged import is_run_id, new_run_id, parse_lifetime, read_result

EVIL = '<script>alert(1)</script><img src=x onerror="alert(1)">\x1b]52;c;x\x07\u202e'


class Page(HTMLParser):
    """The tags and attributes of a page, to find what could run."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def files_of(result):
    return sorted(file.path for file in result.manifest.files)


def test_a_result_holds_everything_and_checks_out(tmp_path):
    """Notebook, source, outputs, logs, record, crate and page are there, listed, and as the manifest says."""
    run = outcome(tmp_path / "run", executed=notebook_with(image_output(png())))
    (run.output / "sub").mkdir()
    (run.output / "sub" / "curve.ecsv").write_text("# %ECSV\n")
    (run.upper / "made.csv").write_text("1,2\n")
    result = stage_out(run, Staging(tmp_path / "stage"))
    assert result.folder == tmp_path / "stage" / run.record.id
    assert files_of(result) == [
        "basket.json", "events.jsonl", "figures/cell-001-001.png", "index.html", "lightcurve.ipynb", "log.txt",
        "outputs/repository/made.csv", "outputs/sub/curve.ecsv", "ro-crate-metadata.json", "run.json",
        "source/lightcurve.ipynb",
    ]  # fmt: skip
    checked = read_result(result.folder)
    assert checked.intact
    assert checked.staged.record == result.record
    assert result.record.source == Origin(
        repository="https://example.org/jane/crab.git", commit="12" * 20, tree="34" * 20
    )
    assert msgspec.structs.replace(result.record, source=Origin()) == run.record
    assert result.manifest.expires == run.record.ended + timedelta(days=30)


def test_changed_files_of_the_repository_are_told_from_new_ones(tmp_path):
    """A changed file is listed as such, an unchanged copy is not kept, Python's traces neither, a deleted one is named."""
    run = outcome(tmp_path / "run")
    for name, text in {"a.txt": "a", "b.txt": "b", "c.txt": "c"}.items():
        (run.repository / name).write_text(text)
    (run.upper / "a.txt").write_text("A")
    (run.upper / "b.txt").write_text("b")
    (run.upper / "__pycache__").mkdir()
    (run.upper / "__pycache__" / "x.pyc").write_bytes(b"")
    result = stage_out(run, Staging(tmp_path / "stage"))
    assert [path for path in files_of(result) if path.startswith("outputs")] == ["outputs/repository/a.txt"]
    assert "changed in the repository" in (result.folder / "index.html").read_text()


def test_a_folder_named_like_ours_keeps_apart(tmp_path):
    """An output called `repository` does not mix with what the repository got."""
    run = outcome(tmp_path / "run")
    (run.output / "repository").write_text("mine")
    (run.upper / "x").write_text("beside")
    result = stage_out(run, Staging(tmp_path / "stage"))
    outputs = {path for path in files_of(result) if path.startswith("outputs")}
    assert outputs == {"outputs/repository/x", "outputs/repository~2"}


def test_a_failed_run_is_staged_and_says_so_everywhere(tmp_path):
    """Page, crate, manifest and record all say that it failed, with cell and traceback, free of terminal sequences."""
    run = outcome(
        tmp_path / "run",
        executed=notebook_with(error_output()),
        status="failed",
        exit_code=1,
        message="cell In [1] raised ValueError: no bins",
        cells=(CellRecord(index=0, state="failed", error="ValueError: no bins"),),
    )
    result = stage_out(run, Staging(tmp_path / "stage"))
    page = (result.folder / "index.html").read_text()
    assert page.index("Failed") < page.index("Traceback")
    assert "cell In [1] raised ValueError: no bins" in page
    assert "What went wrong in cell In [1]<" in page
    assert "\x1b" not in page
    assert result.manifest.status == "failed"
    graph = json.loads((result.folder / "ro-crate-metadata.json").read_text())["@graph"]
    (action,) = (one for one in graph if one["@type"] == "CreateAction")
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "cell In [1] raised ValueError: no bins"


def test_a_run_without_executed_notebook_is_staged_with_a_warning(tmp_path):
    """A driver that died leaves no notebook; what there is is kept, and the lack is told."""
    run = outcome(tmp_path / "run", status="broken", exit_code=70, message="the driver died")
    run.notebook.unlink()
    result = stage_out(run, Staging(tmp_path / "stage"))
    assert "lightcurve.ipynb is missing" in result.record.warnings[0]
    assert read_result(result.folder).intact


def test_nothing_is_left_when_staging_fails(tmp_path):
    """A result is whole or absent: after a failure the folder is as before."""
    run = outcome(tmp_path / "run")
    (run.repository / "lightcurve.ipynb").write_bytes(notebook_with(source="other"))
    with pytest.raises(StageOutError, match="changed in the store"):
        stage_out(run, Staging(tmp_path / "stage"))
    assert list((tmp_path / "stage").iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path):
    """Unfinished work of a process that is gone disappears with the next result, other results stay."""
    abandoned = tmp_path / "stage" / f".tmp-{new_run_id()}"
    abandoned.mkdir(parents=True)
    (abandoned / "x").write_text("half")
    first = stage_out(outcome(tmp_path / "a"), Staging(tmp_path / "stage"))
    second = stage_out(outcome(tmp_path / "b"), Staging(tmp_path / "stage"))
    assert sorted(path.name for path in (tmp_path / "stage").iterdir()) == sorted(
        [first.record.id, second.record.id]
    )


def test_folders_of_the_user_are_not_swept(tmp_path):
    """A folder of results may be any folder of the user's: what is not named as ours are stays, whatever it begins with."""
    kept = [tmp_path / "stage" / name for name in (".tmp-backup", ".tmp-", f".tmp-{new_run_id()}~")]
    for folder in kept:
        folder.mkdir(parents=True)
    stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage"))
    assert all(folder.is_dir() for folder in kept)


def test_only_the_owner_enters_a_result(tmp_path):
    """Results are private until their owner shares them."""
    result = stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage"))
    assert result.folder.stat().st_mode & 0o777 == 0o700


def test_a_bad_id_names_no_folder(tmp_path):
    """An id that could lead elsewhere is refused."""
    run = outcome(tmp_path / "run", id="../evil")
    with pytest.raises(StageOutError, match="no id of a run"):
        stage_out(run, Staging(tmp_path / "stage"))


def test_an_unwritable_destination_is_explained(tmp_path):
    """A destination that is a file is a StageOutError that names it."""
    (tmp_path / "stage").write_text("")
    with pytest.raises(StageOutError, match="cannot be staged in"):
        stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage"))
    for place, said in (("stage", "is a file"), ("stage/deeper", "cannot be staged in")):
        with pytest.raises(StageOutError, match=said) as caught:
            check_folder(tmp_path / place)
        assert "--stage" in caught.value.hint


def test_a_folder_of_results_names_the_newest(tmp_path):
    """Who gives the folder that results are staged in, not a result, is told the newest result in it."""
    first = stage_out(outcome(tmp_path / "a"), Staging(tmp_path / "stage"))
    second = stage_out(outcome(tmp_path / "b"), Staging(tmp_path / "stage"))
    os.utime(first.folder, (1, 1))
    with pytest.raises(StageOutError) as caught:
        read_result(tmp_path / "stage")
    assert str(second.folder) in caught.value.hint


def test_outputs_beyond_the_limits_are_no_success(tmp_path):
    """When outputs do not fit, the run ends as limit-exceeded and names what is missing; the rest is kept."""
    run = outcome(tmp_path / "run")
    (run.output / "big").write_bytes(b"x" * 2000)
    (run.output / "small").write_bytes(b"x")
    result = stage_out(run, Staging(tmp_path / "stage", limits=Limits(total_bytes=1000)))
    assert (result.record.status, result.record.exit_code, result.manifest.status) == (
        "limit-exceeded",
        26,
        "limit-exceeded",
    )
    assert any("outputs/big" in warning for warning in result.record.warnings)
    assert "outputs/small" in files_of(result)


def test_changes_to_a_result_are_found(tmp_path):
    """A later check names files that are gone, changed or new."""
    run = outcome(tmp_path / "run")
    (run.output / "a").write_text("1")
    folder = stage_out(run, Staging(tmp_path / "stage")).folder
    (folder / "outputs" / "a").write_text("2")
    (folder / "log.txt").unlink()
    (folder / "basket.json").unlink()
    (folder / "basket.json").symlink_to("/etc/hostname")
    (folder / "new").write_text("")
    checked = read_result(folder)
    assert not checked.intact
    assert (checked.changed, checked.missing, checked.unlisted) == (
        ("outputs/a",),
        ("basket.json", "log.txt"),
        ("new",),
    )


def test_a_folder_without_manifest_is_no_result(tmp_path):
    """Without its manifest a result does not exist."""
    with pytest.raises(StageOutError, match="is no staged result"):
        read_result(tmp_path)
    folder = stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage")).folder
    shutil.copy(folder / "run.json", tmp_path / "run.json")
    (tmp_path / "manifest.json").write_text('{"version": 9}')
    with pytest.raises(StageOutError, match=r"manifest\.json cannot be read"):
        read_result(tmp_path)


def test_the_page_runs_nothing_whatever_the_notebook_says(tmp_path):
    """Hostile titles, outputs, names and errors end as text; no script, no handler, nothing from elsewhere."""
    executed = notebook_with(
        image_output(EVIL.encode()),
        image_output(b"<svg onload=alert(1)>", "image/svg+xml"),
        image_output(png()),
        error_output(EVIL, EVIL, (EVIL,)),
        source=EVIL,
    )
    run = outcome(
        tmp_path / "run",
        executed=executed,
        path=f"{EVIL.replace('/', '')}.ipynb",
        status="failed",
        message=EVIL,
    )
    (run.output / "x.html").write_text(EVIL)
    (run.output / EVIL.replace("/", "")).write_text(EVIL)
    (run.output / "false.png").write_text(EVIL)
    result = stage_out(run, Staging(tmp_path / "stage"))
    text = (result.folder / "index.html").read_text()
    page = Page(text)
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "iframe", "object", "svg", "link", "base", "form"} & set(tags)
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src"):
            assert (attributes.get(name) or "./").startswith("./")
    assert tags.count("img") == 1
    assert "\x1b" not in text
    assert "\u202e" not in text
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


def test_a_flood_of_failures_makes_no_endless_page(tmp_path):
    """A kernel that reports failures without end gets the first ones shown, each cut, and a note."""
    errors = [error_output(value=f"number {n}", traceback=["x" * 1000] * 1000) for n in range(50)]
    run = outcome(
        tmp_path / "run", executed=notebook_with(*errors), status="failed", exit_code=1, message="no"
    )
    result = stage_out(run, Staging(tmp_path / "stage"))
    page = (result.folder / "index.html").read_text()
    assert len(page) < 1_000_000
    assert "number 19" in page
    assert "number 20" not in page
    assert "only the first 20 failures are shown" in page


def test_long_tables_are_cut_and_say_so(tmp_path):
    """A basket of many items makes no page that no browser opens: the record has the rest."""
    run = outcome(tmp_path / "run")
    inputs = run.record.spec.inputs * 2500
    record = msgspec.structs.replace(run.record, spec=msgspec.structs.replace(run.record.spec, inputs=inputs))
    result = stage_out(dataclasses.replace(run, record=record), Staging(tmp_path / "stage"))
    page = (result.folder / "index.html").read_text()
    assert page.count("events 1.fits</td>") == 2000
    assert "500 more are listed in run.json" in page


def test_links_of_the_page_lead_to_files(tmp_path):
    """Every link and image of the page names a file of the result, odd names included."""
    from urllib.parse import unquote

    run = outcome(tmp_path / "run", executed=notebook_with(image_output(png())))
    for name in ("a b.csv", "50%.txt", "größe#1?.png", "x&y.txt"):
        (run.output / name).write_bytes(png(10, 200, 10))
    result = stage_out(run, Staging(tmp_path / "stage"))
    links = re.findall(r'(?:href|src)="\./([^"]+)"', (result.folder / "index.html").read_text())
    assert len(links) > 10
    for link in links:
        assert (result.folder / unquote(link)).is_file()


def test_a_figure_saved_and_shown_appears_once(tmp_path):
    """An image that is both an output and a cell's figure is shown once."""
    run = outcome(tmp_path / "run", executed=notebook_with(image_output(png())))
    (run.output / "curve.png").write_bytes(png())
    result = stage_out(run, Staging(tmp_path / "stage"))
    assert (result.folder / "index.html").read_text().count("<img") == 1


def test_the_crate_tells_no_host_paths(tmp_path):
    """Crate, record, page and manifest do not know where this host keeps things."""
    run = outcome(tmp_path / "run")
    (run.output / "a").write_text("1")
    result = stage_out(run, Staging(tmp_path / "stage"))
    for name in ("ro-crate-metadata.json", "run.json", "index.html", "manifest.json"):
        assert str(tmp_path) not in (result.folder / name).read_text()


def test_a_result_may_be_kept_for_ever(tmp_path):
    """Without a lifetime there is no date of expiry."""
    result = stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage", lifetime=None))
    assert result.manifest.expires is None
    assert msgspec.json.decode((result.folder / "manifest.json").read_bytes())["expires"] is None


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("4w", timedelta(weeks=4)), ("never", None)],
)
def test_lifetimes_are_read(text, lifetime):
    """Hours, days, weeks or never."""
    assert parse_lifetime(text) == lifetime


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-1d", "1.5d", "30 d", "٣d", "1y", "999999w", "30d\n", "Never"]
)
def test_other_lifetimes_are_refused(text):
    """Anything else is refused, with the forms there are."""
    with pytest.raises(ValueError, match="never"):
        parse_lifetime(text)


@given(st.text(max_size=12))
def test_any_text_is_a_lifetime_or_a_value_error(text):
    """The reader of lifetimes ends in a positive time, None or ValueError."""
    try:
        lifetime = parse_lifetime(text)
    except ValueError:
        return
    assert lifetime is None or lifetime > timedelta(0)


def test_run_ids_are_long_and_differ():
    """Ids have 26 characters of Crockford's alphabet, and two are never equal."""
    ids = {new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_run_id(one) and len(one) == 26 for one in ids)
