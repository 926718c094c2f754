"""What the repository's files say about its environment, and that none of them is ignored in silence."""

from __future__ import annotations

import pytest
from detected import PROJECT, found, matter, texts
from source_trees import Link

from reprolake_builder.detect import refuse_unheard
from reprolake_builder.errors import DetectError


def test_no_file_is_an_empty_environment(tmp_path):
    """A repository without any environment file is legal and asks for nothing."""
    spec = found(tmp_path, {"a.ipynb": "{}"})
    assert (spec.files, spec.unheard, spec.requirements, spec.project) == ((), (), (), None)
    refuse_unheard(spec)


def test_every_demand_knows_its_place(tmp_path):
    """Requirements, constraints, Debian packages and Pythons carry file and line; read files carry their hash."""
    spec = found(
        tmp_path,
        {
            "requirements.txt": "# top\nnumpy>=1.20\n-r env/more.txt\n-c constraints.txt\n",
            "env/more.txt": "\nscipy\n",
            "constraints.txt": "numpy<2\n",
            "apt.txt": "# tools\ngraphviz\nlibhdf5-dev # for h5py\n",
            "runtime.txt": "python-3.11\n",
            ".python-version": "3.11.4\n",
        },
    )
    assert [(a.text, a.origin) for a in spec.requirements] == [
        ("numpy>=1.20", "requirements.txt:2"),
        ("scipy", "env/more.txt:2"),
    ]
    assert [(a.text, a.origin) for a in spec.constraints] == [("numpy<2", "constraints.txt:1")]
    assert [(a.text, a.origin) for a in spec.apt] == [("graphviz", "apt.txt:2"), ("libhdf5-dev", "apt.txt:3")]
    assert [(a.text, a.origin) for a in spec.python] == [
        ("==3.11.*", "runtime.txt:1"),
        ("==3.11.4", ".python-version:1"),
    ]
    assert {f.path for f in spec.files} == {
        "requirements.txt", "env/more.txt", "constraints.txt", "apt.txt", "runtime.txt", ".python-version",
    }  # fmt: skip
    assert all(len(f.sha256) == 64 for f in spec.files)
    assert spec.unheard == ()


def test_requirements_and_project_add_up(tmp_path):
    """requirements.txt beside a [project] gives the union, with the package itself to be built."""
    spec = found(tmp_path, {"requirements.txt": "scipy\n", "pyproject.toml": PROJECT})
    assert texts(spec.requirements) == ["scipy", "numpy>=1.20", 'attrs; python_version < "3.10"']
    assert [(a.text, a.origin) for a in spec.python] == [(">=3.9", "pyproject.toml:8")]
    assert spec.requirements[1].origin == "pyproject.toml:10"
    assert (spec.project, spec.project_extras, spec.project_dynamic, spec.build_backend) == (
        "",
        (),
        False,
        "pep517",
    )
    assert texts(spec.build_requirements) == ["hatchling>=1"]


def test_editable_with_extras_is_the_own_package(tmp_path):
    """`-e .[all]` asks for the extra's demands, following what extras name in turn."""
    for line in ("-e .[all]", ".[All]", "--editable=.[all]", "-e ./[all]"):
        spec = found(tmp_path, {"requirements.txt": line + "\n", "pyproject.toml": PROJECT})
        assert texts(spec.requirements) == [
            "numpy>=1.20",
            'attrs; python_version < "3.10"',
            "scipy",
            "matplotlib",
        ]
        assert (spec.project, spec.project_extras) == ("", ("all",))
    with pytest.raises(DetectError, match="no extra 'plots'") as caught:
        found(tmp_path, {"requirements.txt": ".[plots]\n", "pyproject.toml": PROJECT})
    assert "plot" in caught.value.hint


def test_project_without_build_system_is_built_by_setuptools(tmp_path):
    """[project] alone is a package all the same: PEP 517 says how it is built."""
    spec = found(tmp_path, {"pyproject.toml": '[project]\nname = "a"\ndependencies = ["numpy"]\n'})
    assert (spec.project, texts(spec.requirements)) == ("", ["numpy"])
    assert texts(spec.build_requirements) == ["setuptools>=40.8.0", "wheel"]


def test_dynamic_dependencies_are_flagged(tmp_path):
    """Demands that only a build can tell are marked: of [project], and of a setup.py that `-e .` asks for."""
    dynamic = '[project]\nname = "a"\ndynamic = ["version", "dependencies"]\n'
    assert found(tmp_path, {"pyproject.toml": dynamic}).project_dynamic
    only_version = dynamic.replace(', "dependencies"', "")
    assert not found(tmp_path, {"pyproject.toml": only_version}).project_dynamic
    spec = found(tmp_path, {"requirements.txt": "-e .\n", "setup.py": ""})
    assert (spec.project, spec.project_dynamic, matter(spec)) == ("", True, [])


def test_uv_projects_that_are_no_package(tmp_path):
    """`tool.uv.package = false` means the dependencies only."""
    text = '[project]\nname = "a"\ndependencies = ["numpy"]\n[tool.uv]\npackage = false\n'
    spec = found(tmp_path, {"pyproject.toml": text})
    assert (spec.project, texts(spec.requirements), spec.build_requirements) == (None, ["numpy"], ())


@pytest.mark.parametrize("binder", ["binder", ".binder"])
def test_a_binder_folder_decides_alone(tmp_path, binder):
    """With binder/ the files outside it have no say, which is told; includes reach out of it."""
    spec = found(
        tmp_path,
        {
            f"{binder}/requirements.txt": "-r ../base.txt\nscipy\n",
            f"{binder}/postBuild": "",
            "base.txt": "h5py\n",
            "requirements.txt": "numpy\n",
            "pyproject.toml": PROJECT,
            "Dockerfile": "FROM x",
        },
    )
    assert (texts(spec.requirements), spec.project) == (["h5py", "scipy"], None)
    assert (matter(spec), spec.post_build) == ([], f"{binder}/postBuild")
    outside = {item.path for item in spec.unheard if "have no say" in item.reason}
    assert outside == {"requirements.txt", "pyproject.toml", "Dockerfile"}


def test_two_binder_folders_are_refused(tmp_path):
    """binder/ and .binder/ at once is an error, as in repo2docker."""
    with pytest.raises(DetectError, match=r"both binder/ and \.binder/"):
        found(tmp_path, {"binder/apt.txt": "", ".binder/apt.txt": ""})


def test_own_package_from_a_binder_folder(tmp_path):
    """`-e .` in binder/requirements.txt is the package of the root, where pip is started."""
    spec = found(tmp_path, {"binder/requirements.txt": "-e .\n", "pyproject.toml": PROJECT})
    assert (spec.project, "pyproject.toml" in {f.path for f in spec.files}) == ("", True)


def test_a_sub_folder_is_the_base(tmp_path):
    """With a sub-folder only its files count; paths are told from the source's root, and its package is found there."""
    spec = found(
        tmp_path,
        {
            "demo/requirements.txt": ".\n-r ../base.txt\n",
            "demo/pyproject.toml": PROJECT,
            "base.txt": "h5py",
            "apt.txt": "x",
        },
        subdir="demo",
    )
    assert (spec.project, spec.apt) == ("demo", ())
    assert {f.path for f in spec.files} == {"demo/requirements.txt", "base.txt", "demo/pyproject.toml"}


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile",
        "renv.lock", "install.R", "DESCRIPTION",
        "Project.toml", "Manifest.toml", "REQUIRE", "default.nix", "spack.yaml", "uv.toml",
    ],
)  # fmt: skip
def test_files_that_would_change_the_result_stop_the_build(tmp_path, name):
    """Each is named with a reason and the option to go on without it; with that option it is still named."""
    files = {name: "x", "requirements.txt": "numpy\n"}
    spec = found(tmp_path, files)
    with pytest.raises(DetectError) as caught:
        refuse_unheard(spec)
    assert name in caught.value.message
    assert f"--ignore {name}" in caught.value.hint
    ignored = found(tmp_path, files, (name,))
    refuse_unheard(ignored)
    assert [(item.path, item.reason[:19]) for item in ignored.unheard] == [(name, "ignored by --ignore")]


@pytest.mark.parametrize(
    "name", [".devcontainer/devcontainer.json", "requirements-dev.txt", "environment-gpu.yml", "flake.nix"]
)
def test_some_files_matter_only_when_nothing_else_speaks(tmp_path, name):
    """Variants and editors' containers are named; alone they stop the build, because the environment would be empty."""
    path = name.partition("/")[0]
    assert matter(found(tmp_path, {name: "x"})) == [path]
    spec = found(tmp_path, {name: "x", "requirements.txt": "numpy"})
    assert ([item.path for item in spec.unheard], matter(spec)) == ([path], [])


def test_kinds_of_pyproject(tmp_path):
    """Poetry's own form is a package, a mere [build-system] stops the build; settings of tools are named and harmless."""
    poetry = '[tool.poetry]\nname = "a"\n[build-system]\nrequires = ["poetry-core"]\n'
    assert found(tmp_path, {"pyproject.toml": poetry}).project == ""
    assert matter(found(tmp_path, {"pyproject.toml": "[build-system]\nrequires = []\n"})) == [
        "pyproject.toml"
    ]
    settings = found(tmp_path, {"pyproject.toml": "[tool.ruff]\nline-length = 100\n"})
    assert (matter(settings), [item.path for item in settings.unheard]) == ([], ["pyproject.toml"])
    sources = '[project]\nname = "a"\n[[tool.uv.index]]\nurl = "https://h.org/b"\n'
    assert matter(found(tmp_path, {"pyproject.toml": sources})) == ["pyproject.toml#tool.uv.index"]


def test_packages_of_setup_py_and_setup_cfg(tmp_path):
    """Either declares a package that is built; setup.cfg with settings of tools only does not."""
    for files, heard in (
        ({"setup.py": ""}, {"setup.py"}),
        ({"setup.cfg": "[metadata]\nname = a\n"}, {"setup.cfg"}),
        ({"setup.py": "", "setup.cfg": "[flake8]\n"}, {"setup.py", "setup.cfg"}),
        ({"setup.py": "", "requirements.txt": "numpy"}, {"setup.py", "requirements.txt"}),
        (
            {"setup.py": "", "pyproject.toml": "[build-system]\nrequires = ['a']\n"},
            {"setup.py", "pyproject.toml"},
        ),
    ):
        spec = found(tmp_path, files)
        assert {file.path for file in spec.files} == heard
        assert (spec.project, spec.project_dynamic, matter(spec)) == ("", True, [])
    assert texts(spec.build_requirements) == ["a"]
    spec = found(tmp_path, {"setup.cfg": "[flake8]\n"})
    assert (spec.project, spec.unheard) == (None, ())


def test_setup_py_beside_other_descriptions(tmp_path):
    """It takes part in the build of [project], is not installed when ignored, and environment.yml has to name it."""
    spec = found(tmp_path, {"setup.py": "", "pyproject.toml": PROJECT})
    assert (matter(spec), [item.path for item in spec.unheard]) == ([], ["setup.py"])
    spec = found(tmp_path, {"setup.py": "", "requirements.txt": "numpy"}, ("setup.py",))
    assert (spec.project, matter(spec), [item.path for item in spec.unheard]) == (None, [], ["setup.py"])
    spec = found(tmp_path, {"setup.py": "", "environment.yml": "dependencies: [python=3.11]\n"})
    assert (spec.project, matter(spec)) == (None, ["setup.py"])
    spec = found(tmp_path, {"setup.py": "", "pyproject.toml": "[tool.ruff]\n"})
    assert (spec.project, [item.path for item in spec.unheard]) == ("", ["pyproject.toml"])


def test_missing_content_is_named(tmp_path):
    """Submodules, and pointers of Git LFS in place of files, are told: of a git URL, and of a folder as it is on disk."""
    attributes = {"vendor/lib": None, "data/.gitattributes": "*.fits filter=lfs diff=lfs\n", "a": ""}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    files = attributes | {"data/crab.fits": pointer}
    for from_git in (True, False):
        told = found(tmp_path, files, from_git=from_git)
        assert matter(told) == ["vendor/lib", "data/.gitattributes"]
        assert "data/crab.fits" in told.unheard[-1].reason
    assert matter(found(tmp_path, attributes | {"data/crab.fits": "SIMPLE = T"})) == ["vendor/lib"]
    assert matter(found(tmp_path, files, ("vendor/lib", "data/.gitattributes"), from_git=True)) == []


@pytest.mark.parametrize(
    ("name", "text", "python", "stops"),
    [
        ("runtime.txt", "python-3.11", "==3.11.*", []),
        ("runtime.txt", "python-3.12.4\n\n", "==3.12.4", []),
        ("runtime.txt", "r-4.3", None, ["runtime.txt"]),
        ("runtime.txt", "r-2024-01-01", None, ["runtime.txt"]),
        (".python-version", "# pin\n3.11\n", "==3.11.*", []),
        (".python-version", "cpython@3.12.1\n3.11\n", "==3.12.1", []),
        (".python-version", "miniconda3-4.7.12\n", None, [".python-version"]),
        (".python-version", "3.13t\n", None, [".python-version"]),
    ],
)
def test_files_that_name_a_python(tmp_path, name, text, python, stops):
    """Series and exact versions are specifiers; other names are told and stop the build."""
    spec = found(tmp_path, {name: text})
    assert (texts(spec.python), matter(spec)) == ([python] if python else [], stops)


@pytest.mark.parametrize("text", ["python 3.11", "3.11", "python-3.11\npython-3.12", "julia-1.9"])
def test_runtime_txt_of_other_words_is_an_error(tmp_path, text):
    """runtime.txt is never half understood."""
    with pytest.raises(DetectError, match=r"runtime\.txt:1"):
        found(tmp_path, {"runtime.txt": text})


@pytest.mark.parametrize(
    "line", ["curl; touch x", "git=1.2", "libc6:i386", "-y", "a", "Curl", "a b", "a$(id)", "../x", "é"]
)
def test_apt_lines_are_names_only(tmp_path, line):
    """A line of apt.txt that is no Debian package's name is an error with its place."""
    with pytest.raises(DetectError, match=r"apt\.txt:2"):
        found(tmp_path, {"apt.txt": f"git\n{line}\n"})


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_with_line_ends_of_windows_are_refused(tmp_path, name):
    """No program would be found by the name in its first line: the script is named, with what mends it."""
    files = {f"binder/{name}": "#!/bin/bash\r\necho\r\n"}
    with pytest.raises(DetectError, match=f"binder/{name}:1 ends as lines of Windows do") as caught:
        found(tmp_path, files)
    assert f"sed -i 's/\\r$//' binder/{name}" in caught.value.hint
    spec = found(tmp_path, files, (f"binder/{name}",))
    assert (spec.post_build, spec.start) == ("", "")


def test_ignore_must_name_a_file_that_speaks(tmp_path):
    """--ignore of anything else is an error that names the nearest such file."""
    files = {"Dockerfile": "", "README.md": "", "requirements.txt": "numpy"}
    for path in ("README.md", "Dockerfil", "nowhere"):
        with pytest.raises(DetectError, match="names no file about the environment") as caught:
            found(tmp_path, files, (path,))
        assert "Dockerfile" in caught.value.hint


def test_an_ignored_file_is_not_even_read(tmp_path):
    """A broken file, or one that leads out of the repository, can be ignored, and is named as such."""
    files = {"requirements.txt": "= broken", "runtime.txt": Link("/etc/passwd")}
    spec = found(tmp_path, files, tuple(files))
    assert (spec.files, [item.path for item in spec.unheard]) == ((), list(files))
    with pytest.raises(DetectError, match="leads out"):
        found(tmp_path, files, ("requirements.txt",))
