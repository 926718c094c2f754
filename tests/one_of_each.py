"""A repository and two recipes that have one of everything that is built or run on the spot, not only fetched."""

from __future__ import annotations

from pathlib import Path

from git_repositories import Repository
from sdists import setup_py
from source_builds import folder

# What a script can see of how its sandbox was laid out: dates and modes of what was there before, the umask, an order of hashing.
_POST_BUILD = """#!/bin/bash
set -e
python -c "import docopt, rl_git, mine, tabulate; print({'docopt', 'rl-git', 'mine', 'tabulate', 'six'})" > imported.txt
/opt/recipes/apart/bin/python -c "import six; print(six.__version__)" > apart.txt
tar --sort=name -cf docs.tar docs
umask > umask.txt
find "$HOME" /opt/env/bin/python docs /repo -maxdepth 0 -printf '%p %m %U %G %y\\n' > modes.txt
mkdir -p made/deep && ln -s ../modes.txt made/link && ln modes.txt made/again && cp postBuild made/deep/
"""
_PROJECT = """[project]
name = "mine"
version = "1.0"
dependencies = ["docopt==0.6.2", "rl-git @ git+{url}@v1"]
[build-system]
requires = ["setuptools"]
[tool.setuptools]
py-modules = ["mine"]
"""
_APART = 'version = 1\ntitle = "apart"\nrequirements = ["six"]\npath = ["@prefix@/bin"]\nwritable = ["/opt/data"]\n'
_WITHIN = """version = 1
title = "within"
prefix = "environment"
requirements = ["tabulate"]
[variables]
WITHIN = "@python@"
[labels]
"org.example.site" = "here"
[[file]]
path = "@site@/within.py"
text = "WHERE = '@prefix@'"
"""


def git_package(path: Path) -> None:
    """Make a git repository (host folder) with a package whose tag is v1."""
    made = Repository(path)
    made.commit(setup__py=setup_py("rl-git", "1.0", "py_modules=['rl_git']"), rl_git__py="x = 1\n")
    made.git("tag", "v1")


def one_of_each(path: Path, url: str) -> None:
    """Write the repository to a host folder; it requires a source distribution, the git repository at `url`, and itself."""
    folder(
        path,
        pyproject__toml=_PROJECT.format(url=url),
        runtime__txt="python-3.11\n",
        mine__py="import rl_git\n",
        apt__txt="xml-core\ninfo\n",
        postBuild=_POST_BUILD,
        start='#!/bin/bash\nexport STARTED=yes\nexec "$@"\n',
        docs___a__md="a\n",
        docs___more___b__md="b\n",
    )
    for name in ("postBuild", "start"):
        (path / name).chmod(0o755)


def recipes(path: Path) -> tuple[str, ...]:
    """Write two recipes to a host folder, one with an environment of its own, and return their paths."""
    path.mkdir()
    for name, text in (("apart", _APART), ("within", _WITHIN)):
        (path / f"{name}.toml").write_text(text)
    return tuple(str(path / f"{name}.toml") for name in ("apart", "within"))
