"""Isolation by apptainer, as sites have it: without set-uid programs, daemon or root, about 120 ms.

Apptainer shares the network, names, devices and many folders of the host by default, and what of that it can keep apart
depends on the site's configuration. So it is started where nothing of it is left: in namespaces of our own, with a configuration
of our own, over a root that has all mount points, and with a first program of our own that filters before it starts the command.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes import apptainer_host, launched
from reprolake_builder.sandboxes.arguments import FOLDERS, HOSTNAME
from reprolake_builder.sandboxes.cgroups import Group
from reprolake_builder.sandboxes.enclosure import MADE
from reprolake_builder.sandboxes.first_program import Command, first_program
from reprolake_builder.sandboxes.groups import Grouped, resource_limits
from reprolake_builder.sandboxes.interface import Bind, HostRoot, ImageRoot, SandboxSpec
from reprolake_builder.sandboxes.launch import BASE
from reprolake_builder.sandboxes.launched import Launched, Runtime
from reprolake_builder.sandboxes.plan import Enclosure
from reprolake_builder.sandboxes.reports import Report, SocketReport

_OWN = "/.singularity.d"
"""Where an image could have scripts that apptainer runs before our filter is there; ours hides them."""
_START = "start"
_ITS_THREADS = 100  # of apptainer's own processes outside, at most
_USERS = b"reprolake:x:%d:%d::/:/bin/sh\n"
_FLAGS = (
    "exec", "--userns", "--containall", "--no-home", "--no-init", "--no-eval", "--no-umask", "--no-privs", "--cleanenv",
    "--no-mount", "sys,dev,devpts,home,tmp,cwd,hostfs,bind-paths", "--pwd", "/",
)  # fmt: skip
_CONFIGURATION = b"""\
allow setuid = no
allow ipc ns = yes
allow pid ns = yes
allow user ns = yes
allow uts ns = yes
config passwd = no
config group = no
config resolv_conf = no
mount proc = yes
mount sys = no
mount dev = no
mount devpts = no
mount home = no
mount tmp = no
mount hostfs = no
mount slave = yes
user bind control = yes
enable fusemount = no
enable overlay = no
enable underlay = no
allow container dir = yes
always use nv = no
always use rocm = no
root default capabilities = no
memory fs type = tmpfs
sessiondir max size = 16
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Something that appears in the sandbox: `source` is where the launcher has it."""

    source: str
    target: str
    writable: bool = True


class Apptainer(Launched):
    """Runs programs in apptainer; all that one object starts share one user number outside."""

    name = "apptainer"
    passes_gpus = True

    def missing(self) -> str:
        """What this host lacks, with the remedy; "" when nothing is known to be missing."""
        return apptainer_host.missing()

    def promises(self) -> Mapping[str, str]:
        """What isolates, and how: facts for the record of a run."""
        return {**super().promises(), "configuration": "our own, not the site's"}

    @property
    def _version(self) -> tuple[int, ...]:
        return apptainer_host.version()

    def _report(self, spec: SandboxSpec, group: Grouped) -> Report:
        return SocketReport(
            self.name, spec.argv[0], group.admit if isinstance(group, Group) else lambda _: None
        )

    def _runtime(
        self, spec: SandboxSpec, stack: contextlib.ExitStack, report: int, *, copied: bool
    ) -> Runtime:
        del stack
        places = list(_places(spec, copied=copied))
        first = first_program(_command(spec), f"{_OWN}/{_START}".encode(), launched.rules(), report)
        root = f"{BASE}/root" if isinstance(spec.root, ImageRoot) else f"{BASE}/top"
        mounts = [word for place in places for word in ("--mount", _mount(place))]
        users = b"root:x:0:0::/:/bin/sh\n" + _USERS % (spec.uid, spec.gid)
        enclosure: Enclosure = {
            "host_name": HOSTNAME,
            "rooms": [(spec.limits.tmp_bytes, mode) for _, mode in _rooms(spec)],
            "places": [(place.source, place.target) for place in places],
            "devices": [str(path.relative_to("/dev")) for path in _gpus(spec)],
            "files": [(_START, first, 0o755), ("conf", _CONFIGURATION, 0o644), ("users", users, 0o644)],
            "over": [("conf", apptainer_host.built()["APPTAINER_CONF_FILE"]), ("users", "/etc/passwd")],
        }
        return Runtime(
            program=apptainer_host.program(),
            words=(
                "apptainer",
                "--silent",
                *_FLAGS,
                *(["--nv"] if spec.gpus else []),
                *mounts,
                root,
                f"{_OWN}/{_START}",
            ),
            env=(("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/")),
            more=(_OWN,),
            enclosure=enclosure,
        )


def _command(spec: SandboxSpec) -> Command:
    """Return the program, with limits that we may set."""
    return Command(
        paths=[os.fsencode(path) for path in spec.candidates],
        argv=[os.fsencode(word) for word in spec.argv],
        env={
            os.fsencode(key): os.fsencode(value)
            for key, value in {**_gpu_variables(spec), **spec.env}.items()
        },
        cwd=os.fsencode(spec.cwd),
        limits=[(kind, _allowed(kind, value)) for kind, value in resource_limits(spec.limits, _ITS_THREADS)],
    )


def _gpus(spec: SandboxSpec) -> list[Path]:
    """Return the devices (host paths) of the graphics processors' driver, none when they are not wished."""
    return [path for path in sorted(Path("/dev").glob("nvidia*")) if spec.gpus and path.is_char_device()]


def _gpu_variables(spec: SandboxSpec) -> dict[str, str]:
    """Return what programs find the driver's libraries by, and how many processors they see."""
    if not spec.gpus:
        return {}
    seen = {} if spec.gpus == "all" else {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(int(spec.gpus))))}
    return {"LD_LIBRARY_PATH": f"{_OWN}/libs", **seen}


def _allowed(kind: int, value: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _rooms(spec: SandboxSpec) -> Iterator[tuple[str, int]]:
    """Yield folders in memory (sandbox paths) and their modes."""
    for folder in FOLDERS:
        yield folder, 0o1777
    if spec.home:
        yield spec.home, 0o700


def _places(spec: SandboxSpec, *, copied: bool) -> Iterator[_Place]:
    """Yield what appears in the sandbox, in an order in which nothing hides what came before it needlessly."""
    yield _Place(f"{BASE}/{MADE}/dev", "/dev", writable=False)
    rooms = [_Place(f"{BASE}/{MADE}/{number}", target) for number, (target, _) in enumerate(_rooms(spec))]
    yield from rooms[: len(FOLDERS)]
    if isinstance(spec.root, HostRoot):
        # after the folders in memory: a virtual environment may lie below /tmp
        for number, path in enumerate(spec.root.paths, len(spec.binds)):
            yield _Place(f"{BASE}/b/{number}", str(path), writable=False)
    yield from rooms[len(FOLDERS) :]
    if spec.copy_on_write:
        yield _Place(f"{BASE}/scratch/copy" if copied else f"{BASE}/repo", spec.copy_on_write.target)
    yield from (_bound(number, bind) for number, bind in enumerate(spec.binds))
    yield _Place(f"{BASE}/{MADE}/own", _OWN, writable=False)


def _bound(number: int, bind: Bind) -> _Place:
    return _Place(f"{BASE}/b/{number}", bind.target, writable=bind.writable)


def _mount(place: _Place) -> str:
    """Return the value of one --mount, which is a line of comma-separated values."""
    line = io.StringIO()
    words = ["type=bind", f"source={place.source}", f"destination={place.target}"]
    csv.writer(line, lineterminator="").writerow(words if place.writable else [*words, "ro"])
    return line.getvalue()
