"""Small lock files as their tools write them, for tests that run no tool."""

from __future__ import annotations

A, B, C, D = (letter * 64 for letter in "abcd")
UV_PROJECT = """\
[project]
name = "demo"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["alpha[wide]>=1,<2", "gamma; sys_platform == 'win32'"]

[project.optional-dependencies]
plot = ["plotter"]

[dependency-groups]
dev = ["checker", {include-group = "docs"}]
docs = ["writer"]
"""
UV = f"""\
version = 1
revision = 3
requires-python = ">=3.9"
resolution-markers = ["python_full_version >= '3.11'", "python_full_version < '3.11'"]

[[package]]
name = "alpha"
version = "1.2"
source = {{ registry = "https://user:secret@h.org/simple" }}
resolution-markers = ["python_full_version >= '3.11'"]
dependencies = [{{ name = "beta" }}]
sdist = {{ url = "https://h.org/alpha-1.2.tar.gz", hash = "sha256:{A}", size = 5 }}
wheels = [
    {{ url = "https://h.org/alpha-1.2-py3-none-any.whl", hash = "sha256:{B}", size = 9 }},
    {{ url = "https://h.org/alpha-1.2-cp311-cp311-win_amd64.whl", hash = "sha256:{C}", size = 9 }},
]

[package.optional-dependencies]
wide = [{{ name = "delta" }}]

[[package]]
name = "alpha"
version = "1.1"
source = {{ registry = "https://h.org/simple" }}
resolution-markers = ["python_full_version < '3.11'"]
wheels = [{{ url = "https://h.org/alpha-1.1-py3-none-any.whl", hash = "sha256:{D}", size = 9 }}]

[[package]]
name = "beta"
version = "2.0"
source = {{ registry = "https://h.org/simple" }}
wheels = [{{ url = "https://h.org/beta-2.0-py3-none-any.whl", hash = "sha256:{B}" }}]

[[package]]
name = "gamma"
version = "1.0"
source = {{ registry = "https://h.org/simple" }}
wheels = [{{ url = "https://h.org/gamma-1.0-py3-none-any.whl", hash = "sha256:{B}" }}]

[[package]]
name = "delta"
version = "3.0"
source = {{ registry = "https://h.org/simple" }}
wheels = [{{ url = "https://h.org/delta-3.0-py3-none-any.whl", hash = "sha256:{B}" }}]

[[package]]
name = "checker"
version = "4.0"
source = {{ registry = "https://h.org/simple" }}
wheels = [{{ url = "https://h.org/checker-4.0-py3-none-any.whl", hash = "sha256:{B}" }}]

[[package]]
name = "writer"
version = "5.0"
source = {{ registry = "https://h.org/simple" }}
wheels = [{{ url = "https://h.org/writer-5.0-py3-none-any.whl", hash = "sha256:{B}" }}]

[[package]]
name = "plotter"
version = "6.0"
source = {{ registry = "https://h.org/simple" }}
sdist = {{ url = "https://h.org/plotter-6.0.tar.gz", hash = "sha256:{B}" }}

[[package]]
name = "demo"
version = "1.0"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "alpha", version = "1.1", source = {{ registry = "https://h.org/simple" }}, marker = "python_full_version < '3.11'" }},
    {{ name = "alpha", version = "1.2", extra = ["wide"], marker = "python_full_version >= '3.11'" }},
    {{ name = "gamma", marker = "sys_platform == 'win32'" }},
]

[package.optional-dependencies]
plot = [{{ name = "plotter" }}]

[package.dev-dependencies]
dev = [{{ name = "checker" }}, {{ name = "writer" }}]
docs = [{{ name = "writer" }}]
"""
PYLOCK = f"""\
lock-version = "1.0"
created-by = "test"
requires-python = ">=3.11"
extras = ["plot"]
dependency-groups = ["dev", "docs"]
default-groups = ["dev"]

[[packages]]
name = "alpha"
version = "1.2"
wheels = [{{ name = "alpha-1.2-py3-none-any.whl", url = "https://h.org/a.whl", hashes = {{ sha256 = "{A}" }} }}]

[[packages]]
name = "beta"
version = "2.0"
marker = "'plot' in extras"
sdist = {{ name = "beta-2.0.tar.gz", url = "https://h.org/b", hashes = {{ sha256 = "{B}" }} }}

[[packages]]
name = "checker"
version = "4.0"
marker = "'dev' in dependency_groups or 'docs' in dependency_groups"
wheels = [{{ url = "https://h.org/checker-4.0-py3-none-any.whl", hashes = {{ sha256 = "{C}" }} }}]
"""
POETRY_PROJECT = """\
[tool.poetry]
name = "demo"
version = "1.0"

[tool.poetry.dependencies]
python = "^3.9"
alpha = {version = "^1.0", extras = ["wide"]}
gamma = {version = "*", markers = "sys_platform == 'win32'"}
plotter = {version = "*", optional = true}

[tool.poetry.extras]
plot = ["plotter"]

[tool.poetry.group.dev.dependencies]
checker = "*"

[tool.poetry.group.docs]
optional = true

[tool.poetry.group.docs.dependencies]
writer = "~5.0"
"""


def _poetry_package(name: str, version: str, more: str = "") -> str:
    files = f'files = [{{file = "{name}-{version}-py3-none-any.whl", hash = "sha256:{A}"}}]'
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\noptional = false\npython-versions = "*"\n{files}\n{more}\n'


POETRY_1 = (
    _poetry_package(
        "alpha",
        "1.2",
        '[package.dependencies]\nbeta = ">=1"\ndelta = {version = "*", optional = true, markers = "extra == \\"wide\\""}\n',
    )
    + _poetry_package("beta", "2.0")
    + _poetry_package("gamma", "1.0")
    + _poetry_package("delta", "3.0")
    + _poetry_package("checker", "4.0")
    + _poetry_package("writer", "5.0")
    + _poetry_package("plotter", "6.0")
    + '[extras]\nplot = ["plotter"]\n\n[metadata]\nlock-version = "2.0"\npython-versions = "^3.9"\ncontent-hash = "x"\n'
)
POETRY_2 = (
    _poetry_package("alpha", "1.2", 'groups = ["main"]')
    + _poetry_package(
        "beta", "2.0", 'groups = ["main", "dev"]\nmarkers = {main = "python_version < \\"3.10\\""}'
    )
    + _poetry_package("gamma", "1.0", 'groups = ["main"]\nmarkers = "sys_platform == \\"win32\\""')
    + _poetry_package("delta", "3.0", 'groups = ["main"]')
    + _poetry_package("checker", "4.0", 'groups = ["dev"]')
    + _poetry_package("writer", "5.0", 'groups = ["docs"]')
    + _poetry_package("plotter", "6.0", 'groups = ["main"]\nmarkers = "extra == \\"plot\\""')
    + '[extras]\nplot = ["plotter"]\n\n[metadata]\nlock-version = "2.1"\npython-versions = ">=3.9"\ncontent-hash = "x"\n'
)
PDM = f"""\
[metadata]
groups = ["default", "dev", "docs", "plot"]
strategy = ["inherit_metadata"]
lock_version = "4.5.0"
content_hash = "sha256:x"

[[metadata.targets]]
requires_python = ">=3.9"

[[package]]
name = "alpha"
version = "1.2"
groups = ["default"]
files = [{{file = "alpha-1.2-py3-none-any.whl", hash = "sha256:{A}"}}]

[[package]]
name = "alpha"
version = "1.2"
extras = ["wide"]
groups = ["default"]
dependencies = ["alpha==1.2", "delta"]
files = [{{file = "alpha-1.2-py3-none-any.whl", hash = "sha256:{A}"}}]

[[package]]
name = "delta"
version = "3.0"
groups = ["default"]

[[package]]
name = "gamma"
version = "1.0"
groups = ["default"]
marker = "sys_platform == \\"win32\\""

[[package]]
name = "checker"
version = "4.0"
groups = ["dev"]

[[package]]
name = "writer"
version = "5.0"
groups = ["dev", "docs"]

[[package]]
name = "plotter"
version = "6.0"
groups = ["plot"]
"""
PDM_3 = f"""\
[[package]]
name = "alpha"
version = "1.2"
dependencies = ["beta>=1"]

[[package]]
name = "alpha"
version = "1.2"
extras = ["wide"]
dependencies = ["alpha==1.2", "delta"]

[[package]]
name = "beta"
version = "2.0"

[[package]]
name = "delta"
version = "3.0"

[metadata]
lock_version = "3.1"

[metadata.files]
"alpha 1.2" = [{{url = "https://h.org/alpha-1.2-py3-none-any.whl", hash = "sha256:{A}"}}]
"""
PIPFILE = """\
[[source]]
url = "https://h.org/simple"
verify_ssl = true
name = "pypi"

[packages]
alpha = {version = ">=1,<2", extras = ["wide"]}

[dev-packages]
checker = "*"

[requires]
python_version = "3.11"
"""
PIPFILE_LOCK = f"""{{
  "_meta": {{"hash": {{"sha256": "x"}}, "pipfile-spec": 6, "requires": {{"python_version": "3.11"}}, "sources": []}},
  "default": {{
    "alpha": {{"extras": ["wide"], "hashes": ["sha256:{A}", "sha256:{B}"], "version": "==1.2", "markers": "python_version >= '3.11'"}},
    "delta": {{"hashes": ["sha256:{C}"], "version": "==3.0"}},
    "gamma": {{"markers": "sys_platform == 'win32'", "version": "*"}}
  }},
  "develop": {{"checker": {{"hashes": ["sha256:{D}"], "version": "==4.0"}}}}
}}
"""
