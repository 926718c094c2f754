"""What is detected in a source tree, and what of it a test looks at."""

from __future__ import annotations

from source_trees import source_tree

from reprolake_builder.detect import detect

PROJECT = """\
[build-system]
requires = ["hatchling>=1"]
build-backend = "hatchling.build"

[project]
name = "My.Demo"
version = "1"
requires-python = ">=3.9"
dependencies = [
  "numpy>=1.20",
  "attrs; python_version < '3.10'",
]

[project.optional-dependencies]
plot = ["matplotlib"]
all = ["my-demo[plot]", "scipy"]
"""


def found(tmp_path, files, ignore=(), **options):
    return detect(source_tree(tmp_path, files, **options), ignore)


def texts(asked):
    return [item.text for item in asked]


def matter(spec):
    return [item.path for item in spec.unheard if item.matters]
