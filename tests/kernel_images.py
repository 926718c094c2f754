"""Images with a kernel each, as a repository's files ask for them, and how one says the same in each kernel's language."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from reprolake_builder.image import Image, ImageLayer

if TYPE_CHECKING:
    from reprolake.pipeline import Session

ROOT = Path(__file__).parent.parent
VALUES = {
    "count": 7,
    "share": 0.5,
    "name": "é 日本 \"$x\" '`id`' \\n $(id)",
    "flag": True,
    "absent": None,
    "many": [1, "a"],
    "table": {"k": [2.5]},
}


@dataclass(frozen=True)
class Speech:
    """What cells say in a language: `shows` prints all parameters, which `heard` reads back; "" where it has no such thing."""

    declares: str
    shows: str
    heard: Callable[[str], Any]
    complains: str
    rich: str
    fails: str
    failure: str
    waits: str
    dies: str
    asks: str = ""
    long: str = ""
    updates: str = ""
    shell: str = ""
    widget: str = ""


def _as_python(asks: str) -> Speech:
    return Speech(
        declares="count = 1\nshare = 0.1\nname = 'x'\nflag = False\nabsent = None\nmany = []\ntable = {}",
        shows="import json\nprint(json.dumps([count, share, name, flag, absent, many, table]))",
        heard=json.loads,
        complains="import sys\nsys.stderr.write(u'to stderr\\n')",
        rich="from IPython.display import HTML, display\ndisplay(HTML(u'<b>\\xe9</b>'))",
        fails="x = 1\nx / 0",
        failure="ZeroDivisionError",
        waits="import time\ntime.sleep(300)",
        dies="import os\nos.kill(os.getpid(), 9)",
        asks=asks,
        long="for number in range(3000):\n    print('line %d ' % number + 'x' * 700)",
        updates="shown = display('first', display_id='one')\ndisplay('second', display_id='one', update=True)",
        shell="!false",
        widget="from ipykernel.comm import Comm\nComm(target_name='nobody', data={'a': 1}).send({'b': [2]})",
    )


PYTHON, PYTHON_2 = _as_python("input('? ')"), _as_python("raw_input('? ')")
R = Speech(
    declares="count = 1; share = 0.1; name = 'x'; flag = FALSE; absent = NULL; many = list(); table = list()",
    shows="cat(jsonlite::toJSON(list(count, share, name, flag, absent, many, table), auto_unbox = TRUE, null = 'null'))",
    heard=json.loads,
    complains='message("to stderr")',
    rich='IRdisplay::display_html("<b>é</b>")',
    fails='x <- 1\nstop("boom")',
    failure="boom",
    waits="Sys.sleep(300)",
    dies="tools::pskill(Sys.getpid(), 9)",
    asks='readline("? ")',
    long='for (number in 0:2999) cat("line", number, strrep("x", 700), "\\n")',
)
BASH = Speech(
    declares="count=1",
    shows='printf "%s\\n" "$count" "$share" "$name" "$flag" "$absent" "$many" "$table"',
    heard=lambda text: [line.rstrip("\r") for line in text.split("\n")[:7]],
    complains="echo to stderr >&2",
    rich="echo '<b>é</b>' | displayHTML",
    fails="ls /nonexistent",
    failure="2",
    waits="sleep 300",
    dies="kill -9 $PPID",
    long='for number in $(seq 0 2999); do printf "line %d %0700d\\n" "$number" 0; done',
)


@dataclass(frozen=True)
class Kernel:
    """A kernel, the files of a repository that ask for it, the date they are resolved at, and what it is called in notebooks."""

    files: dict[str, str]
    as_of: str
    name: str = "python3"
    language: str = "python"
    speech: Speech = PYTHON

    @property
    def lines(self) -> int:
        """How many lines `long` prints."""
        return 3000 if self.name != "xpython" else 300


def _python(version: str, as_of: str, *requirements: str) -> Kernel:
    return Kernel({"runtime.txt": f"python-{version}\n", "requirements.txt": "\n".join(requirements)}, as_of)


KERNELS = {
    "ipykernel-4": _python("3.9", "2021-06-01", "ipykernel==4.10.1", "ipython==7.16.1", "traitlets==4.3.3"),
    "ipykernel-5": _python("3.9", "2021-12-01", "ipykernel==5.5.6", "ipython==7.27.0"),
    "ipykernel-6": _python("3.11", "2024-08-01", "ipykernel==6.29.5", "ipython==8.26.0"),
    "ipykernel-7": _python("3.13", "2026-06-01", "ipykernel>=7"),
    "xeus-python": Kernel(
        {"runtime.txt": "python-3.11\n", "requirements.txt": "xeus-python\n"},
        "2026-09-01",
        "xpython",
        speech=replace(PYTHON, long=PYTHON.long.replace("3000", "300"), shell="", widget=""),
    ),
    "bash": Kernel(
        {"runtime.txt": "python-3.11\n", "requirements.txt": "bash_kernel==0.10.0\n"},
        "2026-06-01",
        "bash",
        "bash",
        BASH,
    ),
    "r": Kernel(
        {"runtime.txt": "python-3.11\n", "apt.txt": "r-base-core\nr-cran-irkernel\n"},
        "2024-06-01",
        "ir",
        "R",
        R,
    ),
    "python-2": Kernel(
        {"runtime.txt": "python-3.9\n", "apt.txt": "python2.7\n"}, "2021-06-01", "python2", "python", PYTHON_2
    ),
}


def kernel_image(name: str, session: Session, folder: Path) -> Image:
    """Return the image with a kernel; `folder` is an empty host folder for the repository."""
    from reprolake.pipeline import Request, obtain_image, obtain_lock

    kernel = KERNELS[name]
    for path, text in kernel.files.items():
        (folder / path).write_text(text)
    image = obtain_image(obtain_lock(Request(link=str(folder), as_of=kernel.as_of), session), session)
    return _with_python_2(image, session) if name == "python-2" else image


# What pip of its time installed for Python 2.7, by which index files it is; no set-up script of them is needed.
_WHEELS = [
    "backports.shutil_get_terminal_size==1.0.0",
    "backports_abc==0.5",
    "backports.functools_lru_cache==1.6.6",
    "decorator==4.4.2",
    "enum34==1.1.10",
    "futures==3.4.0",
    "ipykernel==4.10.1",
    "ipython==5.10.0",
    "ipython_genutils==0.2.0",
    "jupyter_client==5.3.5",
    "jupyter_core==4.6.3",
    "pathlib2==2.3.7.post1",
    "pexpect==4.8.0",
    "pickleshare==0.7.5",
    "prompt_toolkit==1.0.18",
    "ptyprocess==0.7.0",
    "pygments==2.5.2",
    "python_dateutil==2.9.0.post0",
    "pyzmq==19.0.2",
    "setuptools==44.1.1",
    "singledispatch==3.7.0",
    "six==1.17.0",
    "traitlets==4.3.3",
    "typing==3.10.0.0",
    "wcwidth==0.2.13",
]
_SOURCES = {
    "tornado==5.1.1": "tornado",
    "scandir==1.10.0": "scandir.py",
    "simplegeneric==0.8.1": "simplegeneric.py",
}
_TARGET = [
    "--python-version=27",
    "--implementation=cp",
    "--abi=cp27mu",
    "--abi=none",
    "--platform=manylinux1_x86_64",
    "--platform=any",
    "--only-binary=:all:",
]
_PACKAGES = "opt/python2"


def _with_python_2(image: Image, session: Session) -> Image:
    """Return the image with a kernel for its Python 2.7, made by hand: no part of a lock asks for packages of Python 2."""
    key = hashlib.sha256(f"{_WHEELS} {_SOURCES} {_TARGET}".encode()).hexdigest()
    session.tools.store.make_tree(key, _fill_python_2)
    layer = ImageLayer(diff_id=f"sha256:{key}", size=0, trees=(key,), comment="packages of Python 2")
    return msgspec.structs.replace(image, layers=(*image.layers[:-1], layer, image.layers[-1]))


def _fill_python_2(root: Path) -> None:
    packages, downloads = root / _PACKAGES, root / "downloads"
    packages.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(downloads)]
    subprocess.run([*pip, *_TARGET, *_WHEELS], check=True, timeout=300)
    subprocess.run([*pip, "--no-binary=:all:", *_SOURCES], check=True, timeout=300)
    for wheel in downloads.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    unpacked = downloads / "unpacked"
    for source in downloads.glob("*.*"):
        if source.suffix != ".whl":
            shutil.unpack_archive(source, unpacked, **({} if source.suffix == ".zip" else {"filter": "data"}))
    for part in _SOURCES.values():
        (found,) = unpacked.glob(f"*/{part}")
        shutil.move(found, packages / part)
    shutil.rmtree(downloads)
    kernels = root / "usr/local/share/jupyter/kernels/python2"
    kernels.mkdir(parents=True)
    spec = {
        "argv": ["/usr/bin/python2.7", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "language": "python",
        "env": {"PYTHONPATH": f"/{_PACKAGES}"},
    }
    (kernels / "kernel.json").write_text(json.dumps(spec))
