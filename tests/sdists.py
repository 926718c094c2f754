"""Source distributions made on the spot."""

from __future__ import annotations

import gzip
import io
import tarfile


def sdist(name: str, version: str, **files: str) -> dict[str, bytes]:
    """Return file name and content of an archive; in names of files two underscores stand for a dot, three for a slash."""
    top = f"{name}-{version}"
    texts = {"PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: {version}\n"}
    texts |= {key.replace("___", "/").replace("__", "."): text for key, text in files.items()}
    return {f"{top}.tar.gz": archive({f"{top}/{path}": text for path, text in texts.items()})}


def archive(texts: dict[str, str], *others: tarfile.TarInfo) -> bytes:
    """Return a compressed archive with these texts and other members, the same at every call."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as stream:
        for path, text in texts.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            stream.addfile(entry, io.BytesIO(text.encode()))
        for other in others:
            stream.addfile(other)
    return gzip.compress(plain.getvalue(), mtime=0)


def setup_py(name: str, version: str, more: str = "") -> str:
    """Return a setup.py for one module of the package's name."""
    return f"from setuptools import setup, Extension\nsetup(name={name!r}, version={version!r}, {more})\n"


def c_module(name: str, body: str = "return PyLong_FromLong(42);", head: str = "") -> str:
    """Return C source of a module whose function `f` does what `body` says."""
    return f"""\
#include <Python.h>
{head}
static PyObject *f(PyObject *self, PyObject *given) {{ {body} }}
static PyMethodDef methods[] = {{{{"f", f, METH_NOARGS, ""}}, {{0}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{name}", "", -1, methods}};
PyMODINIT_FUNC PyInit_{name}(void) {{ return PyModule_Create(&module); }}
"""
