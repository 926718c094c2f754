"""Trees that scripts make: the set-up scripts of Debian packages, and the repository's postBuild; each is pinned by what it left."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.debs.archive import control_files
from reprolake_builder.documents.base import Document, content_hash
from reprolake_builder.documents.lock import LAYOUT, DebianLock, ScriptLock
from reprolake_builder.engines.scripts import Ran, ScriptCall, run_script, take
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME, REPOSITORY, USER
from reprolake_builder.network.policy import Policy
from reprolake_builder.plain_files import open_below
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.interface import Bind
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools

_KIND = "script-runs"
_DPKG = "dpkg --configure -a --abort-after=9999; dpkg --configure -a --abort-after=9999"
_TRUE = b"#!/bin/sh\nexit 0\n"
_DPKG_INFO = "var/lib/dpkg/info"
_STATUS = "var/lib/dpkg/status"
_LARGEST_STATUS = 64 << 20  # bytes
# What differs from one run to the next, or is the image's own and written by ourselves: logs, caches, the package database.
_LEFT_OUT = re.compile(
    rb"var/(?:log|cache/(?:ldconfig|debconf|fontconfig|man)|lib/dpkg(?!/alternatives)|lib/systemd|lib/ucf)(?:/|$)"
    rb"|etc/ld\.so\.cache$|usr/share/man(?:/|$)|(?:.*/)?__pycache__(?:/|$)|.*\.dpkg-(?:new|tmp|old)$"
)
_LEFT_BY_USERS = re.compile(
    rb"home/[^/]+/\.(?:cache|npm|bash_history|python_history)(?:/|$)|(?:.*/)?__pycache__(?:/|$)"
)


class _Kept(Document, frozen=True, kw_only=True):
    """What a script was found to leave, by what it ran over."""

    script: ScriptLock


@dataclass(frozen=True, slots=True)
class PostBuild:
    """The repository's script: its path in the source, the file (host path), the trees that it runs over (lowest first), its environment,
    the prefix of the Python environment, the folder that it starts in (both in the image) and network.
    """

    path: str
    file: Path
    trees: tuple[Tree, ...]
    env: Mapping[str, str]
    prefix: str
    cwd: str
    policy: Policy | None


@dataclass(frozen=True, slots=True)
class _Running:
    """How a tree is made: what runs (in an empty host folder), which paths of what it left are taken, and whose they are.

    `policy` is its network and `script` its path in the source, as in ScriptLock.
    """

    run: Callable[[Path], Ran]
    chosen: Callable[[Ran], Sequence[bytes]]
    owner: tuple[int, int]
    policy: str = "none"
    script: str = ""


def set_up(debian: DebianLock, trees: tuple[Tree, Tree], tools: Tools) -> tuple[Tree, ScriptLock]:
    """Return the tree that the set-up scripts of the packages in `extra` make of base and system, and what it holds.

    Raises BuildError when a script fails.
    """
    store = tools.store
    key = content_hash({"layer": "debian set-up", "layout": LAYOUT, "trees": [tree.key for tree in trees]})

    def run(scratch: Path) -> Ran:
        stub = scratch / "true"
        stub.write_bytes(_TRUE)
        stub.chmod(0o755)
        call = ScriptCall(
            what=f"Setting up {len(debian.extra)} Debian packages",
            trees=trees,
            argv=("/bin/sh", "-c", _DPKG),
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LC_ALL": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive",
                "FORCE_SOURCE_DATE": "1",
            },
            writable=("/etc", "/usr", "/var", "/opt", "/srv", "/root"),
            user=(0, 0),
            # the sandbox has one user number, to which nothing can be given
            binds=tuple(Bind(stub, f"/usr/bin/{name}") for name in ("chown", "chgrp")),
            prepare=lambda root: _unpacked(debian, root, store),
        )
        ran = run_script(call, scratch, tools)
        _refuse_unconfigured(ran)
        return ran

    def chosen(ran: Ran) -> list[bytes]:
        return [path for path in ran.changed if not _LEFT_OUT.match(path)]

    return _made(key, _Running(run, chosen, (0, 0)), tools)


def _unpacked(debian: DebianLock, root: Path, store: Store) -> None:
    """Write dpkg's database as it is before packages are configured: those of the base are, those beside it are not."""
    waiting = {deb.name for deb in debian.extra}
    for folder in (_DPKG_INFO, *(f"usr/share/man/man{number}" for number in range(1, 10)), "var/log"):
        _refuse_links(root, folder)
    status = root / _STATUS
    stanzas = _read(root, _STATUS).split("\n\n")
    named = [(stanza, re.match(r"\s*Package: (\S+)", stanza)) for stanza in stanzas]
    texts = [
        stanza.replace("Status: install ok installed", "Status: install ok unpacked", 1)
        if name is not None and name[1] in waiting
        else stanza
        for stanza, name in named
    ]
    status.write_bytes("\n\n".join(texts).encode("utf-8", "surrogateescape"))
    for folder in ("updates", "triggers", "alternatives", "parts"):
        _refuse_links(root, f"var/lib/dpkg/{folder}")
        (root / "var/lib/dpkg" / folder).mkdir(exist_ok=True)
    for number in range(1, 10):
        (root / f"usr/share/man/man{number}").mkdir(parents=True, exist_ok=True)
    (root / "var/log").mkdir(exist_ok=True)
    for deb in debian.extra:
        files = control_files(store.archive(deb.sha256))
        same = re.search(rb"^Multi-Arch:\s*same\s*$", files["control"], re.MULTILINE)
        name = f"{deb.name}:{deb.architecture}" if same else deb.name
        for kind, data in files.items():
            if kind not in {"control", "md5sums"}:
                path = root / _DPKG_INFO / f"{name}.{kind}"
                path.unlink(missing_ok=True)
                path.write_bytes(data)
                path.chmod(0o755 if kind in {"preinst", "postinst", "prerm", "postrm", "config"} else 0o644)


def _refuse_links(root: Path, folder: str) -> None:
    """Return when no part of a path below `root` (host folder) is a link: packages made them, and they lead anywhere on this host."""
    place = root
    for part in folder.split("/"):
        place /= part
        if place.is_symlink():
            raise BuildError(
                f"a Debian package has a link at /{place.relative_to(root)}, where dpkg needs a folder",
                hint="leave that package away",
            )


def _read(root: Path, path: str) -> str:
    """Return the text of a small file below `root` (host folder), which a script may have made anything of. Raises BuildError."""
    try:
        with open_below(root, path) as stream:
            data = stream.read(_LARGEST_STATUS)
    except OSError as error:
        raise BuildError(
            f"the set-up scripts of the Debian packages left no /{path} that can be read: {error.strerror}",
            hint="leave the package away that does this",
        ) from error
    return data.decode("utf-8", "surrogateescape")


def _refuse_unconfigured(ran: Ran) -> None:
    """Return when all packages are configured. Raises BuildError naming those that are not, with dpkg's words."""
    stanzas = _read(ran.root, _STATUS).split("\n\n")
    left = [
        name[1]
        for stanza in stanzas
        if (name := re.match(r"\s*Package: (\S+)", stanza)) and "Status: install ok installed" not in stanza
    ]
    if left:
        raise BuildError(
            f"the set-up scripts of {printable(', '.join(left[:5]))}{' and others' if len(left) > 5 else ''} failed:\n"
            f"{ran.log[-2000:]}",
            hint="they ran in the sandbox, without network and without root; leave the package away, or report it",
        )


def post_build(script: PostBuild, repository: Tree, tools: Tools) -> tuple[Tree, ScriptLock]:
    """Return the tree that the repository's postBuild makes of the image, and what it holds. Raises BuildError when it fails."""
    key = content_hash(
        {
            "layer": "postBuild",
            "layout": LAYOUT,
            "script": script.path,
            "cwd": script.cwd,
            "trees": [tree.key for tree in script.trees],
            "env": dict(script.env),
            "policy": str(script.policy) if script.policy is not None else "none",
        }
    )
    place = f"{REPOSITORY}/{script.path}"

    def run(scratch: Path) -> Ran:
        copy = scratch / "script"
        shutil.copyfile(script.file, copy)
        copy.chmod(0o755)
        call = ScriptCall(
            what=f"Running {printable(script.path)}",
            trees=script.trees,
            argv=(place,),
            env=script.env,
            writable=(script.prefix, REPOSITORY, HOME),
            user=USER,
            cwd=script.cwd,
            binds=(Bind(copy, place),),
            policy=script.policy,
        )
        return run_script(call, scratch, tools)

    def chosen(ran: Ran) -> list[bytes]:
        _refuse_gone(script.path, ran)
        changed = [path for path in ran.changed if not _LEFT_BY_USERS.match(path)]
        inside = REPOSITORY.strip("/").encode() + b"/"
        if any(path.startswith(inside) for path in changed):
            # a run takes the repository from the uppermost tree that has it, and so it has to be whole there
            every = {entry.path for entry in repository.entries if entry.path.startswith(inside)}
            changed = sorted({*changed, *every})
        return changed

    return _made(key, _Running(run, chosen, USER, str(script.policy or "none"), script.path), tools)


def home_note(pinned: ScriptLock) -> str:
    """Return a sentence on what the script left in the home folder, "" for nothing there: a run's home is a new one, in memory."""
    inside = HOME.strip("/") + "/"
    left = sorted(path for path, told in pinned.files.items() if path.startswith(inside) and told)
    if not left:
        return ""
    return (
        f"{printable(pinned.script)} left {_files(len(left))} in the home folder (first /{printable(left[0])}): `docker run` of the image "
        "has them, `reprolake run` gives each run an empty home; a script can put them into the repository's folder or into sys.prefix"
    )


def _refuse_gone(path: str, ran: Ran) -> None:
    if ran.gone:
        shown = ", ".join(printable("/" + one.decode("utf-8", "replace")) for one in ran.gone[:5])
        raise BuildError(
            f"{printable(path)} removed {_files(len(ran.gone))} of what was there before ({shown}), and a layer cannot take anything away",
            hint="where it installs another version of a package: declare that version in the environment's own file instead",
        )


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _made(key: str, running: _Running, tools: Tools) -> tuple[Tree, ScriptLock]:
    """Return the tree of that key and its pin, by running the script when either is missing."""
    known, kept = tools.store.tree(key), tools.store.get(_KIND, key, _Kept)
    if known is not None and kept is not None:
        return known, kept.script
    with tools.store.scratch() as scratch:
        ran = running.run(scratch)
        tree = tools.store.make_tree(
            key, lambda root: take(ran, running.chosen(ran), root), owner=running.owner
        )
    pin = _pin(tree, ran, running)
    tools.store.put(_KIND, key, _Kept(script=pin))
    return tree, pin


def _pin(tree: Tree, ran: Ran, running: _Running) -> ScriptLock:
    files = {
        entry.path.decode("utf-8", "backslashreplace"): entry.sha256.hex()[:16]
        or entry.target.decode("utf-8", "backslashreplace")
        for entry in tree.entries
    }
    whole = hashlib.sha256()
    for entry in tree.entries:
        whole.update(repr(tuple(getattr(entry, name) for name in entry.__struct_fields__)).encode())
    return ScriptLock(
        script=running.script,
        files=files,
        sha256=whole.hexdigest(),
        policy=running.policy,
        reached=ran.reached,
    )


def refuse_other(pinned: ScriptLock, found: ScriptLock) -> None:
    """Return when a script left what the lock says. Raises BuildError naming the first file that came out otherwise."""
    if pinned.sha256 == found.sha256:
        return
    what = printable(pinned.script) or "the set-up of the Debian packages"
    names = sorted(pinned.files.keys() | found.files.keys())
    first = next(
        (name for name in names if pinned.files.get(name) != found.files.get(name)), "a mode or an owner"
    )
    why = "it depends on something that no lock pins: a time, a random number, the order of something"
    if pinned.reached:
        why = f"it fetched from {', '.join(sorted({one.host for one in pinned.reached}))}, where something changed"
    raise BuildError(f"{what} left something else than the lock has: first {printable(first)}", hint=why)
