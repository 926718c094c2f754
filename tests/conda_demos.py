"""Small conda packages, each for one thing that packages do."""

from __future__ import annotations

from datetime import UTC, datetime

from conda_packages import PLACEHOLDER, File, Package

_ACTIVATE = """\
#!/bin/bash
# As packages of geographic data do it.
if [[ -n "${DEMO_DATA}" ]]; then
    export _CONDA_SET_DEMO_DATA="${DEMO_DATA}"
fi
if [ -d "${CONDA_PREFIX}/share/activated" ]; then
    export DEMO_DATA="${CONDA_PREFIX}/share/activated"
fi
export DEMO_WORDS='two words'
"""
_LONG = "-c 'import sys; print(1)' " + "x" * 110
_NO_MODULE = "the program of that name, and no module"


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timely(version: str, day: str, form: str = ".conda", number: int = 0) -> Package:
    """Return a release of the package `timely`, built on that day."""
    module = f"VERSION = {version!r}\n"
    files = {"site-packages/timely.py": File.text(module)}
    files[f"site-packages/timely-{version}.dist-info/METADATA"] = File.text(
        f"Metadata-Version: 2.1\nName: timely\nVersion: {version}\n"
    )
    return Package(
        "timely",
        version,
        files,
        build=f"py_{number}",
        build_number=number,
        depends=("python >=3",),
        noarch="python",
        timestamp=_day(day),
        form=form,
    )


def demos() -> tuple[Package, ...]:
    """Return them all."""
    return (
        timely("1.0", "2021-01-01", ".tar.bz2"),
        timely("1.0", "2021-02-01", number=1),
        timely("2.0", "2023-06-01"),
        *_with_prefixes(),
        *_with_links(),
        *_with_scripts(),
        *_with_conditions(),
    )


def _with_prefixes() -> tuple[Package, ...]:
    """Packages whose files name the folder that they are installed in."""
    return (
        Package(
            "prefixed",
            "1.0",
            {
                "bin/prefixed": File.text(
                    f"#!/bin/sh\necho {PLACEHOLDER} and {PLACEHOLDER}/lib\n", executable=True
                ),
                "bin/prefixed-long": File.text(f"#!{PLACEHOLDER}/bin/python {_LONG}\n", executable=True),
                "lib/prefixed.bin": File(
                    b"\0\1"
                    + f"{PLACEHOLDER}/share:{PLACEHOLDER}/etc".encode()
                    + b"\0tail\0"
                    + bytes(range(256)),
                    prefix="binary",
                ),
                "share/prefixed/plain.txt": File(f"{PLACEHOLDER} is not marked\n".encode()),
            },
        ),
        Package(
            "legacy",
            "0.9",
            {
                "bin/legacy": File.text(f"#!/bin/sh\necho {PLACEHOLDER}\n", executable=True),
                "lib/legacy.bin": File(f"\0{PLACEHOLDER}\0".encode(), prefix="binary"),
                "share/legacy.txt": File(b"as of 2015\n"),
            },
            form=".tar.bz2",
            legacy=True,
            timestamp=_day("2015-05-05"),
        ),
    )


def _with_links() -> tuple[Package, ...]:
    """A package with links, and one that is linked with it."""
    return (
        Package(
            "linked",
            "1.2",
            {
                "lib/liblinked.so.1.2": File(b"no library\n", executable=True),
                "lib/liblinked.so.1": File(target="liblinked.so.1.2"),
                "lib/liblinked.so": File(target="liblinked.so.1"),
                "share/linked-1.2/data.txt": File(b"1.2\n"),
                "share/linked": File(target="linked-1.2"),
            },
            run_exports=("linked >=1.2,<2.0a0",),
        ),
        Package("uses-linked", "1.0", {"share/uses.txt": File(b"x\n")}, depends=("linked >=1.2,<2.0a0",)),
    )


def _with_scripts() -> tuple[Package, ...]:
    """Packages with something to run."""
    return (
        Package(
            "link-scripts",
            "1.0",
            {
                "share/link-scripts.txt": File(b"x\n"),
                "bin/.link-scripts-post-link.sh": File.text(
                    "#!/bin/bash\necho ran > $PREFIX/share/ran\n", executable=True
                ),
                "bin/.link-scripts-pre-unlink.sh": File.text("#!/bin/bash\nexit 0\n", executable=True),
            },
        ),
        Package(
            "activated",
            "1.0",
            {
                "etc/conda/activate.d/activated_activate.sh": File.text(_ACTIVATE),
                "etc/conda/deactivate.d/activated_deactivate.sh": File.text("unset DEMO_DATA\n"),
                "share/activated/data.txt": File(b"x\n"),
            },
        ),
        Package(
            "graphviz",
            "8.1.0",
            {
                "bin/dot": File.text(
                    f"#!/bin/sh\n# {_NO_MODULE}\necho dot - graphviz version 8.1.0\n", executable=True
                )
            },
        ),
    )


def _with_conditions() -> tuple[Package, ...]:
    """Packages that want or rule out others, and data of two dates."""
    return (
        Package("needs-gpu", "1.0", {"share/gpu.txt": File(b"x\n")}, depends=("__cuda >=11",)),
        Package("needs-new-glibc", "1.0", {"share/glibc.txt": File(b"x\n")}, depends=("__glibc >=2.99",)),
        Package("narrow", "1.0", {"share/narrow.txt": File(b"x\n")}, constrains=("timely <2",)),
        Package(
            "tinydata",
            "2020a",
            {"share/tinydata/x.txt": File(b"old\n")},
            noarch="generic",
            timestamp=_day("2020-02-02"),
        ),
        Package(
            "tinydata",
            "2024b",
            {"share/tinydata/x.txt": File(b"new\n")},
            noarch="generic",
            timestamp=_day("2024-07-01"),
        ),
    )


def others() -> tuple[Package, ...]:
    """Return what another channel has: a newer release of what the first has, and something of its own."""
    own = Package("only-here", "1.0", {"share/only-here.txt": File(b"x\n")}, noarch="generic")
    return (timely("3.0", "2023-07-01"), own)
