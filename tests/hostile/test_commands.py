"""Commands that mean harm where they differ from notebooks: their arguments, their words, what they leave running."""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from notebook_runs import Runs

from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.documents.run import CommandSpec
from reprolake_runner.execute_command import execute_command
from reprolake_runner.plan import Execution, RunPlan
from reprolake_runner.stage_out import Outcome, Staging, stage_out
from reprolake_runner.staged import new_run_id, read_result

pytestmark = pytest.mark.engine("bubblewrap")
MIB = 1 << 20


@dataclass(frozen=True)
class Commands:
    """Runs commands in an image; `folder` is for what they leave."""

    runs: Runs
    folder: Path

    def __call__(self, *argv, timeout=60.0, **plan) -> Execution:
        """Run a command."""
        place = self.folder / secrets.token_hex(6)
        place.mkdir(mode=0o700, parents=True)
        image = self.runs.with_repository({"a.txt": "a"})
        spec = CommandSpec(image=image.id, argv=argv, timeout=timeout)
        return execute_command(
            image, self.runs.store, RunPlan(spec=spec, id=new_run_id(), folder=place, **plan)
        )

    def staged(self, execution):
        """The execution as a staged result."""
        outcome = Outcome(
            record=execution.record,
            repository=execution.repository,
            output=execution.output,
            upper=execution.upper,
            printed=execution.printed,
            events=execution.events,
        )
        return stage_out(outcome, Staging(self.folder / "staging"))


@pytest.fixture
def command(built_image, session, tmp_path):
    """Runs commands in the image of a sample."""
    return Commands(Runs(built_image, session.tools.store, tmp_path), tmp_path / "commands")


def test_a_flood_of_output_is_cut_and_told(command):
    """Both streams at full speed, without an end of line, keep no more than their limit, and the time limit holds meanwhile."""
    source = "import os\nblock = b'\\x00' * 65536\nwhile True: os.write(1, block); os.write(2, block)"
    done = command("python", "-c", source, timeout=8.0)
    assert done.record.status == "timed-out"
    assert {path.stat().st_size for path in done.printed.values()} == {16 * MIB}
    assert sum("longer than 16 MiB" in one for one in done.record.warnings) == 2
    assert done.events.stat().st_size < 64 * MIB
    events = [json.loads(line) for line in done.events.read_text().splitlines()]
    assert events[-1]["event"] == "run-ended"
    assert sum(one["event"] == "output-cut" for one in events) == 2
    assert read_result(command.staged(done).folder).intact


def test_what_is_left_running_is_ended(command):
    """A child that left the session and holds the pipes open neither outlives the command nor holds up its end."""
    source = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        while True: open('/out/beat', 'w').write(str(time.time())); time.sleep(0.05)\n"
        "    os._exit(0)\n"
        "while not os.path.exists('/out/beat'): time.sleep(0.01)"
    )
    done = command("python", "-c", source, timeout=60)
    assert done.record.status == "succeeded"
    last = (done.output / "beat").stat().st_mtime
    time.sleep(0.3)
    assert (done.output / "beat").stat().st_mtime == last


def test_odd_arguments_arrive_and_drive_nothing(command):
    """Spaces, quotes, line ends and terminal sequences arrive as they are; messages, page and crate show them harmlessly."""
    odd = [
        "a b",
        "'\"$(id)`id`",
        "line\nend",
        "\x1b]52;c;eA==\x07",
        "<script>alert(1)</script>",
        "é\u202e",
        "",
        "--",
    ]
    done = command("python", "-c", "import sys; print(sys.argv[1:])", *odd)
    assert done.printed["stdout.txt"].read_text() == f"{odd}\n"
    assert done.record.spec.argv[3:] == tuple(odd)
    folder = command.staged(done).folder
    page = (folder / "index.html").read_text()
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    json.loads((folder / "ro-crate-metadata.json").read_text())


def test_a_command_cannot_pass_for_one_that_was_never_started(command):
    """Words that look like the sandbox's own change nothing about how the run ended."""
    done = command("sh", "-c", "echo 'bwrap: execvp sh: No such file or directory' >&2; exit 1")
    assert (done.record.status, done.record.exit_status) == ("failed", 1)
    assert done.record.message.startswith("the command ended with status 1; ")


def test_a_command_that_stops_itself_is_noticed(command):
    """One that stops everything in the sandbox ends by the limit on stalls, and the sentence names it."""
    plan = {"bounds": replace(RunPlan.__dataclass_fields__["bounds"].default_factory(), stall_seconds=2)}
    done = command("sh", "-c", "kill -STOP $$", **plan)
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert re.match("the command did nothing for 2 s: everything in it was stopped", done.record.message)


def test_too_many_processes_are_told(command):
    """The limit on processes holds for a command's children, and the record says that it was reached."""
    source = "import os, time\nfor _ in range(100):\n    if os.fork() == 0: time.sleep(30); os._exit(0)"
    done = command("python", "-c", source, limits=Limits(processes=20))
    assert (done.record.status, "BlockingIOError" in done.record.message) == ("failed", True)


def test_names_of_ours_are_not_taken(command):
    """Outputs that are named like the files of a result lie in their own folder, and links in their place lead nowhere."""
    done = command(
        "sh",
        "-c",
        "echo x > $REPROLAKE_OUTPUT/run.json; ln -s /etc/passwd $REPROLAKE_OUTPUT/stdout.txt; echo y",
    )
    folder = command.staged(done).folder
    assert (folder / "stdout.txt").read_text() == "y\n"
    assert (folder / "outputs/run.json").read_text() == "x\n"
    assert not (folder / "outputs/stdout.txt").exists()
    assert read_result(folder).intact
