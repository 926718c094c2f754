"""Which distribution of the package index a module comes from, where the two are called differently.

Names that are alike need no entry. Only what somebody looked up stands here: a name that merely resembles a module's may be
anybody's.
"""

from __future__ import annotations

DISTRIBUTIONS = {
    # the scientific stack
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "gitpython",
    "IPython": "ipython",
    "jwt": "pyjwt",
    "Levenshtein": "levenshtein",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "MySQLdb": "mysqlclient",
    "netCDF4": "netcdf4",
    "OpenSSL": "pyopenssl",
    "osgeo": "gdal",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib",
    "pywt": "pywavelets",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "slugify": "python-slugify",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
    # astronomy
    "AegeanTools": "aegeantools",
    "astLib": "astlib",
    "casacore": "python-casacore",
    "lal": "lalsuite",
    "lalburst": "lalsuite",
    "lalframe": "lalsuite",
    "lalinference": "lalsuite",
    "lalmetaio": "lalsuite",
    "lalpulsar": "lalsuite",
    "lalsimulation": "lalsuite",
    "PyAstronomy": "pyastronomy",
    "rmtools": "rm-tools",
    # particle physics
    "rucio": "rucio-clients",
    "XRootD": "xrootd",
}
"""Distribution by module."""

ELSEWHERE = {
    "ROOT": "ROOT is no package of the index: conda-forge has it as `root`",
    "cppyy_backend": "it comes with ROOT",
    "geant4_pybind": "it wants a compiler and Geant4",
    "gi": "Debian has it: python3-gi in apt.txt is for Debian's own Python only",
    "sage": "conda-forge has it",
    "google": "several distributions share this name: declare the one that is meant",
}
"""Modules that no distribution of the index stands for, and where they are."""


PROGRAMS = {
    "ffmpeg": "ffmpeg",
    "git": "git",
    "graphviz": "graphviz",
    "pdf2image": "poppler-utils",
    "pydot": "graphviz",
    "pypandoc": "pandoc",
    "pytesseract": "tesseract-ocr",
}
"""Modules that only speak with a program, and the Debian package that has it: a distribution of the index never does."""


def modules_of(distribution: str) -> tuple[str, ...]:
    """Return the modules that a distribution is known to have under other names than its own."""
    return tuple(module for module, name in DISTRIBUTIONS.items() if name == distribution)
