"""What a program deletes in a copy-on-write folder is told of, whatever isolates it."""

from __future__ import annotations

from sandbox_programs import output, spec

from reprolake_builder.sandboxes.interface import CopyOnWrite
from reprolake_runner.collect import Collector, Limits


def test_deleted_files_are_named(sandbox, root, tmp_path):
    """Files, folders and what was in a folder that was made anew are each named, and what is there yet is not."""
    lower, scratch = tmp_path / "lower", tmp_path / "scratch"
    for path in ("file", "kept", "folder/one", "again/one", "again/two", "deep/gone", "deep/kept"):
        (lower / path).parent.mkdir(parents=True, exist_ok=True)
        (lower / path).write_text(path)
    scratch.mkdir()
    view = CopyOnWrite(lower, scratch, "/work")
    script = "cd /work && rm -r file folder again deep/gone && mkdir again && echo x > again/two && echo new > made"
    assert output(sandbox, spec(root, script, copy_on_write=view)) == (0, "", "")
    collector = Collector(tmp_path / "target", Limits())
    collector.collect_changes(view.written, lower, "r", is_whole=CopyOnWrite.is_whole(view.written))
    assert [file.path for file in collector.files] == ["r/again/two", "r/made"]
    (warning,) = collector.warnings
    reason, _, names = warning.partition(": ")
    assert reason == "deleted from the repository by the notebook"
    assert sorted(names.split(", ")) == ["r/again/one", "r/deep/gone", "r/file", "r/folder"]
