"""The conda channels that tests solve and install from, made once: a real interpreter, real packages, and odd ones."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from conda_demos import demos, others
from conda_packages import EPOCH, Package, write_channel
from conda_pythons import python_abi, python_package
from conda_wheels import python2_packages, wheel_packages
from http_serving import http_serving

from reprolake_builder.tools import Tools

_HERE = Path(__file__).parent
_CACHE = _HERE.parent / ".cache/tests/conda"
_MAKERS = ("conda_channel.py", "conda_demos.py", "conda_packages.py", "conda_pythons.py", "conda_wheels.py")
_WITH = ("ipykernel", "numpy", "pip", "setuptools", "wheel")
_DATES = {"3.9": "2023-06-01", "3.11": "2023-06-01", "3.13": "2025-01-01"}
_BUILT = {"3.13": datetime(2025, 1, 1, tzinfo=UTC)}  # all others at EPOCH
_PYTHON2 = (
    *(
        "backports.functools_lru_cache==1.6.6",
        "backports.shutil_get_terminal_size==1.0.0",
        "backports_abc==0.5",
    ),
    *("decorator==4.4.2", "enum34==1.1.10", "futures==3.3.0", "ipykernel==4.10.1", "ipython==5.10.0"),
    *("ipython_genutils==0.2.0", "jupyter_client==5.3.5", "jupyter_core==4.6.3", "pathlib2==2.3.5"),
    *("pexpect==4.8.0", "pickleshare==0.7.5", "pip==20.3.4", "prompt_toolkit==1.0.18", "ptyprocess==0.7.0"),
    *("pygments==2.5.2", "python-dateutil==2.8.2", "pyzmq==19.0.2", "scandir==1.10.0", "setuptools==44.1.1"),
    *("simplegeneric==0.8.1", "singledispatch==3.7.0", "six==1.16.0", "tornado==5.1.1", "traitlets==4.3.3"),
    "wcwidth==0.2.6",
)
MAIN, OTHER = "main", "other"


def channels(tools: Tools) -> Path:
    """Return the host folder with the channels MAIN and OTHER; the makers' text names it, so that it is made once."""
    text = b"".join((_HERE / name).read_bytes() for name in _MAKERS)
    folder = _CACHE / hashlib.sha256(text).hexdigest()[:16]
    ready = folder / ".ready"
    if ready.exists():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            write_channel(folder / MAIN, _different(_packages(tools)))
            write_channel(folder / OTHER, others())
            ready.touch()
    return folder


def _packages(tools: Tools) -> Iterator[Package]:
    yield from demos()
    for minor, date in _DATES.items():
        for package in (
            python_package(minor, tools),
            python_abi(minor),
            *wheel_packages(minor, _WITH, date, tools),
        ):
            yield replace(package, timestamp=_BUILT.get(minor, EPOCH))
    yield python_package("2.7", tools)
    yield python_abi("2.7")
    yield from python2_packages(_PYTHON2, tools)


def _different(packages: Iterator[Package]) -> Iterator[Package]:
    """Yield each package once: what is noarch serves several Pythons."""
    seen = set()
    for package in packages:
        if package.filename not in seen:
            seen.add(package.filename)
            yield package


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the address on the loopback at which a folder's channels lie."""
    with http_serving(functools.partial(_Quiet, directory=str(folder))) as address:
        yield address
