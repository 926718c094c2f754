"""Extensions are compiled with a pinned toolchain; what a build lacks of the system is named and can be had."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sdists import c_module, sdist, setup_py
from source_builds import AS_OF, built, folder, forget, locked, run_python, second_store, session_on

from reprolake.lock_file import write_lock
from reprolake.options import UsageError
from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder.engines.apt_hints import PACKAGES
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.solvers.debian_archive import fetch_catalogue, fetch_release

pytestmark = pytest.mark.engine("bubblewrap")


# ---------------------------------------------------------------------- compilers
EXTENSION = "ext_modules=[Extension('rl_c', ['rl_c.c'])]"
FORTRAN = """\
import subprocess
subprocess.run("gfortran -c -fPIC half.f90 -o half.o".split(), check=True)
"""
HALF = """\
function half(x) bind(c) result(y)
  use iso_c_binding
  integer(c_int), value :: x
  integer(c_int) :: y
  print *, "half of", x
  y = x / 2
end function
"""


def test_an_extension_in_c_is_compiled_to_the_same_bytes_everywhere(tmp_path, here, index):
    """The toolchain is pinned and no part of the image; the module works, and another store compiles the same."""
    index.sdists |= sdist(
        "rl-c", "1.0", setup__py=setup_py("rl-c", "1.0", EXTENSION), rl_c__c=c_module("rl_c")
    )
    link = folder(tmp_path / "r", requirements__txt="rl-c\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    made = obtained.lock
    (pin,) = made.built
    assert pin.toolchain
    assert pin.filename == "rl_c-1.0-cp311-cp311-linux_x86_64.whl"
    assert {"gcc", "g++", "gfortran", "make", "python3.11-dev"} <= {deb.name for deb in made.debian.toolchain}
    assert made.debian.extra == ()
    assert (
        run_python(obtained, here, "import rl_c, shutil; print(rl_c.f(), shutil.which('gcc'))") == "42 None\n"
    )
    first = obtain_image(obtained, here)
    forget(made, here)
    with session_on(second_store(here, tmp_path / "other"), index) as other:
        forget(made, other)
        assert obtain_image(obtained, other).id == first.id


def test_what_fortran_is_linked_with_joins_the_image(tmp_path, here, index):
    """A compiled module finds the runtime library of its language, which the base does not have."""
    more = "ext_modules=[Extension('rl_c', ['rl_c.c'], extra_objects=['half.o'], libraries=['gfortran'])]"
    files = {
        "setup__py": FORTRAN + setup_py("rl-f", "2.0", more),
        "half__f90": HALF,
        "rl_c__c": c_module("rl_c", "return PyLong_FromLong(half(42));", "int half(int x);"),
    }
    index.sdists |= sdist("rl-f", "2.0", **files)
    link = folder(tmp_path / "r", requirements__txt="rl-f\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    assert "libgfortran5" in {deb.name for deb in obtained.lock.debian.extra}
    assert "libgfortran5 joins the image: rl-f is linked with its libgfortran.so.5" in obtained.lock.notes
    assert "21\n" in run_python(obtained, here, "import rl_c; print(rl_c.f())")


def test_a_real_extension_of_the_index_is_compiled(tmp_path, here):
    """python-Levenshtein 0.12.2 came as source only, with a setup.py that asks for nothing."""
    link = folder(tmp_path / "r", requirements__txt="python-Levenshtein==0.12.2\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    assert built(obtained.lock) == {"python-levenshtein": "0.12.2"}
    text = run_python(obtained, here, "import Levenshtein; print(Levenshtein.distance('pulsar', 'quasar'))")
    assert text == "2\n"


def test_a_compilers_refusal_is_told(tmp_path, here, index):
    """The error holds the compiler's words with file and line."""
    source = c_module("rl_c", "return nonsense;")
    index.sdists |= sdist("rl-c", "3.0", setup__py=setup_py("rl-c", "3.0", EXTENSION), rl_c__c=source)
    with pytest.raises(SourceBuildError, match=r"rl_c\.c:3:.*error: .*nonsense"):
        locked(folder(tmp_path / "r", requirements__txt="rl-c\n"), here)


# ---------------------------------------------------------------------- tools and headers of the system
def test_a_missing_tool_is_named_and_can_be_had(tmp_path, here, index):
    """A build that runs bison is told of `--apt bison`, which pins it beside the compilers and stands in the lock."""
    text = "import subprocess\nsubprocess.run(['bison', '--version'], check=True)\n" + setup_py("rl-b", "1.0")
    index.sdists |= sdist("rl-b", "1.0", setup__py=text)
    link = folder(tmp_path / "r", requirements__txt="rl-b\n")
    with pytest.raises(SourceBuildError) as caught:
        locked(link, here)
    assert "--apt bison" in caught.value.hint
    made = locked(link, here, apt=("bison",))
    assert "bison" in {deb.name for deb in made.debian.toolchain}
    assert made.debian.extra == ()
    assert "--apt bison" in made.overrides


def test_a_missing_header_is_named_and_what_it_stands_for_joins_the_image(tmp_path, here, index):
    """With `--apt libfftw3-dev` the module compiles, and its library is in the image without the headers."""
    source = c_module("rl_w", "return PyUnicode_FromString(fftw_version);", "#include <fftw3.h>")
    more = "ext_modules=[Extension('rl_w', ['rl_w.c'], libraries=['fftw3'])]"
    index.sdists |= sdist("rl-w", "1.0", setup__py=setup_py("rl-w", "1.0", more), rl_w__c=source)
    link = folder(tmp_path / "r", requirements__txt="rl-w\n")
    with pytest.raises(SourceBuildError, match=r"fatal error: fftw3\.h") as caught:
        locked(link, here)
    assert "--apt libfftw3-dev" in caught.value.hint
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11", apt=("libfftw3-dev",)), here)
    extra = {deb.name for deb in obtained.lock.debian.extra}
    assert "libfftw3-double3" in extra
    assert "libfftw3-dev" not in extra
    assert run_python(obtained, here, "import rl_w; print(rl_w.f())").startswith("fftw-3")


def test_debian_has_what_the_hints_name(here):
    """Every package of the table is in the suite of the usual Python."""
    offered = solve_debian("3.11", (), here.tools).debian
    now = datetime.now(UTC)
    releases = tuple(
        fetch_release(item.archive, item.suite, here.tools.site, here.tools.downloader, now)
        for item in offered.releases
    )
    tools = here.tools
    catalogue = fetch_catalogue(releases, tools.site, tools.downloader, tools.store, SILENT)
    assert [name for name in PACKAGES if name not in catalogue.packages] == []


def test_apt_is_no_change_to_a_lock(tmp_path, here):
    """A lock decides everything, and `--apt` without anything to build is told to be of no use."""
    link = folder(tmp_path / "r", runtime__txt="python-3.11\n")
    made = locked(link, here, apt=("bison",))
    assert "--apt bison: of no use, for nothing is built from source" in made.notes
    write_lock(made, tmp_path / "a.lock")
    with pytest.raises(UsageError, match="--apt cannot change it"):
        obtain_lock(Request(link=str(tmp_path / "a.lock"), apt=("bison",)), here)
