"""postBuild, start, and the set-up scripts of Debian packages: run in the sandbox, pinned by what they leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from detected import found
from source_builds import folder, locked, run_python

from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder.documents.base import pretty
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import ScriptLock
from reprolake_builder.errors import BuildError, DetectError

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"
pytestmark = pytest.mark.engine("bubblewrap")


def repository(path: Path, **files: str) -> str:
    """Write a repository with the sample's notebook and these files; scripts may be executed."""
    shutil.copytree(SAMPLE, path)
    folder(path, **files)
    for name in ("postBuild", "start", "binder/postBuild", "binder/start"):
        if (path / name).exists():
            (path / name).chmod(0o755)
    return str(path)


def obtained(link: str, here, **rest):
    """Lock and return what was obtained."""
    return obtain_lock(Request(link=link, as_of="2024-06-01", python="3.11", **rest), here, fresh=True)


def with_archives(path: Path, here) -> Path:
    """Return a store with what was downloaded, and nothing that was made of it."""
    path.mkdir(mode=0o700)
    (path / "archives").symlink_to(here.tools.store.root / "archives")
    return path


# ---------------------------------------------------------------------- postBuild
SCRIPT = """#!/bin/bash
set -e
id -u > uid.txt; pwd > pwd.txt; head -c 3 /dev/null > empty.txt
mkdir made && echo data > made/data.txt && chmod +x made/data.txt && ln -s data.txt made/link
echo 'ONE = 1' > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/one.py"
! touch /usr/x 2>/dev/null
"""


def test_what_it_makes_is_in_the_image(tmp_path, here):
    """It runs as the image's user in the repository's folder; files, modes, links and modules that it makes are there."""
    given = obtained(repository(tmp_path / "r", postBuild=SCRIPT), here)
    code = (
        "import one, os; os.chdir('/repo'); print(one.ONE, open('uid.txt').read().strip(), open('pwd.txt').read().strip(), "
        "open('made/link').read().strip(), os.access('made/data.txt', os.X_OK), os.path.exists('sum.ipynb'), os.path.exists('/usr/x'))"
    )
    assert run_python(given, here, code).strip() == "1 1000 /repo data True True False"


def test_it_is_pinned_and_comes_to_the_same_elsewhere(reprolake, tmp_path, here):
    """The lock has what it left; in another store it is run again, to the same image."""
    link = repository(tmp_path / "r", postBuild=SCRIPT)
    given = obtained(link, here)
    pinned = given.lock.post_build
    assert pinned is not None
    assert {
        "repo/made/data.txt",
        "repo/uid.txt",
        "opt/env/lib/python3.11/site-packages/one.py",
    } <= pinned.files.keys()
    assert (pinned.script, pinned.policy, pinned.reached) == ("postBuild", "none", ())
    (tmp_path / "a.lock").write_bytes(pretty(given.lock))
    store = with_archives(tmp_path / "store", here)
    done = reprolake("build", tmp_path / "a.lock", "--source-dir", link, REPROLAKE_STORE=str(store))
    assert (done.returncode, done.stdout.strip()) == (0, obtain_image(given, here).id), done.stderr


def test_nothing_that_it_sees_tells_when_and_where_it_runs(tmp_path, here):
    """Dates and modes of what was there before, and the order of Python's sets, are the same for any clock, umask and chance."""
    script = f"""#!/bin/bash
# {uuid.uuid4()}: the store knows no run of it
set -e
find docs docs/new/a.md docs/link "$HOME" sum.ipynb -maxdepth 0 -printf '%m %T@\\n' | sort | uniq -c > seen.txt
python -c "print(set('abcdefghij'))" > set.txt
"""
    link = repository(tmp_path / "r", postBuild=script, docs___new___a__md="a\n")
    (Path(link) / "docs/link").symlink_to("new")
    before = os.umask(0o077)
    try:
        given = obtained(link, here)
    finally:
        os.umask(before)
    seen, ordered = run_python(
        given, here, "print(open('/repo/seen.txt').read(), end='\\0'); print(open('/repo/set.txt').read())"
    ).split("\0")
    assert [line.split() for line in seen.splitlines()] == [
        ["2", "644", "315532800.0000000000"],
        ["2", "755", "315532800.0000000000"],
        ["1", "777", "315532800.0000000000"],
    ]
    expected = subprocess.check_output(
        ["python3", "-c", "print(set('abcdefghij'))"], env={**os.environ, "PYTHONHASHSEED": "0"}, text=True
    )
    assert ordered.strip() == expected.strip()


def test_a_run_sees_what_it_made(reprolake, tmp_path):
    """A notebook that reads a file which postBuild made runs."""
    link = repository(tmp_path / "r", postBuild="#!/bin/sh\necho 41 > number.txt\n")
    done = reprolake(
        "exec",
        link,
        "--stage",
        tmp_path,
        "--",
        "sh",
        "-c",
        "cat number.txt > $REPROLAKE_OUTPUT/n; ls > $REPROLAKE_OUTPUT/ls",
    )
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.glob("*/outputs/n")
    assert found.read_text() == "41\n"
    assert "sum.ipynb" in (found.parent / "ls").read_text()


def test_another_outcome_is_refused(tmp_path, here):
    """A script whose outcome hangs on chance does not come to what the lock says, and the first file is named."""
    link = repository(
        tmp_path / "r", postBuild="#!/bin/sh\necho $$ $(cat /proc/sys/kernel/random/uuid) > chance.txt\n"
    )
    given = obtained(link, here)
    pinned = given.lock.post_build
    other = msgspec.structs.replace(
        pinned, sha256="0" * 64, files={**pinned.files, "repo/chance.txt": "0" * 16}
    )
    changed = msgspec.structs.replace(given.lock, post_build=other)
    (tmp_path / "a.lock").write_bytes(pretty(changed))
    with pytest.raises(
        BuildError, match=r"postBuild left something else than the lock has: first repo/chance\.txt"
    ):
        obtain_image(obtain_lock(Request(link=str(tmp_path / "a.lock")), here), here)


def test_a_failure_shows_its_last_words(tmp_path, here):
    """A script that fails ends the lock with its own words and the next step."""
    link = repository(tmp_path / "r", postBuild="#!/bin/sh\necho no such thing >&2\nexit 7\n")
    with pytest.raises(BuildError, match="exit status 7:\nno such thing") as found:
        obtained(link, here)
    assert "--build-network" in found.value.hint


def test_a_program_that_is_not_there_is_no_fault_of_the_sandbox(tmp_path, here):
    """A first line that names no program of the image fails the build with that, not as a sandbox that is missing."""
    link = repository(tmp_path / "r", postBuild="#!/usr/bin/zsh\necho\n")
    with pytest.raises(BuildError, match="no program as its first line names it") as found:
        obtained(link, here)
    assert "apt.txt" in found.value.hint


def test_it_has_no_network_unless_it_is_given_one(tmp_path, here):
    """Without --build-network nothing is reached; the script's failure says what to do."""
    link = repository(
        tmp_path / "r",
        postBuild="#!/bin/sh\npython -c 'import urllib.request as u; u.urlopen(\"http://example.org\")'\n",
    )
    with pytest.raises(BuildError, match="exit status"):
        obtained(link, here)


def test_what_it_fetches_is_in_the_lock(reprolake, tmp_path):
    """With a network, address and SHA-256 of what came are pinned, the image says that it is not closed, other hosts stay out."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"data\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    fetch = f"python -c \"import urllib.request as u; open('x', 'wb').write(u.urlopen('http://{host}/x').read())\""
    link = repository(
        tmp_path / "r",
        postBuild=f"#!/bin/sh\nset -e\nunset no_proxy NO_PROXY\n{fetch}\n! {fetch.replace(host, 'example.org')} 2>/dev/null\n",
    )
    try:
        done = reprolake(
            "lock",
            link,
            "--python",
            "3.11",
            "--build-network",
            f"allow={host}",
            "-o",
            tmp_path / "a.lock",
            REPROLAKE_NETWORK_INWARD=host,
        )
        assert done.returncode == 0, done.stderr
        assert (
            f"postBuild   postBuild: what it left is pinned; not closed: it fetched from {host}\n"
            in done.stderr
        )
        pinned = json.loads((tmp_path / "a.lock").read_text())["post_build"]
        built = reprolake("build", tmp_path / "a.lock", "--source-dir", link, REPROLAKE_NETWORK_INWARD=host)
    finally:
        server.shutdown()
        server.server_close()
    (one,) = pinned["reached"]
    assert (one["url"], one["port"]) == (f"http://{host}/x", server.server_port)
    assert one["sha256"] == "6667b2d1aab6a00caa5aee5af8ad9f1465e567abf1c209d15727d57b3e8f6e5f"
    assert built.returncode == 0, built.stderr
    shown = reprolake("inspect", built.stdout.strip())
    assert "reprolake.closed = no: postBuild fetched from 127.0.0.1" in shown.stdout


def test_taking_files_away_is_refused(tmp_path, here):
    """A layer cannot remove what lies below it: that is said, with the file."""
    link = repository(tmp_path / "r", postBuild="#!/bin/sh\nrm sum.ipynb\n")
    with pytest.raises(BuildError, match=r"removed 1 file of what was there before \(/repo/sum\.ipynb\)"):
        obtained(link, here)


def test_hostile_leavings_are_no_way_out(tmp_path, here):
    """Links to the host's files stay links, pipes and sockets are left out, set-user bits are dropped, locked folders opened; nothing hangs."""
    script = """#!/bin/sh
ln -s /etc/shadow shadow; ln -s / root; mkfifo pipe; cp /bin/sh suid; chmod 4755 suid
python -c "import socket; s = socket.socket(socket.AF_UNIX); s.bind('sock')"
mkdir locked && echo x > locked/file && chmod 000 locked/file locked
head -c 1000000 /dev/zero > one; for n in 1 2 3 4 5 6 7 8 9; do ln one more$n; done
printf x > "$(printf 'new\nline\\377')"
echo x > ~/kept; mkdir ~/empty
(setsid sleep 600 &) ; exit 0
"""
    given = obtained(repository(tmp_path / "r", postBuild=script), here)
    image = obtain_image(given, here)
    entries = {entry.path: entry for key in image.trees for entry in here.tools.store.tree(key).entries}
    assert entries[b"repo/shadow"].kind == "l"
    assert entries[b"repo/root"].kind == "l"
    assert entries[b"repo/suid"].mode == 0o755
    assert b"repo/pipe" not in entries
    assert b"repo/sock" not in entries
    assert entries[b"repo/locked/file"].size == 2
    assert (entries[b"repo/more1"].kind, entries[b"repo/more9"].kind, entries[b"repo/one"].kind) == (
        "f",
        "h",
        "h",
    )
    assert entries[b"repo/new\nline\xff"].kind == "f"
    (note,) = (note for note in given.lock.notes if "home folder" in note)
    assert note.startswith("postBuild left 1 file in the home folder (first /home/jovyan/kept)")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("for n in 1 2 3 4 5 6 7 8 9; do truncate -s 16G $n; done; truncate -s 900G x || :", "MiB are free"),
        (
            'python -c \'import os\nfor _ in range(30): os.mkdir("d" * 200); os.chdir("d" * 200)\'',
            "File name too long",
        ),
    ],
)
def test_leavings_that_no_image_holds_are_refused(tmp_path, here, script, words):
    """Files with terabytes of holes are not read, and paths without end are told of."""
    with pytest.raises(BuildError, match=words):
        obtained(repository(tmp_path / "r", postBuild=f"#!/bin/sh\n{script}\n"), here)


@pytest.mark.parametrize("field", ["post_build", "start"])
@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "a\nb", "./x"])
def test_a_lock_names_scripts_of_the_source_only(field, path):
    """The path of a script in a lock leads nowhere but into the source."""
    spec = {"files": [], field: path}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(spec, EnvironmentSpec)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"files": {}, "sha256": "0" * 64, "script": path}, ScriptLock)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../etc/passwd"])
def test_a_script_that_is_a_link_leads_not_out(tmp_path, here, target):
    """Neither script is read from this host, whatever the lock and the source's links say."""
    link = repository(tmp_path / "r")
    (Path(link) / "start").symlink_to(target)
    given = locked(link, here, ignore=("start",))
    changed = msgspec.structs.replace(
        given, environment=msgspec.structs.replace(given.environment, start="start")
    )
    (tmp_path / "a.lock").write_bytes(pretty(changed))
    with pytest.raises(DetectError, match=r"start .*leads out of the repository"):
        obtain_image(obtain_lock(Request(link=str(tmp_path / "a.lock")), here), here)


@pytest.mark.parametrize(
    ("files", "path"),
    [
        (("binder/postBuild", "postBuild"), "binder/postBuild"),
        ((".binder/postBuild",), ".binder/postBuild"),
        (("postBuild",), "postBuild"),
        (("binder/requirements.txt", "postBuild"), ""),
    ],
)
def test_it_is_found_where_the_environment_is_described(tmp_path, files, path):
    """As in repo2docker, the script of binder/ or .binder/ counts, or the one at the top where there are none of these."""
    assert found(tmp_path, dict.fromkeys(files, "")).post_build == path


def test_it_can_be_ignored_by_name(tmp_path, here):
    """With --ignore postBuild it is not run, and the lock says so."""
    link = repository(tmp_path / "r", postBuild="#!/bin/sh\nexit 1\n")
    lock = locked(link, here, ignore=("postBuild",))
    assert (lock.environment.post_build, lock.post_build) == ("", None)
    assert [item.path for item in lock.environment.unheard] == ["postBuild"]


# ---------------------------------------------------------------------- start
@pytest.mark.parametrize("first", ["#!/usr/bin/env bash", ""])
def test_start_wraps_every_command(reprolake, tmp_path, first):
    """What `start` exports is there for every program of the image, whether the script may be executed or not."""
    link = repository(tmp_path / "r", start=f'{first}\nexport STARTED="yes, $1"\nexec "$@"\n')
    if not first:
        os.chmod(Path(link) / "start", 0o644)
    done = reprolake(
        "exec", link, "--stage", tmp_path, "--", "sh", "-c", "echo $STARTED > $REPROLAKE_OUTPUT/s"
    )
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.glob("*/outputs/s")
    assert found.read_text() == "yes, sh\n"


def test_start_wraps_the_kernel(reprolake, tmp_path):
    """A notebook sees what `start` exports."""
    link = repository(tmp_path / "r", start='#!/bin/bash\nexport STARTED=kernel\nexec "$@"\n')
    notebook = json.loads((SAMPLE / "sum.ipynb").read_text())
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "id": "x"}
    notebook["cells"] = [{**cell, "source": "import os\nassert os.environ['STARTED'] == 'kernel'"}]
    (Path(link) / "sum.ipynb").write_text(json.dumps(notebook))
    done = reprolake("run", link, "sum.ipynb", "--stage", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.engine("docker")
def test_start_wraps_docker_run(reprolake, tmp_path):
    """The image's entry point is the same for a container engine."""
    link = repository(tmp_path / "r", start='#!/bin/bash\nexport STARTED=docker\nexec "$@"\n')
    built = reprolake("build", link, "-o", "docker:reprolake-test/start:1")
    assert built.returncode == 0, built.stderr
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", built.stdout.strip(), "sh", "-c", "echo $STARTED"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "docker\n", done.stderr


# ---------------------------------------------------------------------- Debian
def test_debian_packages_are_set_up(tmp_path, here):
    """Graphviz lists its plug-ins when it is set up: without that `dot` draws nothing."""
    given = obtained(repository(tmp_path / "r", apt__txt="graphviz\n"), here)
    assert given.lock.set_up is not None
    assert any(
        name.startswith("usr/lib/x86_64-linux-gnu/graphviz/config") for name in given.lock.set_up.files
    )
    code = "import subprocess; print(subprocess.check_output(['dot', '-Tsvg'], input='digraph {a -> b}', text=True)[:5])"
    assert run_python(given, here, code).strip() == "<?xml"


def test_set_up_is_the_same_elsewhere(reprolake, tmp_path, here):
    """Another store comes to the same image: the scripts' logs, caches and databases are left out."""
    link = repository(tmp_path / "r", apt__txt="graphviz\n")
    given = obtained(link, here)
    (tmp_path / "a.lock").write_bytes(pretty(given.lock))
    store = with_archives(tmp_path / "store", here)
    done = reprolake("build", tmp_path / "a.lock", "--source-dir", link, REPROLAKE_STORE=str(store))
    assert (done.returncode, done.stdout.strip()) == (0, obtain_image(given, here).id), done.stderr
