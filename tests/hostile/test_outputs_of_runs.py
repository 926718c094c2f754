"""Output folders that a run leaves as a trap: what is staged is harmless, and a naive copy would have fallen into each trap (H05 to H12)."""

from __future__ import annotations

import os
import shutil
import signal
import stat

import pytest
from notebook_runs import Runs

from reprolake_builder.sandboxes import cgroups, scope
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.bounds import Bounds

pytestmark = [pytest.mark.engine("bubblewrap"), pytest.mark.usefixtures("untouched_host")]

SECRET = "token-of-the-host"
TRAPS = """
import os, socket
os.chdir('/out')
os.symlink({secret!r}, 'file'); os.symlink({folder!r}, 'folder'); os.symlink('/', 'root'); os.symlink({secret!r}, '/repo/beside')
os.mkfifo('pipe')
one = socket.socket(socket.AF_UNIX); one.bind('socket')
open('tool', 'w').write('x'); os.chmod('tool', 0o6755)
for name in (b'-rf', b'new\\nline', b'bytes\\xff', 'a\\u202etxt.exe'.encode(), b'b' * 255, b'..x', b'CASE', b'case'):
    open(b'/out/' + name, 'w').write('odd')
with open('sparse', 'wb') as f: f.truncate(64 << 20)
open('good', 'w').write('good')
os.link('good', 'good-2')
"""
MINE = """
import os
try:
    os.link('/repo/analysis.ipynb', '/out/notebook')
except OSError as error:
    print(type(error).__name__)
os.rename('/repo/analysis.ipynb', '/repo/other.ipynb')
open('/repo/analysis.ipynb', 'w').write('{}')
"""


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


def test_traps_are_staged_harmlessly(run, untouched_host, tmp_path):
    """H05, H07, H08, H09, H10: of links, pipes, sockets, set-uid files, odd names and giants only plain files come out."""
    secret = untouched_host / "secret"
    done = run(TRAPS.format(secret=str(secret), folder=str(untouched_host)))
    assert done.record.status == "succeeded", done.record.message
    result = done.staged(tmp_path / "staging")
    files = [path for path in result.folder.rglob("*") if path.is_file()]
    assert (result.folder / "outputs/good").read_text() == "good"
    assert not [
        path for path in files if path.stat().st_size < 1 << 20 and SECRET.encode() in path.read_bytes()
    ]
    for path in result.folder.rglob("*"):
        assert not path.is_symlink()
        assert path.is_file() or path.is_dir()
        assert path.name.isprintable()
        assert path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) == 0
    shutil.rmtree(result.folder)


def test_a_naive_copy_falls_into_each_trap(run, untouched_host, tmp_path):
    """H05, H07, H08, H09, H10: the control: links lead to the host's file, the pipe holds up its reader, bits and names are kept."""
    done = run(TRAPS.format(secret=str(untouched_host / "secret"), folder=str(untouched_host)))
    out = done.execution.output
    assert (out / "file").read_text() == SECRET
    assert (out / "folder" / "secret").read_text() == SECRET
    assert (out / "root" / "etc").is_dir()
    assert stat.S_IMODE((out / "tool").stat().st_mode) == 0o6755
    assert stat.S_ISSOCK((out / "socket").lstat().st_mode)
    assert {b"-rf", b"new\nline", b"bytes\xff"} <= set(os.listdir(os.fsencode(out)))
    assert (out / "sparse").stat().st_size == 64 << 20
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(TimeoutError):
        (out / "pipe").read_bytes()


def _too_long(*_):
    raise TimeoutError


def test_a_notebook_cannot_replace_itself(run, tmp_path):
    """H02, H11: a notebook that renames, links and overwrites its own file changes neither the store, nor its source, nor what ran."""
    done = run(MINE, "print('second')")
    assert done.record.status == "succeeded", done.record.message
    result = done.staged(tmp_path / "staging")
    source = (result.folder / "source/analysis.ipynb").read_bytes()
    assert source == (done.execution.repository / "analysis.ipynb").read_bytes()
    assert b"os.rename" in source
    assert done.text(0).startswith("OSError\n")  # there is no linking from the one to the other
    assert done.text(1) == "second\n"
    # the control: in its own view of the repository the notebook did replace itself
    assert (done.execution.upper / "analysis.ipynb").read_text() == "{}"
    assert b"os.rename" in (done.execution.upper / "other.ipynb").read_bytes()


FILL = """
import errno, os
found = {}
for folder in ('/tmp', '/dev/shm', '/run', '/var/tmp', os.environ['HOME']):
    written = 0
    try:
        with open(folder + '/fill', 'wb') as f:
            while written < LIMIT:
                f.write(b'x' * (1 << 20)); f.flush(); written += 1 << 20
        found[folder] = 'unbounded'
    except OSError as error:
        found[folder] = errno.errorcode[error.errno]
    os.unlink(folder + '/fill')
print(sorted(set(found.values())))
"""


def test_folders_in_memory_have_a_size(run):
    """H12: /tmp, /dev/shm, /run, /var/tmp and the home folder are full at their limit, and the run goes on; below it they are not."""
    limits = Limits(tmp_bytes=16 << 20)
    done = run(FILL.replace("LIMIT", "64 << 20"), "print('on')", limits=limits)
    assert done.text(0) == "['ENOSPC']\n", done.record.message
    assert done.record.status == "succeeded"
    assert run(FILL.replace("LIMIT", "8 << 20"), limits=limits).text(0) == "['unbounded']\n"


NODES = """
import os
for made in range({most}):
    os.mkdir(f'/dev/shm/{made}')
    if made % 1000 == 0: import time; time.sleep(0.001)
import time; time.sleep({rest})
"""


@pytest.mark.parametrize("way", ["groups", "watchdog"])
def test_names_without_content_count_as_memory(run, monkeypatch, way):
    """H12: a flood of empty files in memory is ended by the limit on memory, whoever holds it; a few thousand are fine."""
    if way == "watchdog":
        monkeypatch.setattr(cgroups, "places", dict)
        monkeypatch.setattr(scope, "is_there", bool)
    limits = Limits(memory_bytes=200 << 20)
    endless = NODES.replace("{most}", "10**6").replace("{rest}", "600")
    done = run(endless, limits=limits, timeout=200)
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26), done.record.message
    few = NODES.replace("{most}", "3000").replace("{rest}", "1")
    assert run(few, limits=limits).record.status == "succeeded"


def test_a_flood_of_files_on_the_disk_is_ended(run):
    """H12: empty files take room on the disk, too: a flood of them ends by the limit on what may be written."""
    source = "import os\nfor n in range({}): os.mkdir(f'/out/{{n}}')\nimport time; time.sleep({})"
    done = run(source.format(5000, 600), bounds=Bounds(disk_bytes=3 << 20), timeout=200)
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26), done.record.message
    assert run(source.format(300, 1), bounds=Bounds(disk_bytes=3 << 20)).record.status == "succeeded"
    shutil.rmtree(done.execution.output)
