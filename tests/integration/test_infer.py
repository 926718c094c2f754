"""`--infer`: what notebooks import and nothing declares is added as of the date, and said to be."""

from __future__ import annotations

import nbformat
import pytest
from pypi_index_server import Upload
from source_builds import folder, locked

from reprolake.inferring import distribution_of, needs
from reprolake.pipeline import Request, obtain_lock
from reprolake_builder.errors import LockError


def repository(path, *cells: str, language: str = "python", **files: str) -> str:
    """Write a repository with one notebook of these code cells."""
    metadata = {"kernelspec": {"name": "python3", "language": language, "display_name": "x"}}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in cells], metadata=metadata
    )
    return folder(path, look__ipynb=nbformat.writes(notebook), **files)


def versions(lock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock.wheels}


def test_imports_become_pinned_packages(tmp_path, here):
    """Modules of known distributions and of the same name are added as of the date, with the place that imports them."""
    link = repository(tmp_path / "r", "import json\nimport yaml", "from attr import define\nimport six.moves")
    made = locked(link, here, infer=True)
    found = versions(made)
    assert found["pyyaml"] == "6.0.1"  # the newest in June 2024
    assert {"attrs", "six"} <= found.keys()
    inferred = {asked.text: asked.origin for asked in made.environment.requirements}
    assert inferred["pyyaml"] == "inferred: look.ipynb, cell 1, imports yaml"
    assert "attrs: inferred: look.ipynb, cell 2, imports attr" in made.added
    assert "--infer" in made.overrides


def test_what_is_declared_is_not_inferred(tmp_path, here):
    """A declared package that has the module, under another name or through another package, is not added again."""
    link = repository(
        tmp_path / "r", "import yaml, dateutil, six", requirements__txt="PyYAML==6.0\npython-dateutil\n"
    )
    made = locked(link, here, infer=True)
    assert [asked.origin for asked in made.environment.requirements] == [
        "requirements.txt:1",
        "requirements.txt:2",
    ]


def test_without_it_the_offer_is_one_sentence(reprolake, tmp_path):
    """A repository without any environment file is locked as it is, and the user is told of --infer."""
    link = repository(tmp_path / "r", "import yaml")
    done = reprolake("lock", link, "-o", tmp_path / "a.lock")
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "--infer" in line]
    assert "notebooks import yaml, and no file here declares packages" in line


def test_modules_of_the_repository_are_looked_into(tmp_path, here):
    """What the notebook's own helper imports is needed as well, what other files import is not."""
    link = repository(
        tmp_path / "r",
        "import helper\nfrom tools import plot",
        helper__py="import yaml\nimport other\n",
        other__py="import six\n",
        tools___plot__py="import attr\n",
        unused__py="import numpy\n",
    )
    (tmp_path / "r" / "tools").mkdir(exist_ok=True)
    (tmp_path / "r" / "tools" / "__init__.py").write_text("")
    made = locked(link, here, infer=True)
    assert {"pyyaml", "six", "attrs"} <= versions(made).keys()
    assert "numpy" not in versions(made)
    origins = [asked.origin for asked in made.environment.requirements]
    assert "inferred: helper.py imports yaml" in origins


def test_optional_imports_and_other_languages_need_nothing(tmp_path, here):
    """An import that is prepared to fail, and a notebook in R, add nothing."""
    optional = repository(tmp_path / "a", "try:\n    import cupy\nexcept ImportError:\n    cupy = None")
    other = repository(tmp_path / "b", "import numpy", language="R")
    for link in (optional, other):
        assert locked(link, here, infer=True).environment.requirements == ()


def test_a_package_without_the_module_is_found_out(tmp_path, here, index):
    """A package of the module's name that has no such module is not taken for it."""
    index.add(Upload("rl_hollow", "1.0", "2020-01-01"))
    link = repository(tmp_path / "r", "import rl_hollow")
    with pytest.raises(
        LockError,
        match=r"look\.ipynb, cell 1, imports rl_hollow, and the package rl-hollow has no such module",
    ):
        locked(link, here, infer=True)


def test_a_module_of_no_package_says_where_it_is(tmp_path, here):
    """ROOT comes from conda, which the message says."""
    with pytest.raises(LockError, match="conda-forge has it as `root`"):
        locked(repository(tmp_path / "r", "import ROOT"), here, infer=True)


def test_a_name_that_nobody_uploaded_is_told_with_its_place(tmp_path, here):
    """Where the index has no such package, the message names the notebook's cell."""
    link = repository(tmp_path / "r", "x = 1", "import rl_nobody_has_this")
    with pytest.raises(LockError, match=r"look\.ipynb, cell 2"):
        locked(link, here, infer=True)


def test_a_program_is_told_apart_from_the_module_of_its_name(tmp_path, here):
    """The module graphviz comes from the index and the program dot, which it runs, from Debian's package of the same name."""
    link = repository(tmp_path / "r", "import graphviz")
    made = locked(link, here, infer=True)
    assert "graphviz" in versions(made)
    assert "graphviz" in {deb.name for deb in made.debian.extra}
    assert [
        (asked.text, asked.origin.endswith("runs a program of this package"))
        for asked in made.environment.apt
    ] == [("graphviz", True)]
    assert [text.partition(":")[0] for text in made.added[-2:]] == ["graphviz", "Debian's graphviz"]


def test_a_lock_with_and_one_without_are_kept_apart(tmp_path, here):
    """A remembered lock without inferred packages does not answer a call with --infer."""
    link = repository(tmp_path / "r", "import six")
    without = obtain_lock(Request(link=link, python="3.11"), here).lock
    with_it = obtain_lock(Request(link=link, python="3.11", infer=True), here).lock
    assert "six" not in {asked.text for asked in without.environment.requirements}
    assert "six" in {asked.text for asked in with_it.environment.requirements}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
        ("gammapy", "gammapy"),
        ("radio_beam", "radio-beam"),
    ],
)
def test_distributions_are_known_or_of_the_same_name(module, name):
    """Known modules lead to their distributions, others to that of their own name."""
    assert distribution_of(module) == name


def test_a_notebook_that_cannot_be_read_needs_nothing(tmp_path, here):
    """A broken notebook beside a sound one does not keep that one's imports from being seen."""
    link = repository(tmp_path / "r", "import six", broken__ipynb="{")
    (tmp_path / "r" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "r" / ".ipynb_checkpoints" / "old.ipynb").write_bytes(
        (tmp_path / "r" / "look.ipynb").read_bytes()
    )
    obtained = obtain_lock(Request(link=link, python="3.11"), here)
    assert [(need.module, need.place) for need in needs(obtained.tree)] == [("six", "look.ipynb, cell 1,")]


@pytest.mark.parametrize("module", ["_e", "__r", "möbius", "_"])
def test_a_module_that_no_package_is_called_like_is_told(tmp_path, here, module):
    """A name that would be an option of the resolver, or none of a package, is never given to it."""
    link = repository(tmp_path / "r", f"import {module}")
    with pytest.raises(
        LockError, match=f"look.ipynb, cell 1, imports {module}, and no package can be called"
    ):
        locked(link, here, infer=True)
