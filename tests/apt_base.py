"""A base image with apt, as the ones of Debian are, made here from Debian's packages: no registry of images is needed."""

from __future__ import annotations

import fcntl
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from reprolake_builder.site import Site

_CACHE = Path(__file__).parent.parent / ".cache/tests/apt-base"
_AUTHORITIES = "/etc/host-ca.pem"
_TRUSTED = ("SSL_CERT_FILE", "PIP_CERT", "GIT_SSL_CAINFO")


def apt_base(suite: str, site: Site) -> str:
    """Return the name of a docker image with the smallest Debian that has apt, and this host's authorities.

    Its files are kept below .cache/tests; raises CalledProcessError.
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    packed = _CACHE / f"{suite}.tar"
    with (_CACHE / "making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not packed.exists():
            _make(suite, site, packed)
        authorities = Path(site.ca_bundle or "/etc/ssl/certs/ca-certificates.crt").read_bytes()
        tag = f"reprolake-test/apt-{suite}:{hashlib.sha256(authorities).hexdigest()[:16]}"
        if subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False).returncode:
            _load(packed, authorities, tag)
    return tag


def _make(suite: str, site: Site, packed: Path) -> None:
    root, partial = _CACHE / f"{suite}-root", packed.with_suffix(".partial")
    shutil.rmtree(root, ignore_errors=True)
    mirror = site.archives["debian"][0]
    make = ["debootstrap", "--variant=minbase", suite, root, mirror]
    subprocess.run([*map(str, make)], check=True, capture_output=True, timeout=500)
    for deb in (root / "var/cache/apt/archives").glob("*.deb"):
        deb.unlink()
    subprocess.run(["tar", "--create", "--file", partial, "--directory", root, "."], check=True)
    shutil.rmtree(root)
    partial.rename(packed)


def _load(packed: Path, authorities: bytes, tag: str) -> None:
    changes = [part for name in _TRUSTED for part in ("--change", f"ENV {name}={_AUTHORITIES}")]
    bare = f"{tag}-bare"
    subprocess.run(["docker", "import", *changes, packed, bare], check=True, capture_output=True)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        files = {"Dockerfile": f"FROM {bare}\nCOPY ca.pem {_AUTHORITIES}\n".encode(), "ca.pem": authorities}
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", tag, "-"],
        input=context.getvalue(),
        check=True,
        capture_output=True,
    )
