"""The variables of an image: what is set where, and what cannot be one."""

import msgspec
import pytest
from hostile_locks import a_lock

from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.lock import CondaInterpreter
from reprolake_builder.engines.image_environment import image_variables
from reprolake_builder.errors import BuildError
from reprolake_builder.store import Store

PYTHON = CondaInterpreter(version="3.11.2", executable="/opt/conda/bin/python3.11", sha256="0" * 64)
CONDA = CondaLock(channels=(), virtual_packages=(), packages=())


def variables(tmp_path, lock, **set_by_repository):
    """Return what an image of the lock has, of which no tree is there."""
    asked = msgspec.structs.replace(lock.environment, variables=set_by_repository)
    store = Store(tmp_path / "store")
    return image_variables(msgspec.structs.replace(lock, environment=asked), (), store)


def test_debians_python_lies_in_an_environment_of_its_own(tmp_path):
    """Without conda the programs of the virtual environment come first."""
    assert variables(tmp_path, a_lock()) == {
        "PATH": "/opt/env/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/home/jovyan",
        "SHELL": "/bin/bash",
        "USER": "jovyan",
        "NB_USER": "jovyan",
        "NB_UID": "1000",
        "NB_PYTHON_PREFIX": "/opt/env",
        "REPO_DIR": "/repo",
        "VIRTUAL_ENV": "/opt/env",
    }


def test_condas_programs_come_first(tmp_path):
    """With conda its prefix is the environment; certificates are Debian's where no package has any."""
    lock = msgspec.structs.replace(a_lock(), interpreter=PYTHON, conda=CONDA)
    found = variables(tmp_path, lock, LANG="de_DE.UTF-8", CRAB="nebula and more")
    assert found["PATH"] == "/opt/conda/bin:/usr/local/bin:/usr/bin:/bin"
    assert (found["CONDA_PREFIX"], found["CONDA_DEFAULT_ENV"]) == ("/opt/conda", "base")
    assert found["NB_PYTHON_PREFIX"] == "/opt/conda"
    assert found["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
    assert (found["LANG"], found["CRAB"]) == ("de_DE.UTF-8", "nebula and more")
    assert "VIRTUAL_ENV" not in found


@pytest.mark.parametrize(
    ("name", "value"), [("A=B", "x"), ("", "x"), ("1A", "x"), ("A", "\0"), ("A", "\x1b[2J")]
)
def test_what_no_variable_can_be_is_refused(tmp_path, name, value):
    """A lock by anybody cannot bring names or values that end a variable early."""
    with pytest.raises(BuildError, match="cannot be an environment variable"):
        variables(tmp_path, a_lock(), **{name: value})
