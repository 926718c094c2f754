"""Notebooks, repositories, baskets and images whose content means harm (H31 to H37), each with its control."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
from html.parser import HTMLParser

import msgspec
import pytest
from conftest import CACHE, ROOT
from notebook_runs import Runs, cell, notebook

from reprolake_runner.basket import read_basket
from reprolake_runner.errors import NotebookError
from reprolake_runner.execute import execute
from reprolake_runner.kernelspec import Command
from reprolake_runner.placement import place
from reprolake_runner.stage_in import stage_in

pytestmark = [pytest.mark.engine("bubblewrap"), pytest.mark.usefixtures("untouched_host")]

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)>"


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


class Active(HTMLParser):
    """What of a page would run: scripts, handlers, addresses elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note a tag that runs something."""
        if tag in {"script", "iframe", "object", "embed", "base", "form", "link"}:
            self.found.append(tag)
        for name, value in attributes:
            if name.startswith("on") or (value or "").lstrip().lower().startswith(
                ("javascript:", "data:", "http", "//")
            ):
                self.found.append(f"{tag} {name}")


def test_no_output_runs_in_the_page(run, tmp_path):
    """H31: markup in outputs, errors, names of files, parameters and shell lines is text on the page; a naive page would run it."""
    source = (
        "from IPython.display import HTML, SVG, Javascript, Markdown, display\n"
        f"display(HTML({EVIL!r}), Javascript('alert(1)'), Markdown('[x](javascript:alert(1))'))\n"
        "import os\nfor name in ('<script>a', 'x.html', 'x.svg', 'javascript:alert(1)', '\" onmouseover=alert(1) x=\"'):\n"
        f"    open('/out/' + name, 'w').write({EVIL!r})"
    )
    done = run(source, f"!ls '{EVIL}'", f"raise ValueError({EVIL!r})", parameters={"x": EVIL})
    assert done.record.status == "failed"
    page = (done.staged(tmp_path / "staging").folder / "index.html").read_text()
    assert Active(page).found == []
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert len(Active(f"<p>{done.record.message}</p>").found) == 3  # the control


def test_no_output_drives_the_operators_terminal(tmp_path):
    """H32: what cells print, their errors and names reach a terminal without what could drive it; to the notebook itself it is kept."""
    osc = "\\x1b]52;c;aGk=\\x07\\x1b[2J\\x1b]0;title\\x07\\x9b31m"
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.ipynb").write_text(
        notebook(f"print('seen {osc}')", f"'{osc}'", f"raise ValueError('{osc}')")
    )
    master, slave = pty.openpty()
    program = str(ROOT / ".venv/bin/reprolake")
    env = {**os.environ, "REPROLAKE_STORE": str(CACHE / "store"), "TERM": "xterm"}
    words = [program, "run", folder, "a.ipynb", "--log-output", "--stage", tmp_path / "st"]
    child = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    said = b""
    try:
        while piece := os.read(master, 65536):
            said += piece
    except OSError:
        pass  # the terminal of a program that ended
    finally:
        os.close(master)
    assert child.wait(60) == 1, said
    assert b"seen " in said
    for bad in (b"\x1b]", b"\x1b[2J", b"\x07", "\x9b".encode()):
        assert bad not in said
    executed = next((tmp_path / "st").glob("*/a.ipynb")).read_text()
    assert "\\u001b]52;c;aGk=" in executed  # the control: it was printed


def made(metadata=None, **changes):
    """The JSON of a notebook with other metadata."""
    found = json.loads(notebook("print('ran')"))
    found["metadata"] |= metadata or {}
    return json.dumps(found | changes)


REFUSED = {
    "kernel in another folder": made({"kernelspec": {"name": "../../../etc", "display_name": "x"}}),
    "kernel that is a path": made({"kernelspec": {"name": "/bin/sh", "display_name": "x"}}),
    "kernel that is no text": made({"kernelspec": {"name": {"a": 1}, "display_name": "x"}}),
    "format of the future": made(nbformat=99),
    "deep": made()[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep metadata": made()[:-1] + ', "metadata": {"x": ' + '{"a":' * 100_000 + "1" + "}" * 100_001 + "}",
    "endless": made(x="x" * (65 << 20)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_metadata_that_lead_astray_are_refused(run, name):
    """H33: kernels that are paths, formats nobody knows, bottomless and endless notebooks end before anything runs."""
    files = {"analysis.ipynb": REFUSED[name]}
    image = run.with_repository(files)
    with pytest.raises(NotebookError):
        execute(image, run.store, run.plan(image, files, "analysis.ipynb"))


FORGED = {
    "papermill": {
        "status": "completed",
        "exception": False,
        "end_time": "2020-01-01",
        "start_time": "2020-01-01",
    }
}


def test_metadata_that_lie_are_replaced(run):
    """H33: a provisioner is not asked for, forged states are overwritten, cells of one id and giant attachments run as they are."""
    provisioner = {"kernel_provisioner": {"provisioner_name": "local-provisioner", "config": {"x": 1}}}
    spec = {
        "name": "python3",
        "display_name": "x",
        "metadata": provisioner,
        "argv": ["touch", "/tmp/on-the-host"],
    }
    first = cell("print('ran')") | {"id": "same", "metadata": dict(FORGED)}
    second = cell("1/0") | {"id": "same", "metadata": dict(FORGED)}
    third = cell("2") | {"metadata": dict(FORGED)}
    text = {"cell_type": "markdown", "id": "same", "metadata": {}, "source": "x",
            "attachments": {"a.png": {"image/png": "A" * (20 << 20)}}}  # fmt: skip
    files = {"analysis.ipynb": made({"kernelspec": spec, **FORGED}, cells=[text, first, second, third])}
    image = run.with_repository(files)
    execution = execute(image, run.store, run.plan(image, files, "analysis.ipynb"))
    assert execution.record.status == "failed"
    assert [one.state for one in execution.record.cells] == ["succeeded", "failed", "pending"]
    executed = json.loads(execution.notebook.read_text())
    assert [one["metadata"]["papermill"]["status"] for one in executed["cells"]] == [
        "pending", "completed", "failed", "pending"
    ]  # fmt: skip
    assert executed["metadata"]["papermill"]["exception"] is True
    assert not os.path.exists("/tmp/on-the-host")
    assert len(executed["cells"][0]["attachments"]["a.png"]["image/png"]) == 20 << 20


TEXTS = [
    "'; open('/out/pwned', 'w'); '", '"""\nopen("/out/pwned", "w")\n"""', "{os}", "${HOME}", "$(touch /out/pwned)", "\\",
    "\\'; open('/out/pwned', 'w') #", "\n%%bash\ntouch /out/pwned", "!touch /out/pwned", "\u2028open('/out/pwned','w')", "\0",
]  # fmt: skip


def test_parameters_are_never_code(run):
    """H34: whatever text a parameter is, and a list or an object of such texts, the notebook finds that text and nothing is run."""
    given = {
        "texts": TEXTS,
        "named": {text: text for text in TEXTS},
        **{f"t{n}": t for n, t in enumerate(TEXTS)},
    }
    names = [f"t{n}" for n in range(len(TEXTS))]
    done = run(cell("texts = []", "parameters"), f"import json; print(json.dumps([texts, named, [{', '.join(names)}]]))",
               parameters=given)  # fmt: skip
    assert done.record.status == "succeeded", done.record.message
    assert json.loads(done.text(2)) == [TEXTS, {text: text for text in TEXTS}, TEXTS]
    assert list(done.execution.output.iterdir()) == []
    control = run("open('/out/pwned', 'w')")
    assert [path.name for path in control.execution.output.iterdir()] == ["pwned"]


@pytest.mark.parametrize(
    "name", ["x; open('/out/pwned','w')", "x\ny", "import", "__class__.x", "x=1", "", "\u2028"]
)
def test_names_of_parameters_are_names(run, name):
    """H34: a parameter whose name is code ends the run before its first cell."""
    try:
        done = run("1", parameters={name: 1})
    except NotebookError:
        return
    assert done.record.status == "broken"
    assert list(done.execution.output.iterdir()) == []


def test_braces_in_paths_are_letters(run):
    """H34: a notebook whose path looks like a format is found by that path, with no value of anything put in."""
    path = "{spec.__class__}/{0}{x!r}.ipynb"
    done = run("print('ran')", path=path, parameters={"x": 1})
    assert done.record.status == "succeeded", done.record.message
    assert done.notebook["metadata"]["papermill"]["input_path"] == path


DUMP = "import glob, os\nprint(dict(os.environ))\nfor path in glob.glob('/data/**', recursive=True):\n    if os.path.isfile(path): print(open(path).read())"


def test_tokens_of_a_basket_never_reach_the_notebook(run, session, tmp_path):
    """H34: of a basket with credentials in keys, addresses and texts the notebook sees none, so that it cannot put any out."""
    (tmp_path / "data.txt").write_text("content")
    secrets = [f"s3cret-{n}" for n in range(7)] + ["eyJhbGciOiJI.eyJzdWIiOiIx.c2ln"]
    items = [
        {"name": "data.txt", "url": "file:data.txt", "access_token": secrets[0], "note": "plain-words"},
        {
            "archive": "rucio",
            "record": {"scope": "s", "name": "n", "oidc": {"token": secrets[1]}, "password": secrets[2]},
        },
        {"name": "b", "url": f"https://user:{secrets[3]}@example.org/b?token={secrets[4]}&x=1"},
        {
            "name": "c",
            "url": f"https://example.org/c?X-Amz-Signature={secrets[5]}",
            "headers": {"Authorization": secrets[6]},
        },
        {"name": "d", "url": "https://example.org/d", "note": f"Bearer {secrets[7]}"},
    ]
    basket = place(read_basket(json.dumps(items).encode(), "basket", tmp_path))
    inputs = stage_in(basket, frozenset(), tmp_path / "inputs", session.tools.progress)
    done = run(DUMP, inputs=inputs.folder, env=inputs.env)
    assert done.record.status == "succeeded"
    result = done.staged(tmp_path / "staging")
    everything = "".join(
        path.read_text(errors="replace") for path in result.folder.rglob("*") if path.is_file()
    )
    assert [secret for secret in secrets if secret in everything] == []
    assert (
        "plain-words" in everything
    )  # the control: what is no secret was put out, and so would one have been
    assert "content" in done.text(0)


MARK = "open('/out/' + {name!r} + '-ran', 'w').close()\n"
BESIDE = {
    name: MARK.format(name=name.rpartition("/")[2])
    for name in (
        "types.py", "sitecustomize.py", "usercustomize.py", "ipython_config.py", "ipython_kernel_config.py", "jupyter_config.py",
        "ipykernel_launcher.py", ".ipython/profile_default/startup/00.py", ".ipython/profile_default/ipython_config.py",
        "profile_default/startup/00.py", ".jupyter/jupyter_config.py", "zmq.py", "traitlets.py",
    )
}  # fmt: skip


def test_files_of_the_repository_do_not_run_unasked(run, monkeypatch):
    """H35: modules, configurations and startup files beside the notebook do not run by themselves; without our start they do."""
    done = run("import os; print(os.getcwd())", files=BESIDE)
    assert done.record.status == "succeeded", done.record.message
    assert list(done.execution.output.iterdir()) == []
    monkeypatch.setattr(
        "reprolake_runner.processes.command",
        lambda kernel, file, folder: Command(
            tuple(word.replace("{connection_file}", file) for word in kernel.argv), folder
        ),
    )
    weak = run("1", files=BESIDE, start_timeout=15)
    assert [path.name for path in weak.execution.output.iterdir()] != []


CONFIG = {
    "Entrypoint": ["/bin/sh", "-c", "touch /out/entrypoint"],
    "Cmd": ["/bin/false"],
    "WorkingDir": "/proc/self/fd/7",
    "OnBuild": ["RUN touch /out/onbuild"],
    "Volumes": {"/": {}, "/out": {}, "/data": {}},
    "User": "0:0",
    "Healthcheck": {"Test": ["CMD-SHELL", "touch /out/healthcheck"]},
    "StopSignal": "SIGSTOP",
}


def test_the_configuration_of_an_image_decides_nothing(run, built_image):
    """H36: entry point, folder, user, volumes and triggers of a hostile image are not used: the kernel is who and where it is."""
    config = json.loads(built_image.config)
    evil = msgspec.structs.replace(
        built_image, config=json.dumps(config | {"config": {**CONFIG, "Env": config["config"]["Env"]}})
    )
    done = Runs(evil, run.store, run.folder)("import os; print(os.getuid(), os.getgid(), os.getcwd())")
    assert done.record.status == "succeeded", done.record.message
    assert done.text(0) == "1000 100 /repo\n"
    assert list(done.execution.output.iterdir()) == []
    control = run("import subprocess; subprocess.run(" + repr(CONFIG["Entrypoint"]) + ")")
    assert [path.name for path in control.execution.output.iterdir()] == ["entrypoint"]


SPEC = "../opt/env/share/jupyter/kernels/python3/kernel.json"


def test_a_kernel_is_started_inside_whatever_it_is(run, untouched_host):
    """H36: a kernel's command and environment run in the sandbox only, as words and never in a shell."""
    place = untouched_host / "by-the-kernel"
    evil = {
        "argv": ["python3", "-c", f"import os; open('/out/inside', 'w'); open({str(place)!r}, 'w')", "{connection_file}",
                 "; touch /out/shell", "$(touch /out/shell)"],
        "language": "python", "env": {"LD_PRELOAD": "/repo/evil.so", "PATH": "/repo:/usr/bin:/opt/env/bin"},
    }  # fmt: skip
    done = run("1", files={SPEC: json.dumps(evil)})
    assert (done.record.status, done.record.exit_code) == ("kernel-died", 25)
    assert [path.name for path in done.execution.output.iterdir()] == [
        "inside"
    ]  # the control: the command did run
    assert not place.exists()


FINGERPRINT = """
import getpass, grp, locale, os, platform, pwd, socket, sys, time
def text(path):
    try:
        return open(path).read()
    except OSError:
        return ''
facts = dict(host=socket.gethostname(), node=platform.node(), user=getpass.getuser(), ids=os.getresuid() + os.getresgid(),
    groups=sorted(os.getgroups()), home=os.path.expanduser('~'), zone=time.tzname, umask=os.umask(0o22), cwd=os.getcwd(),
    env=sorted((k, v) for k, v in os.environ.items()), machine=text('/etc/machine-id'), hosts=text('/etc/hosts'),
    resolv=text('/etc/resolv.conf'), encoding=sys.getfilesystemencoding(), tmp=os.listdir('/tmp'), homes=os.listdir(os.path.expanduser('~')),
    repo=[os.stat('/repo').st_uid, os.stat('/repo').st_gid], mtimes=sorted({int(os.stat('/repo/' + n).st_mtime) for n in os.listdir('/repo')}))
import json; print(json.dumps(facts, sort_keys=True))
"""


def test_runs_look_alike_whoever_starts_them_where(run, monkeypatch):
    """H37: name of the host, user, groups, zone, language, mask and environment are the same in every run and not this host's."""
    first = run(FINGERPRINT)
    for name, value in {
        "TZ": "Asia/Tokyo",
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "C",
        "USER": "someone",
        "HOME": "/root",
    }.items():
        monkeypatch.setenv(name, value)
    before = os.umask(0o77)
    try:
        second = run(FINGERPRINT)
    finally:
        os.umask(before)
    one, other = json.loads(first.text(0)), json.loads(second.text(0))
    assert one == other
    assert (one["host"], one["ids"], one["zone"]) == ("reprolake", [1000] * 3 + [100] * 3, ["UTC", "UTC"])
    assert socket.gethostname() not in first.text(0)
    assert (one["tmp"], one["homes"]) == ([], [".ipython"])
    here = json.loads(
        subprocess.run(
            ["python3", "-c", FINGERPRINT.replace("/repo", "/usr")], capture_output=True, check=True
        ).stdout
    )
    assert [name for name in ("host", "ids", "home", "env") if one[name] == here[name]] == []  # the control
