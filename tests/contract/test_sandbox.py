"""What every way to isolate has to do, over roots of the host and of an image."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from sandbox_programs import HOST, SANDBOXES, layer_of, output, spec, start
from waiting import until

import reprolake_builder
from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, ImageRoot, Limits, SandboxSpec
from reprolake_runner.inside import root_of


def test_this_host_has_no_problem(sandbox):
    """Where the sandbox works it says so."""
    assert sandbox.problem() == ""


@pytest.mark.parametrize(
    ("script", "status"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_the_status_is_the_programs(sandbox, root, script, status):
    """The exit status comes out; a signal is 128 and its number."""
    assert output(sandbox, spec(root, script))[0] == status


def test_no_signal_is_ignored_because_its_caller_ignores_it(sandbox, root):
    """A caller in the background has Ctrl-C ignored: inside it still ends a program, and interrupts a kernel."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        _, told, _ = output(sandbox, spec(root, "grep SigIgn /proc/self/status"))
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    ignored = int(told.split()[1], 16)
    assert [n for n in (signal.SIGINT, signal.SIGQUIT) if ignored >> (n - 1) & 1] == []


def test_environment_user_and_folder_are_as_given(sandbox, root, differs):
    """The program has exactly the variables, the user and the working folder of its specification; or a user of its own."""
    _, told, _ = output(sandbox, spec(root, "id -u; id -g; pwd; env", env={"A": "b\nc=d"}, cwd="/usr"))
    user, group, folder = told.splitlines()[:3]
    assert folder == "/usr"
    assert (
        (user, group) == ("1000", "100") if "user" not in differs else user == group and int(user) > 1 << 16
    )
    assert set(told.splitlines()[3:]) == {"A=b", "c=d", "PATH=/usr/bin:/bin", "PWD=/usr"}


def test_the_root_is_read_only(sandbox, root):
    """Nothing of the root can be written, and memory folders can."""
    script = "for f in /x /usr/x /dev/x; do touch $f 2>/dev/null && echo $f; done; for d in /tmp /run /var/tmp /dev/shm $HOME; do touch $d/x || echo $d; done"
    given = spec(root, script, home="/home/someone", env={"HOME": "/home/someone"})
    assert output(sandbox, given) == (0, "", "")


def test_binds_appear_and_obey(sandbox, root, tmp_path, differs):
    """Files and folders appear where asked, whoever may read them outside; only writable ones can be written."""
    (tmp_path / "above").mkdir(mode=0o700)
    closed = tmp_path / "above/closed"
    is_open = "closed files" in differs
    closed.mkdir(mode=0o755 if is_open else 0o700)
    (closed / "file").write_text("content")
    (closed / "file").chmod(0o644 if is_open else 0o600)
    out = tmp_path / "out"
    out.mkdir(mode=0o700)
    binds = (Bind(closed, "/in"), Bind(closed / "file", "/one"), Bind(out, "/deep/er/out", writable=True))
    script = "cat /in/file /one; touch /in/x /one 2>/dev/null && echo bad; echo made > /deep/er/out/made"
    assert output(sandbox, spec(root, script, binds=binds)) == (0, "contentcontent", "")
    assert (out / "made").read_text() == "made\n"


def test_copy_on_write_keeps_the_original(sandbox, root, tmp_path):
    """Changes are seen inside, land in the scratch folder, and never reach the original."""
    lower, scratch = tmp_path / "lower", tmp_path / "scratch"
    (lower / "sub").mkdir(parents=True)
    (lower / "sub/old").write_text("old")
    (lower / "gone").write_text("gone")
    scratch.mkdir()
    view = CopyOnWrite(lower, scratch, "/work")
    script = (
        "cd /work && echo new >> sub/old && rm gone && mkdir made && echo x > made/file && cat sub/old && ls"
    )
    status, told, errors = output(sandbox, spec(root, script, copy_on_write=view))
    assert (status, told, errors) == (0, "oldnew\nmade\nsub\n", "")
    assert (lower / "sub/old").read_text() == "old"
    assert (lower / "gone").exists()
    assert (view.written / "sub/old").read_text() == "oldnew\n"
    assert (view.written / "made/file").read_text() == "x\n"
    shutil.rmtree(scratch)


@pytest.mark.parametrize("owner", [0, 4242], ids=["overlay", "copy"])
def test_what_lies_in_the_scratch_folder_is_there_from_the_start(sandbox, root, tmp_path, owner):
    """Files that the caller put beside the original's are seen, and written, as the program's own."""
    if os.geteuid() != 0 and owner:
        pytest.skip("only root can make files of another user")
    lower, scratch = tmp_path / "lower", tmp_path / "scratch"
    (lower / "sub").mkdir(parents=True)
    (lower / "sub/old").write_text("old\n")
    (scratch / "upper/sub").mkdir(parents=True)
    (scratch / "upper/sub/mine").write_text("mine\n")
    if owner:
        for path in (lower, lower / "sub", lower / "sub/old"):
            os.chown(path, owner, owner)
    view = CopyOnWrite(lower, scratch, "/work")
    script = "cd /work/sub && echo more >> mine && cat old mine"
    status, told, errors = output(sandbox, spec(root, script, copy_on_write=view))
    assert (status, told, errors) == (0, "old\nmine\nmore\n", "")
    assert sorted(os.listdir(lower / "sub")) == ["old"]
    assert (view.written / "sub/mine").read_text() == "mine\nmore\n"


def test_files_of_another_user_are_copied(sandbox, root, tmp_path):
    """Where an overlay cannot give the files to the program, they are copied, and it works all the same."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    lower, scratch = tmp_path / "lower", tmp_path / "scratch"
    lower.mkdir()
    (lower / "file").write_text("x")
    os.chown(lower / "file", 4242, 4242)
    os.chown(lower, 4242, 4242)
    scratch.mkdir()
    view = CopyOnWrite(lower, scratch, "/work")
    assert (
        output(sandbox, spec(root, "echo y >> /work/file; cat /work/file", copy_on_write=view))[1] == "xy\n"
    )
    assert (lower / "file").read_text() == "x"
    assert (view.written / "file").read_text() == "xy\n"


def test_memory_folders_are_limited(sandbox, root):
    """A folder in memory takes no more than its limit."""
    given = spec(root, "head -c 3000000 /dev/zero > /tmp/x || echo full", limits=Limits(tmp_bytes=1 << 20))
    assert output(sandbox, given)[1] == "full\n"


def test_kill_leaves_nothing(sandbox, root):
    """After kill() no process of the sandbox exists, detached ones included."""
    number = f"77{os.getpid()}"
    running = start(sandbox, spec(root, f"setsid sleep {number} & trap '' TERM INT; sleep {number}"))
    until(lambda: len(processes(number)) >= 2)
    running.kill()
    assert processes(number) == []
    assert running.poll() == 137


def processes(marker):
    """Processes whose command line ends with the marker."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:
                continue
            if words[-1] == marker.encode():
                found.append(folder.name)
    return found


def runs(marker):
    """Whether a program was started with the marker; before, bubblewrap itself is called with it."""
    folders = (Path("/proc", number) for number in processes(marker))
    return any((folder / "cmdline").read_bytes().startswith(b"/bin/sleep\0") for folder in folders)


def test_wait_has_a_timeout(sandbox, root):
    """Waiting ends when its time is up, and the program goes on."""
    running = start(sandbox, spec(root, "sleep 60"))
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(0.2)
    assert running.poll() is None
    running.kill()


def test_a_program_that_is_not_there_is_no_success(sandbox, root):
    """A command that the root does not have ends in an error that is not the program's."""
    running = start(sandbox, SandboxSpec(root=root, argv=("/nonexistent",), env={}))
    with pytest.raises(SandboxError):
        running.wait(60)


def test_a_terminal_is_passed_on(sandbox, root):
    """A program that is given a terminal has one, of its size (of docker's soon), which it can take charge of."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    given = spec(
        root,
        """exec setsid -c sh -c 'while [ "$(stty size)" = "0 0" ]; do sleep 0.05; done; stty size; echo over >/dev/tty'""",
    )
    running = sandbox.start(given, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    told = shown(ours)
    assert running.wait(60) == 0
    assert told.split()[:2] == [b"33", b"77"]
    assert told.split()[-1] == b"over"


def shown(terminal):
    """All that a terminal shows until nobody has it any more."""
    told = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(terminal, 1 << 10):
            told += piece
    os.close(terminal)
    return told


@pytest.mark.parametrize(
    "more",
    [{"env": {"A": "x\0--bind\0/\0/host"}}, {"cwd": "/\0"}, {"env": {"A=B": "x"}}],
    ids=["variable", "folder", "name"],
)
def test_nul_cannot_smuggle_arguments(sandbox, more):
    """Text that would become further arguments is refused before anything starts."""
    with pytest.raises(SandboxError):
        start(sandbox, spec(HOST, "true", **more))


def test_a_missing_source_is_an_error(sandbox, tmp_path):
    """A bind or a tree that does not exist fails the start, and says which."""
    with pytest.raises(SandboxError, match="absent"):
        start(sandbox, spec(HOST, "true", binds=(Bind(tmp_path / "absent", "/in"),)))


def test_links_of_an_image_do_not_move_mounts(sandbox, built_image, session, tmp_path):
    """An image in which a mount point is a link to elsewhere gets a real folder there instead."""
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("data", "out", "home"):
        (evil / name).symlink_to("/etc")
    image = root_of(built_image, session.tools.store)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "file").write_text("mine")
    given = spec(
        ImageRoot((*image.trees, evil), (*image.layers, layer_of(evil))),
        "cat /data/file; ls /etc/passwd; ls /home",
        binds=(Bind(inputs, "/data"),),
        home="/home/me",
    )
    assert output(sandbox, given)[1] == "mine/etc/passwd\nme\n"


def test_hundreds_of_trees(sandbox, built_image, session, tmp_path):
    """An image of hundreds of trees is mounted as one."""
    image = root_of(built_image, session.tools.store)
    trees = []
    for number in range(400):
        (tmp_path / str(number) / "many").mkdir(parents=True)
        (tmp_path / str(number) / "many" / str(number)).touch()
        trees.append(tmp_path / str(number))
    root = ImageRoot((*image.trees, *trees), (*image.layers, layer_of(*trees)))
    assert output(sandbox, spec(root, "ls /many | wc -l"))[1] == "400\n"


ORDINARY = """
import importlib, json, subprocess, sys, time
from pathlib import Path
from reprolake_builder.sandboxes.interface import *
folder = Path(sys.argv[1])
sandbox = getattr(importlib.import_module(f"reprolake_builder.sandboxes.{sys.argv[2]}"), sys.argv[2].title())()
assert sandbox.problem() == "", sandbox.problem()
view = CopyOnWrite(folder / "lower", folder / "scratch", "/work")
root = HostRoot(tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir()))
script = "echo new > /work/new; id -u; cat /work/old; grep CapEff /proc/self/status; cat /etc/hostname"
spec = SandboxSpec(root=root, argv=("/bin/sh", "-c", script), env={"PATH": "/usr/bin:/bin"}, copy_on_write=view)
with (folder / "told").open("wb") as told:
    status = sandbox.start(spec, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.DEVNULL).wait(60)
null = subprocess.DEVNULL
busy = "dd if=/dev/zero of=/tmp/x bs=1M count=30 2>/dev/null; while [ ! -e /tmp/y ]; do :; done"
running = sandbox.start(SandboxSpec(root=root, argv=("/bin/sh", "-c", busy), env={}), stdin=null, stdout=null, stderr=null)
seen = running.usage()
for _ in range(1200):
    if seen.cpu_seconds > 0.2 and seen.memory_bytes > 30 << 20:
        break
    time.sleep(0.05)
    seen = running.usage()
ended = running.signal(15) and running.wait(60)
print(json.dumps([status, (folder / "told").read_text(), (view.written / "new").read_text(), seen.cpu_seconds, seen.memory_bytes, ended]))
"""


_ORDINARY = 1  # daemon: apptainer asks who calls it, so it has to be a user that the host knows
LAUNCHED = [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("bubblewrap", "apptainer")]


@pytest.mark.parametrize("name", LAUNCHED)
def test_an_ordinary_user_gets_the_same(name):
    """Without root, too, programs run isolated, as the caller outside and as 1000 inside, and are measured."""
    if os.geteuid() != 0:
        pytest.skip("the other tests show it already")
    python = Path("/usr/bin/python3")
    if (
        not python.exists()
        or subprocess.run(
            [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False
        ).returncode
    ):
        pytest.skip("the system's Python is too old")
    folder = Path("/var/tmp") / f"reprolake-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        shutil.copytree(Path(reprolake_builder.__file__).parent, folder / "packages/reprolake_builder")
        mine = folder / "mine"
        (mine / "lower").mkdir(parents=True)
        (mine / "lower/old").write_text("old\n")
        (mine / "scratch").mkdir()
        for path in [mine, *mine.rglob("*")]:
            os.chown(path, _ORDINARY, _ORDINARY)
        done = subprocess.run(
            [python, "-B", "-c", ORDINARY, str(mine), name],
            env={"PYTHONPATH": str(folder / "packages")},
            user=_ORDINARY,
            group=_ORDINARY,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        status, told, new, cpu, memory, ended = json.loads(done.stdout)
        assert 0.2 < cpu < 30
        assert 30 << 20 < memory < 100 << 20
        assert ended == 143
        assert (status, new) == (1, "new\n")  # no /etc inside
        assert told.split() == ["1000", "old", "CapEff:", "0" * 16]
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_terminal_has_a_name(name):
    """A program that is given a terminal finds it by a name, in a folder that shows no other."""
    master, slave = os.openpty()
    given = spec(HOST, "tty; ls /dev/pts")
    running = SANDBOXES[name]().start(given, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    told = shown(master)
    assert running.wait(60) == 0
    assert told.split() == [b"/dev/console", b"ptmx"]


HOLD = """
import sys, time
sys.path[:0] = {path!r}
import subprocess
from pathlib import Path
from reprolake_builder.sandboxes.choice import choose
from reprolake_builder.sandboxes.interface import *
root = HostRoot(tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir()))
null = subprocess.DEVNULL
running = choose({name!r}, {{}}).sandbox.start(SandboxSpec(root=root, argv=("/bin/sleep", {number!r}), env={{}}), stdin=null, stdout=null, stderr=null)
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.engine(one)) for one in SANDBOXES])
def test_it_dies_with_its_parent(name):
    """SIGKILL to the process that started the sandbox ends everything in it."""
    number = f"88{os.getpid()}"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(path=sys.path, number=number, name=name)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    until(lambda: runs(number))
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    until(lambda: processes(number) == [])
