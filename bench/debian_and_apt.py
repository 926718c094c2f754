"""`python -m bench.debian_and_apt`: writes docs/reference/debian-and-apt.md, our choice of packages beside a real apt's."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.apt_root import AptRoot
from reprolake.options import load_options
from reprolake.pipeline import Session, open_session
from reprolake_builder.documents.environment import Asked
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.debian import base_demands, resolve
from reprolake_builder.solvers.debian_archive import Catalogue, fetch_catalogue, fetch_release, suites_of
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "debian-and-apt.md"
STORE = ROOT / ".cache" / "bench" / "store"
SETS = {
    "compilers": "build-essential gfortran cmake",
    "R": "r-base r-cran-tidyverse",
    "TeX": "texlive-latex-extra texlive-fonts-recommended cm-super dvipng latexmk",
    "what ROOT is built with": "libboost-all-dev libxpm-dev libxft-dev libgl2ps-dev libglew-dev libgsl-dev libcfitsio-dev "
    "libfftw3-dev libtbb-dev libxrootd-dev libgraphviz-dev qtbase5-dev libhdf5-mpi-dev",
    "Java": "default-jdk maven ant",
    "astronomy": "python3-astropy python3-scipy python3-matplotlib python3-pandas python3-h5py",
    "maps": "libgdal-dev gdal-bin python3-gdal qgis",
    "Octave": "octave octave-image octave-statistics",
    "pictures and films": "imagemagick ffmpeg graphviz ghostscript inkscape",
    "Jupyter and Node": "jupyter jupyter-notebook pandoc nodejs npm",
    "databases": "postgresql postgis default-libmysqlclient-dev unixodbc-dev",
    "tools and MPI": "git curl wget openssh-client libcurl4-openssl-dev mpich",
}
INTRODUCTION = """# Our choice of Debian packages beside apt's

This page is written by `python -m bench.debian_and_apt`, which asks a real apt ({apt}) the same question: given the same signed
lists of packages, what does `apt-get install --no-install-recommends` put into an empty root? Asked for are the packages of our
base and those of the set. The lists are of {date}.

"""
KINDS = """
## Why sets can differ

What follows is held by tests/integration/test_debian_as_apt.py, which asks apt about suites made up for the purpose.

- **The base names `usr-is-merged`.** Essential packages need `usrmerge | usr-is-merged` in bookworm. Apt takes the first, which
  converts a running system and brings perl; our base demands the second. Above, apt was asked for it, too.
- **The order of demands.** Both meet needs depth first, package by package, once everything that was demanded is there; what is
  there already is enough for an alternative. Apt goes by the order of its cache, we by name, so that a lock does not change when
  lines of `apt.txt` change places. Where an alternative's second half comes with a later demand, either may take one more.
- **Equal providers.** A virtual package without a first choice is met by the more important provider. Where nothing else
  tells two apart, apt goes by the order of its cache, we by name.
- **Conflicts known before.** We look at what must come before we choose; apt may choose what a later demand rules out, and
  ends with "unmet dependencies" where we find the other alternative.
- **Choices taken back.** Where a choice turns out wrong later, apt's problem resolver may take it back; we never do. The error
  names both packages and what led to each: ask for one of the alternatives in `apt.txt`.
- **A virtual package on demand** is an error for both when several packages provide it: name one.
- **What the base has already** is not installed again, and never changes for what is asked for. Versions are the newest of the
  suite, its updates and its security fixes, as with apt, whose priorities for these three are equal.

Recommended packages are never taken; Conflicts and Breaks are always respected. Nothing is removed, held back or downgraded.
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite's packages, and an apt that knows the same ones."""

    python: str
    catalogue: Catalogue
    apt: AptRoot


@dataclass(frozen=True, slots=True)
class Row:
    """What both choose for a set: how many packages, and which only one of them."""

    name: str
    demands: tuple[str, ...]
    ours: int
    theirs: int
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]
    why: str


def open_suite(python: str, session: Session, folder: Path) -> Suite:
    """Return the suite that has this Python, in its newest signed state."""
    site, downloader, store = session.tools.site, session.tools.downloader, session.tools.store
    suites = suites_of(PYTHONS_ON_OFFER[python].suite)
    releases = tuple(
        fetch_release(archive, suite, site, downloader, session.now) for archive, suite in suites
    )
    catalogue = fetch_catalogue(releases, site, downloader, store, SILENT)
    lines = []
    for release in releases:
        signed = release.signed
        dists = folder / signed.archive / "dists" / signed.suite
        (dists / "main/binary-amd64").mkdir(parents=True)
        url = f"{site.archives[signed.archive][0]}/dists/{signed.suite}/InRelease"
        (dists / "InRelease").write_bytes(downloader.get(url))
        shutil.copy(store.archive(release.index[1]), dists / "main/binary-amd64/Packages.xz")
        lines.append(f"deb file:{folder / signed.archive} {signed.suite} main")
    return Suite(python, catalogue, AptRoot(folder / "root", lines))


def compare(name: str, demands: tuple[str, ...], suite: Suite) -> Row:
    """Return what both choose for these demands beside the base."""
    base, extra, _ = resolve(
        suite.catalogue, suite.python, tuple(Asked(text=name, origin="") for name in demands)
    )
    ours = {deb.name: deb.version for deb in (*base, *extra)}
    theirs = suite.apt.installs(*base_demands(suite.catalogue, suite.python), *demands)
    apart = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    only_ours, only_theirs = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    why = [f"{name} is {ours[name]} here, {theirs[name]} there" for name in sorted(apart)]
    why += _reasons(suite.catalogue, only_ours, ours, theirs) + _reasons(
        suite.catalogue, only_theirs, theirs, ours
    )
    return Row(name, demands, len(ours), len(theirs), tuple(only_ours), tuple(only_theirs), "; ".join(why))


def _reasons(
    catalogue: Catalogue, only: Iterable[str], having: Mapping[str, str], lacking: Mapping[str, str]
) -> list[str]:
    """Return the needs with alternatives that brought a package to one side only."""
    found = []
    for wanted in only:
        for name in sorted(having.keys() & lacking.keys()):
            for group in catalogue.packages[name].relations("Pre-Depends", "Depends"):
                names = [relation.name for relation in group]
                if wanted in names:
                    others = [other for other in names if other in lacking]
                    found.append(
                        f"{name} needs {' | '.join(names)}, and the other side has {', '.join(others)}"
                    )
    return found


def page(session: Session, folder: Path) -> Iterator[str]:
    """Yield the parts of the page as they are known."""
    apt = AptRoot.version()
    yield INTRODUCTION.format(apt=apt, date=f"{datetime.now(UTC):%Y-%m-%d}")
    for python, offer in reversed(PYTHONS_ON_OFFER.items()):
        suite = open_suite(python, session, folder / offer.suite)
        yield f"## {offer.suite}, with Python {python}\n\n"
        yield "| Set | Asked for | Ours | Apt | Only ours | Only apt |\n|---|---|---:|---:|---|---|\n"
        reasons = []
        for name, text in {"the base alone": "", **SETS}.items():
            offered = tuple(package for package in text.split() if _is_on_offer(package, suite.catalogue))
            row = compare(name, offered, suite)
            asked = ", ".join(f"`{package}`" for package in row.demands)
            only = [", ".join(names) or "-" for names in (row.only_ours, row.only_theirs)]
            yield f"| {row.name} | {asked} | {row.ours} | {row.theirs} | {' | '.join(only)} |\n"
            if row.why:
                reasons.append(f"- {row.name}: {row.why}.\n")
        yield "\n" + "".join(reasons) + "\n" if reasons else "\n"
    yield KINDS.lstrip("\n")


def _is_on_offer(name: str, catalogue: Catalogue) -> bool:
    return name in catalogue.packages or name in catalogue.providers


def main() -> int:
    """Write the page."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_session(load_options(os.environ, str(STORE)), SILENT, datetime.now(UTC)) as session,
    ):
        parts = []
        for part in page(session, Path(folder)):
            print(part, end="", flush=True)
            parts.append(part)
    PAGE.write_text("".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
