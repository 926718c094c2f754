"""What the maintainer scripts of Debian's base would have done, and the files that concern the whole set of packages.

All of it follows from files that the packages hold. Not stood in for: adduser, pam-auth-update, the database of
update-alternatives (the links themselves are made), OpenSSL's hash links (a bundle is in their place).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from reprolake_builder.debs.archive import control_files
from reprolake_builder.debs.scripts import Alternative, read_postinst
from reprolake_builder.documents.lock import DebPackage
from reprolake_builder.engines.debian_tree import TreeMaker, clean
from reprolake_builder.engines.library_cache import library_cache
from reprolake_builder.image import HOME, USER
from reprolake_builder.store import Store
from reprolake_builder.trees import Owned

USER_NAME = "jovyan"
_SHADOW_GROUP = 42
_MAIL_GROUP = 8
_STICKY = Owned(0o1777)

# Before the packages, so that their files go where the links lead.
_LINKS_FIRST = {
    **{name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
    "var/run": "/run",
    "var/lock": "/run/lock",
}
_FOLDERS = {
    **dict.fromkeys(("dev", "proc", "sys", "run", "home", "mnt", "media", "opt", "srv"), Owned(0o755)),
    **dict.fromkeys(("etc/opt", "var/opt", "var/lib/dpkg/info", "var/lib/dpkg/updates"), Owned(0o755)),
    **{
        f"usr/local/{name}": Owned(0o755)
        for name in ("bin", "etc", "games", "include", "lib", "sbin", "share", "src")
    },
    "root": Owned(0o700),
    "tmp": _STICKY,
    "var/tmp": _STICKY,
    "run/lock": _STICKY,
    "var/mail": Owned(0o2775, 0, _MAIL_GROUP),
}
_COPIES = (
    ("usr/share/base-files/profile", "etc/profile"),
    ("usr/share/base-files/motd", "etc/motd"),
    ("usr/share/base-files/dot.bashrc", "root/.bashrc"),
    ("usr/share/base-files/dot.profile", "root/.profile"),
    ("usr/share/base-files/nsswitch.conf", "etc/nsswitch.conf"),  # bullseye
    ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
)
_TEXTS = {
    "etc/hostname": "reprolake\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "etc/resolv.conf": "",
    "etc/timezone": "Etc/UTC\n",
}
_LINKS = {
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "etc/mtab": "/proc/self/mounts",
    "etc/dpkg/origins/default": "debian",
    "var/spool/mail": "../mail",
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
}
_CERTIFICATES = "usr/share/ca-certificates/mozilla"


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The control files of every package of the image, by package name and then by file name."""

    controls: Mapping[str, Mapping[str, bytes]]


def lay_foundations(maker: TreeMaker) -> None:
    """Make the links of a merged /usr, and those of base-files, in an empty tree."""
    for name, target in _LINKS_FIRST.items():
        if target.startswith("usr/"):
            maker.folder(target.encode())
        maker.link(name.encode(), target.encode())
    maker.folder(b"run/lock", _STICKY)


def configure_base(maker: TreeMaker) -> None:
    """Write what the scripts of the base's own packages would have written."""
    for name, owned in _FOLDERS.items():
        maker.folder(name.encode(), owned)
    for source, copy in _COPIES:
        if (data := maker.read(source)) is not None:
            maker.write(copy, data)
    for name, text in _TEXTS.items():
        maker.write(name, text.encode())
    for name, target in _LINKS.items():
        if maker.locate(name.encode(), follow=False) not in maker.nodes:
            maker.link(name.encode(), target.encode())
    _write_certificates(maker)
    _write_shells(maker)


def _write_certificates(maker: TreeMaker) -> None:
    """Write the bundle and the links of update-ca-certificates; OpenSSL finds the bundle as its cert.pem."""
    names = [path for path in maker.listed(_CERTIFICATES) if path.endswith(b".crt")]
    bundle = bytearray()
    chosen = bytearray()
    for path in names:
        data = maker.read(path) or b""
        bundle += data if data.endswith(b"\n") else data + b"\n"
        chosen += path.removeprefix(b"usr/share/ca-certificates/") + b"\n"
        name = posixpath.basename(path).removesuffix(b".crt") + b".pem"
        maker.link(b"etc/ssl/certs/" + name, b"/" + path)
    maker.write("etc/ca-certificates.conf", bytes(chosen))
    maker.write("etc/ssl/certs/ca-certificates.crt", bytes(bundle))


def _write_shells(maker: TreeMaker) -> None:
    shells = (
        maker.read("usr/share/debianutils/shells") or b"# /etc/shells: valid login shells\n"
    ).splitlines()
    known = {b"/bin/sh", b"/bin/bash", b"/bin/dash"}
    shells += sorted({*known, *(b"/usr" + shell for shell in known)} - set(shells))
    maker.write("etc/shells", b"\n".join(shells) + b"\n")


def write_listings(
    maker: TreeMaker, packages: tuple[DebPackage, ...], listings: Mapping[str, bytes], store: Store
) -> None:
    """Write for each package the list of its files and their checksums, so that `dpkg -L` and `dpkg -S` answer."""
    for deb in packages:
        files = control_files(store.archive(deb.sha256))
        same = re.search(rb"^Multi-Arch:\s*same\s*$", files["control"], re.MULTILINE)
        name = f"{deb.name}:{deb.architecture}" if same else deb.name
        maker.write(f"var/lib/dpkg/info/{name}.list", listings[deb.name])
        maker.write(f"var/lib/dpkg/info/{name}.md5sums", files.get("md5sums", b""))


def configure_system(maker: TreeMaker, facts: SystemFacts) -> None:
    """Write the files about the whole set: accounts, the package database, alternatives, the cache of libraries."""
    _write_accounts(maker)
    _write_status(maker, facts)
    for alternative in _winners(facts):
        _link_alternative(maker, alternative)
    _copy_configurations(maker, facts)
    maker.write("etc/ld.so.cache", library_cache(maker))


def _write_accounts(maker: TreeMaker) -> None:
    uid, gid = USER
    users = _fields(maker.read("usr/share/base-passwd/passwd.master"))
    groups = _fields(maker.read("usr/share/base-passwd/group.master"))
    own = [USER_NAME, "x", str(uid), str(gid), "", HOME, "/bin/bash"]
    users = [[user[0], "x", *user[2:]] for user in users] + [own]
    groups = [[group[0], "x", *group[2:]] for group in groups]
    private = Owned(0o640, 0, _SHADOW_GROUP)
    maker.write("etc/passwd", _lines(users))
    maker.write("etc/group", _lines(groups))
    # No password opens any account, and none ever expires.
    maker.write(
        "etc/shadow", _lines([[user[0], "*", "", "0", "99999", "7", "", "", ""] for user in users]), private
    )
    maker.write("etc/gshadow", _lines([[group[0], "*", "", group[3]] for group in groups]), private)
    maker.folder(HOME.lstrip("/").encode(), Owned(0o755, uid, gid))


def _fields(text: bytes | None) -> list[list[str]]:
    return [line.split(":") for line in (text or b"").decode().splitlines() if line]


def _lines(rows: list[list[str]]) -> bytes:
    return "".join(":".join(row) + "\n" for row in rows).encode()


def _write_status(maker: TreeMaker, facts: SystemFacts) -> None:
    stanzas = [
        re.sub(
            rb"\A(Package:[^\n]*)", rb"\1\nStatus: install ok installed", files["control"].strip(), count=1
        )
        for _, files in sorted(facts.controls.items())
    ]
    maker.write("var/lib/dpkg/status", b"\n\n".join(stanzas) + b"\n")
    maker.write("var/lib/dpkg/available", b"")
    maker.write("var/lib/dpkg/info/format", b"1\n")


def _winners(facts: SystemFacts) -> list[Alternative]:
    """Return for each generic name the choice of highest priority; of equals the first by package name."""
    best: dict[str, Alternative] = {}
    for _, files in sorted(facts.controls.items()):
        for alternative in read_postinst(files.get("postinst", b"")).alternatives:
            known = best.get(alternative.master.name)
            if known is None or alternative.priority > known.priority:
                best[alternative.master.name] = alternative
    return [best[name] for name in sorted(best)]


def _link_alternative(maker: TreeMaker, alternative: Alternative) -> None:
    """Make the links of a choice, as far as what they lead to is there (manual pages are not)."""
    if maker.find(clean(alternative.master.path)) is None:
        return
    for link, name, path in (alternative.master, *alternative.slaves):
        place = maker.locate(clean(link), follow=False)
        if maker.locate(clean(path)) in maker.nodes and place not in maker.nodes:
            maker.link(place, f"/etc/alternatives/{name}".encode())
            maker.link(clean(f"etc/alternatives/{name}"), path.encode())


def _copy_configurations(maker: TreeMaker, facts: SystemFacts) -> None:
    """Make the configuration files that ucf would, where a package has what they are made from and nothing is there yet."""
    for _, files in sorted(facts.controls.items()):
        for source, path in read_postinst(files.get("postinst", b"")).copies:
            data = maker.read(clean(source))
            if data is not None and maker.locate(clean(path)) not in maker.nodes:
                maker.write(maker.locate(clean(path)), data)
