"""Programs of an image run by `exec` and `shell`: what they see, what is kept, how they end."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import CACHE, ROOT, SAMPLES

pytestmark = pytest.mark.engine("bubblewrap")
PROGRAM = shutil.which("reprolake", path=str(ROOT / ".venv/bin")) or "reprolake"
ENVIRONMENT = {**os.environ, "REPROLAKE_STORE": str(CACHE / "store"), "TERM": "xterm"}
SAMPLE = SAMPLES / "no-parameters"


@pytest.fixture
def run(reprolake, built_image, tmp_path):
    """Runs a command in the image of a sample, and returns the process and the folder of the staged result."""

    def run(*words, options=(), link=built_image.id):
        stage = tmp_path / "staging"
        done = reprolake("exec", link, "--stage", stage, *options, "--", *words)
        results = sorted(stage.iterdir(), key=lambda path: path.stat().st_mtime) if stage.is_dir() else []
        return done, results[-1] if results else None

    return run


def record(result: Path):
    """The run record of a result."""
    return json.loads((result / "run.json").read_text())


def test_a_command_has_basket_outputs_and_a_record(run, tmp_path):
    """It reads the basket's files, writes outputs and into the repository, and all of that is staged with what it printed."""
    (tmp_path / "events.txt").write_text("1 2 3\n")
    (tmp_path / "basket.json").write_text(json.dumps([(tmp_path / "events.txt").as_uri()]))
    source = (
        "import json, os\n"
        "item = json.load(open(os.environ['REPROLAKE_BASKET']))['items'][0]\n"
        "print(os.getcwd(), os.environ['HOME'], open(item['path']).read().strip())\n"
        "open(os.environ['REPROLAKE_OUTPUT'] + '/out.txt', 'w').write('o')\n"
        "open('created.txt', 'w').write('c')\n"
        "import sys; sys.stderr.buffer.write(b'odd \\xff\\x1b[31m\\n'); print(repr(sys.stdin.read()))"
    )
    done, result = run("python", "-c", source, options=("--basket", tmp_path / "basket.json"))
    assert (done.returncode, "succeeded" in done.stdout) == (0, True), done.stderr
    assert (result / "stdout.txt").read_text() == "/repo /home/jovyan 1 2 3\n''\n"
    assert (result / "stderr.txt").read_bytes() == b"odd \xff\x1b[31m\n"
    assert (result / "outputs/out.txt").read_text() == "o"
    assert (result / "outputs/repository/created.txt").read_text() == "c"
    assert "1 2 3" in done.stderr
    assert "\x1b" not in done.stderr
    found = record(result)
    assert (found["spec"]["kind"], found["spec"]["argv"]) == ("command", ["python", "-c", source])
    assert (found["exit_status"], found["cells"], found["kernel"]) == (0, [], "")
    assert found["spec"]["inputs"][0]["name"] == "events.txt"
    assert found["resources"]["peak_bytes"] > 0


def test_a_script_of_the_user_runs(run, tmp_path):
    """--add brings it along; the record has its hash, and the result the file, marked as what it is."""
    (tmp_path / "mine.sh").write_text("echo mine\n")
    done, result = run("sh", "mine.sh", options=("--add", tmp_path / "mine.sh"))
    assert (done.returncode, (result / "stdout.txt").read_text()) == (0, "mine\n"), done.stderr
    (added,) = record(result)["spec"]["added"]
    assert (added["path"], added["size"]) == ("mine.sh", 10)
    assert "brought along by the user" in (result / "index.html").read_text()
    done, _ = run("true", options=("--add", SAMPLE / "runtime.txt"))
    assert (done.returncode, "the repository has runtime.txt already" in done.stderr) == (22, True)


def test_the_crate_says_what_ran(run):
    """It is a Process Run Crate with one CreateAction of the program, whose results are what it printed and wrote."""
    _, result = run("sh", "-c", "echo x; echo y > $REPROLAKE_OUTPUT/y")
    graph = {one["@id"]: one for one in json.loads((result / "ro-crate-metadata.json").read_text())["@graph"]}
    action = next(one for one in graph.values() if one["@type"] == "CreateAction")
    assert graph[action["instrument"]["@id"]]["name"] == "sh"
    assert {one["@id"] for one in action["result"]} == {"stdout.txt", "stderr.txt", "outputs/y"}
    assert action["description"].startswith("sh -c 'echo x; echo y > $REPROLAKE_OUTPUT/y': ")
    assert "mainEntity" not in graph["./"]
    assert [one["@id"] for one in graph["./"]["conformsTo"]] == ["https://w3id.org/ro/wfrun/process/0.5"]
    page = (result / "index.html").read_text()
    assert "<dt>Exit status</dt><dd>0</dd>" in page


@pytest.mark.parametrize(
    ("words", "status", "code", "own", "message"),
    [
        (("sh", "-c", "echo no room >&2; exit 3"), "failed", 1, 3, "status 3; its last words: no room"),
        (("sh", "-c", "kill -SEGV $$"), "failed", 1, 139, "which stands for SIGSEGV"),
        (("nosuch",), "failed", 1, 127, "the image cannot run nosuch: No such file"),
    ],
)
def test_each_end_has_its_code(run, words, status, code, own, message):
    """The exit code tells how the run ended; the command's own status is in the record."""
    done, result = run(*words)
    found = record(result)
    assert (done.returncode, found["status"], found["exit_status"]) == (code, status, own), done.stderr
    assert message in found["message"]


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("echo on; exec sleep 600", 143),
        ("trap '' TERM; echo on; sleep 600", 137),
        ("trap 'exit 0' TERM; echo on; sleep 600 & wait", 0),
    ],
)
def test_a_command_that_takes_too_long_is_asked_to_end(run, words, own):
    """It gets SIGTERM and a moment, then SIGKILL, and its own status is in the record whatever it makes of that."""
    for seconds in ("1", "10", "60"):
        done, result = run("sh", "-c", words, options=("--timeout", seconds))
        if (result / "stdout.txt").read_text():
            break  # else this host was too slow for the limit: the sandbox was not even set up
    found = record(result)
    assert (done.returncode, found["status"], found["exit_status"]) == (24, "timed-out", own), done.stderr
    assert f"took longer than {seconds} s" in found["message"]


def test_limits_hold(run):
    """Memory and disk end a command as they end a notebook."""
    hog = "kept = []\nfor _ in range(200): kept.append(bytearray(b'x' * (10 << 20)))"
    done, _ = run("python", "-c", hog, options=("--memory", "200M"))
    assert done.returncode == 26, done.stderr
    filler = "n=0; while :; do head -c 1000000 /dev/zero > big$n; n=$((n+1)); done"
    done, _ = run("sh", "-c", filler, options=("--disk", "20M", "--timeout", "30"))
    assert done.returncode == 26, done.stderr


def test_a_link_and_a_lock_name_images_too(run, small_lock):
    """A folder and a lock are built where need be; --cwd is a folder of the repository."""
    for link in (SAMPLE, small_lock):
        done, result = run("pwd", link=link)
        assert (done.returncode, (result / "stdout.txt").read_text()) == (0, "/repo\n"), done.stderr
    done, _ = run("pwd", options=("--cwd", "../etc"))
    assert (done.returncode, "no folder of the repository" in done.stderr) == (21, True)


def test_what_cannot_be_is_refused(reprolake, built_image):
    """An image that is not there, options that an image cannot obey, arguments that no record can hold."""
    done = reprolake("exec", "sha256:" + "0" * 64, "--", "true")
    assert (done.returncode, "is not here" in done.stderr) == (2, True)
    done = reprolake("exec", built_image.id, "--python", "3.9", "--", "true")
    assert (done.returncode, "--python cannot change it" in done.stderr) == (2, True)
    done = reprolake("exec", built_image.id, "--", "echo", os.fsdecode(b"a\xff"))
    assert (done.returncode, "no UTF-8 text" in done.stderr) == (2, True)
    done = reprolake("shell", built_image.id)
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)


def test_signals_are_passed_on(built_image, tmp_path):
    """SIGTERM reaches the command, which may end in its own way; what it left is staged, and the code is 143."""
    words = ["sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; sleep 600 & wait"]
    stage = tmp_path / "staging"
    child = subprocess.Popen(
        [PROGRAM, "exec", built_image.id, "--stage", stage, "--", *words],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stderr:
        if line == "up\n":
            break
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 143
    (result,) = stage.iterdir()
    assert (result / "stdout.txt").read_text() == "up\nbye\n"
    assert (record(result)["status"], record(result)["exit_status"]) == ("stopped", 5)
    child.stdout.close()
    child.stderr.close()


def test_logs_show_what_a_command_printed(run, reprolake):
    """The event log has the lines, each at its time."""
    _, result = run("printf", "one\\ntwo")
    done = reprolake("logs", result)
    assert re.search(r": printf 'one\\ntwo'\n\S+  one\n\S+  two\n", done.stdout), done.stdout


class Terminal:
    """A person at a terminal with `reprolake shell`."""

    def __init__(self, *words):
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.execve(PROGRAM, [PROGRAM, "shell", *map(str, words)], ENVIRONMENT)
        self.seen = ""

    def type(self, text):
        """Type."""
        os.write(self.end, text.encode())

    def until(self, pattern, seconds=60.0):
        """Wait for what the screen shows."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen) and time.monotonic() < deadline:
            if select.select([self.end], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.end, 4096).decode(errors="replace")
                except OSError:
                    break
        assert re.search(pattern, self.seen), self.seen

    def status(self):
        """The exit code."""
        while select.select([self.end], [], [], 0.2)[0]:
            try:
                self.seen += os.read(self.end, 4096).decode(errors="replace")
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_shell_has_a_terminal_of_its_own(built_image, tmp_path):
    """The shell is interactive and in charge of its jobs, Ctrl-C reaches what runs in it, and nothing is staged."""
    person = Terminal(built_image.id)
    person.until(r"[$#] ")
    person.type("echo $((6*7)) $PWD; tty; sh -c 'echo be''gun; exec sleep 60'\r")
    person.until("42 /repo")
    person.until("begun")  # by the process that Ctrl-C is to reach
    person.type("\x03")
    person.type("stty size; sleep 50 & jobs\r")
    person.until("Running")
    assert "no job control" not in person.seen
    person.type("false\rexit\r")
    assert person.status() == 0, person.seen


def test_what_is_typed_before_the_prompt_is_not_lost(built_image):
    """A line that is there before the shell is, typed ahead or by a program, is the shell's first."""
    person = Terminal(built_image.id)
    person.type("echo $((6*7))\nexit\n")
    person.until("42\r")
    assert person.status() == 0, person.seen


def test_a_shell_is_staged_when_asked(built_image, tmp_path):
    """With --stage the record, the changes and what the terminal showed are kept."""
    person = Terminal(built_image.id, "--stage", tmp_path / "staging", "--", "sh", "-c", "echo hi; touch new")
    person.until("result ")
    assert person.status() == 0, person.seen
    (result,) = (tmp_path / "staging").iterdir()
    assert (result / "terminal.txt").read_bytes() == b"hi\r\n"
    assert (result / "outputs/repository/new").is_file()
    assert record(result)["spec"]["terminal"]
