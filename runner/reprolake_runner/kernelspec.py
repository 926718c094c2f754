"""Notebook's kernel → the command that starts it, from the image's own kernel specifications.

They are data from strangers: they are read as data, and their command only ever runs inside the sandbox.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake_builder.image import PREFIX
from reprolake_builder.process import printable
from reprolake_runner import image_files
from reprolake_runner.driver.protocol import SHELL_MESSAGE
from reprolake_runner.errors import NotebookError
from reprolake_runner.languages import language_of

FOLDERS = tuple(f"{prefix}/share/jupyter/kernels" for prefix in (PREFIX, "/usr/local", "/usr"))
_PYTHON = "python3"
# ipykernel_launcher's work, with six differences. A folder with types.py or random.py must not stand in for Python's own
# modules while the kernel is being imported, so it starts elsewhere (the folder gets its place on the path from IPython, as
# in Jupyter). It drops no output when it is faster than the driver. It prints no
# advice on how to connect to it. It leaves its sockets to the end of the process: closing
# them first locks up now and then, after all that the user's code wants to do at exit. When it is aborted, or crashes, it
# says where it was. And it tells of shell lines that fail, which IPython passes over.
_BOOT = """\
import atexit, os, sys
try:
    import faulthandler
    faulthandler.enable(os.dup(2))
except Exception:
    pass
sys.path = [path for path in sys.path if path]
os.chdir({folder!r})
import zmq
make = zmq.Context.socket
def socket(self, kind, *rest, **options):
    made = make(self, kind, *rest, **options)
    if kind in (zmq.PUB, zmq.XPUB):
        made.setsockopt(zmq.SNDHWM, 0)
    return made
zmq.Context.socket = socket
from ipykernel.kernelapp import IPKernelApp
class KernelApp(IPKernelApp):
    def log_connection_info(self):
        shown = sys.__stdout__
        with open(os.devnull, "w") as sys.__stdout__:
            super().log_connection_info()
        sys.__stdout__ = shown
app = KernelApp.instance()
app.initialize()
def tell(command, status):
    kernel = app.kernel
    try:
        if status:
            parent = getattr(kernel, "get_parent", lambda: app.shell.display_pub.parent_header)()
            content = dict(command=str(command), status=int(status))
            kernel.session.send(kernel.iopub_socket, {message!r}, content, parent=parent)
    except Exception:
        pass
try:
    import ipykernel.zmqshell
    system = ipykernel.zmqshell.system
    def told_system(command):
        status = system(command)
        tell(command, status)
        return status
    ipykernel.zmqshell.system = told_system
    import IPython.utils._process_common as common
    handler = common.process_handler
    def told_handler(command, callback, *rest, **options):
        def called(process):
            result = callback(process)
            tell(command, process.returncode)
            return result
        return handler(command, called, *rest, **options)
    common.process_handler = told_handler
except (ImportError, AttributeError):
    pass
app.start()
atexit.unregister(app.close)
"""
_QUIET = "--HistoryManager.enabled=False"


class _File(msgspec.Struct):
    argv: list[str]
    language: str = ""
    display_name: str = ""
    env: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of the image: its name, its language, and how it is started (`argv` still holds {connection_file})."""

    name: str
    language: str
    argv: tuple[str, ...]
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run inside, and in which folder (sandbox path)."""

    argv: tuple[str, ...]
    cwd: str


def choose(trees: Sequence[Path], name: str, language: str) -> Kernel:
    """Return the image's kernel of that name, else one of the notebook's language; "" for a language allows no other.

    Of several the first by name is taken, of Python's kernels python3. `trees` are host folders, lowest first. Raises
    NotebookError, naming the kernels that there are.
    """
    offered: dict[str, str] = {}
    for folder in reversed(FOLDERS):
        offered |= {found.lower(): f"{folder}/{found}" for found in image_files.listed(trees, folder)}
    candidates = [name.lower()]
    candidates += sorted(offered, key=lambda other: (other != _PYTHON, other)) if language else []
    for candidate in candidates:
        found = _read(trees, offered[candidate]) if candidate in offered else None
        if found is not None and (candidate == name.lower() or _is_same(found.language, language)):
            return found
    near = difflib.get_close_matches(name.lower(), offered, 1)
    raise NotebookError(
        printable(
            f"the notebook asks for the kernel {name!r}, which the image does not have"
            + (f", nor another one for {language}" if language else "")
        ),
        hint=printable(
            (f"did you mean {near[0]}? " if near else "")
            + f"kernels of the image: {', '.join(sorted(offered)) or 'none'}; -k NAME takes one of them"
        ),
    )


def _is_same(one: str, other: str) -> bool:
    """Whether two names are of one language."""
    known = language_of(one)
    return one.lower() == other.lower() or (known is not None and known is language_of(other))


def command(kernel: Kernel, connection_file: str, folder: str) -> Command:
    """Return the command that starts `kernel` for a notebook in `folder`; both paths are sandbox paths."""
    argv = [word.replace("{connection_file}", connection_file) for word in kernel.argv]
    for place in range(len(argv) - 1):
        if argv[place : place + 2] == ["-m", "ipykernel_launcher"]:
            argv[place : place + 2] = ["-c", _BOOT.format(folder=folder, message=SHELL_MESSAGE)]
            return Command((*argv, _QUIET), "/")
    return Command(tuple(argv), folder)


def _read(trees: Sequence[Path], folder: str) -> Kernel | None:
    """Return the kernel that a folder describes; None when it does not describe one."""
    data = image_files.content(trees, f"{folder}/kernel.json")
    if data is None:
        return None
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, RecursionError):
        return None
    words = [*file.argv, *file.env, *file.env.values()]
    if not file.argv or any("\0" in word for word in words) or any("=" in name for name in file.env):
        return None
    return Kernel(folder.rpartition("/")[2], file.language or "unknown", tuple(file.argv), file.env)
