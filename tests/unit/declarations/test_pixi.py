"""pixi.toml: the environment that pixi makes when it is told nothing."""

from __future__ import annotations

import pytest
from detected import found, matter, texts

from reprolake_builder.errors import DetectError

WHOLE = """\
[workspace]
name = "demo"
channels = ["conda-forge", {channel = "https://lab.example/astro", priority = 5}]
platforms = ["linux-64", "osx-arm64"]

[tasks]
start = "python x.py"

[dependencies]
python = ">=3.11,<3.13"
numpy = "1.26.*"
scipy = "*"
zlib = "1.3"
pytorch = { version = ">=2", build = "cpu*", channel = "pytorch" }

[target.linux-64.dependencies]
libgl = "*"

[target.osx-arm64.dependencies]
appnope = "*"

[pypi-dependencies]
corner = ">=2"
emcee = "3.1.4"
h5py = { version = "*", extras = ["more"] }
tool = { git = "https://github.com/lab/tool", tag = "v1", subdirectory = "python" }
mine = { path = ".", editable = true }

[activation.env]
OMP_NUM_THREADS = "1"

[feature.test.dependencies]
pytest = "*"
"""
SETUP = {"setup.py": "from setuptools import setup; setup(name='mine')\n"}


def test_a_whole_file_is_understood(tmp_path):
    """Channels by their priority, dependencies of this platform in conda's words, pip's, variables; features have no say."""
    spec = found(tmp_path, {"pixi.toml": WHOLE, **SETUP})
    assert texts(spec.conda.channels) == ["https://lab.example/astro", "conda-forge"]
    assert texts(spec.conda.specs) == [
        "python >=3.11,<3.13",
        "numpy 1.26.*",
        "scipy",
        "zlib 1.3",
        "pytorch::pytorch[version='>=2',build='cpu*']",
        "libgl",
    ]
    assert spec.conda.specs[1].origin == "pixi.toml:11"
    assert texts(spec.requirements) == ["corner>=2", "emcee==3.1.4", "h5py[more]"]
    (source,) = spec.sources
    assert (source.url, source.ref, source.folder) == ("https://github.com/lab/tool", "v1", "python")
    assert (spec.variables, spec.project, matter(spec)) == ({"OMP_NUM_THREADS": "1"}, "", [])
    assert any("features" in item.reason for item in spec.unheard)


def test_what_cannot_be_honoured_stops(tmp_path):
    """Other platforms, scripts, a graphics card and a default made of features stop until they are ignored by name."""
    text = """\
[workspace]
channels = ["a"]
platforms = ["win-64"]
[activation]
scripts = ["x.sh"]
[activation.env]
PATH = "x"
[system-requirements]
cuda = "12"
[environments]
default = ["test"]
"""
    spec = found(tmp_path, {"pixi.toml": text})
    assert matter(spec) == [f"pixi.toml:{line}" for line in (3, 5, 7, 10, 9)]


@pytest.mark.parametrize(
    "name", ["PATH", "LD_PRELOAD", "PYTHONHOME", "VIRTUAL_ENV", "REPROLAKE_NETWORK", "CONDA_PREFIX"]
)
def test_variables_that_are_the_images_stop(tmp_path, name):
    """In pixi.toml as in environment.yml, what the image sets itself is named and stops."""
    files = {
        "pixi.toml": f'[activation.env]\n{name} = "x"\n',
        "environment.yml": f"variables: {{{name}: x}}\n",
    }
    for kind, text in files.items():
        assert matter(found(tmp_path / kind, {kind: text})) == [f"{kind}:{text.count(chr(10))}"]


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[dependencies]\nnumpy = 3\n",
        "[dependencies]\nnumpy = { path = 'x' }\n",
        "[dependencies]\nnumpy = \"1' ,build='x\"\n",
        '[dependencies]\n"a b" = "*"\n',
        "[pypi-dependencies]\nx = [1]\n",
        "[pypi-dependencies]\nx = { path = '../up' }\n",
        "[workspace]\nchannels = [3]\n",
        "[activation.env]\nA = 3\n",
        "dependencies = ['numpy']\n",
        "[target]\nlinux-64 = 3\n",
        "[workspace]\nchannels = 'a'\n",
    ],
)
def test_what_is_not_understood_is_told(tmp_path, text):
    """Words that neither conda nor pip knows end in an error that names the file."""
    with pytest.raises(DetectError, match=r"pixi\.toml"):
        found(tmp_path, {"pixi.toml": text})


def test_environment_yml_and_pixi_toml_stand_over_what_is_below(tmp_path):
    """Of the two environment.yml counts, and the user has to say so; over Python's files pixi.toml stands alike."""
    files = {"pixi.toml": WHOLE, "environment.yml": "channels: [a]\ndependencies: [numpy]\n", **SETUP}
    assert matter(found(tmp_path / "a", files, ("setup.py",))) == ["pixi.toml"]
    assert found(tmp_path / "b", files, ("environment.yml",)).conda.specs[0].text.startswith("python")
    beside = {"pixi.toml": WHOLE, "requirements.txt": "x\n", **SETUP}
    assert matter(found(tmp_path / "c", beside)) == ["requirements.txt"]
