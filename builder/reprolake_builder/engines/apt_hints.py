"""Which Debian package has the tool, header or library that a build lacked: a table of the common ones.

Debian's own index of contents would tell all of them, at 30 MB a suite.
"""

from __future__ import annotations

import re

PACKAGES = {
    "autoconf": "autoconf autoreconf autoheader",
    "automake": "automake aclocal",
    "bison": "bison yacc",
    "cargo": "cargo rustc",
    "cmake": "cmake",
    "curl": "curl",
    "default-jdk-headless": "java javac jni.h",
    "default-libmysqlclient-dev": "mysql_config mysql.h -lmysqlclient",
    "doxygen": "doxygen",
    "flex": "flex FlexLexer.h -lfl",
    "g++": "g++ c++",
    "gcc": "gcc cc x86_64-linux-gnu-gcc",
    "gfortran": "gfortran f95 f77",
    "git": "git",
    "libarchive-dev": "archive.h -larchive",
    "libblas-dev": "cblas.h -lblas -lcblas",
    "libboost-all-dev": "boost/ -lboost_python311 -lboost_system Boost",
    "libbz2-dev": "bzlib.h -lbz2",
    "libcairo2-dev": "cairo.h cairo -lcairo",
    "libcfitsio-dev": "fitsio.h cfitsio -lcfitsio CFITSIO",
    "libcurl4-openssl-dev": "curl-config curl/curl.h libcurl -lcurl",
    "libeigen3-dev": "Eigen/ eigen3 Eigen3",
    "libevent-dev": "event.h -levent",
    "libexpat1-dev": "expat.h -lexpat",
    "libffi-dev": "ffi.h libffi -lffi",
    "libfftw3-dev": "fftw3.h fftw3 fftw3f -lfftw3 -lfftw3f -lfftw3l FFTW FFTW3",
    "libfreetype-dev": "ft2build.h freetype2 -lfreetype",
    "libgdal-dev": "gdal.h gdal-config gdal -lgdal GDAL",
    "libgeos-dev": "geos_c.h geos-config -lgeos_c GEOS",
    "libgl1-mesa-dev": "GL/ -lGL",
    "libglib2.0-dev": "glib.h glib-2.0 -lglib-2.0",
    "libgmp-dev": "gmp.h gmp -lgmp GMP",
    "libgraphviz-dev": "graphviz/ libcgraph -lcgraph",
    "libgsl-dev": "gsl/ gsl-config gsl -lgsl -lgslcblas GSL",
    "libhdf5-dev": "hdf5.h h5cc hdf5 -lhdf5 HDF5",
    "libjpeg-dev": "jpeglib.h libjpeg -ljpeg JPEG",
    "liblapack-dev": "-llapack LAPACK BLAS",
    "liblapacke-dev": "lapacke.h -llapacke",
    "liblz4-dev": "lz4.h liblz4 -llz4",
    "liblzma-dev": "lzma.h liblzma -llzma",
    "libmpc-dev": "mpc.h -lmpc",
    "libmpfr-dev": "mpfr.h mpfr -lmpfr MPFR",
    "libncurses-dev": "ncurses.h curses.h -lncurses -ltinfo",
    "libnetcdf-dev": "netcdf.h nc-config netcdf -lnetcdf NetCDF",
    "libopenblas-dev": "openblas openblas_config.h -lopenblas OpenBLAS lapack/blas",
    "libopenmpi-dev": "mpi.h mpicc mpicxx ompi-c -lmpi MPI",
    "libpng-dev": "png.h libpng -lpng PNG",
    "libpq-dev": "libpq-fe.h pg_config libpq -lpq",
    "libproj-dev": "proj.h proj -lproj PROJ",
    "libreadline-dev": "readline/ -lreadline",
    "libsndfile1-dev": "sndfile.h sndfile -lsndfile",
    "libsqlite3-dev": "sqlite3.h sqlite3 -lsqlite3",
    "libssl-dev": "openssl/ openssl libssl -lssl -lcrypto OpenSSL",
    "libsuitesparse-dev": "suitesparse/ umfpack.h cholmod.h -lumfpack -lcholmod",
    "libtiff-dev": "tiffio.h libtiff-4 -ltiff TIFF",
    "libtool-bin": "libtool libtoolize",
    "libudunits2-dev": "udunits2.h -ludunits2",
    "libx11-dev": "X11/ x11 -lX11",
    "libxml2-dev": "libxml/ xml2-config libxml-2.0 -lxml2 LibXml2",
    "libxslt1-dev": "libxslt/ xslt-config libxslt -lxslt",
    "libyaml-dev": "yaml.h -lyaml",
    "libzmq3-dev": "zmq.h libzmq -lzmq",
    "libzstd-dev": "zstd.h libzstd -lzstd",
    "llvm-dev": "llvm-config LLVM",
    "m4": "m4",
    "make": "make gmake",
    "meson": "meson",
    "nasm": "nasm",
    "ninja-build": "ninja",
    "patch": "patch",
    "perl": "perl",
    "pkg-config": "pkg-config pkgconf",
    "portaudio19-dev": "portaudio.h -lportaudio",
    "python3-dev": "Python.h python3-config",
    "swig": "swig",
    "unixodbc-dev": "sql.h sqlext.h -lodbc",
    "wcslib-dev": "wcslib/ wcslib.h wcslib -lwcs",
    "wget": "wget",
    "zlib1g-dev": "zlib.h zlib -lz ZLIB",
}
"""Names of Debian packages, each with the words that stand for it: tools, headers (folders with a slash), libraries, modules."""
_KNOWN = {word: package for package, words in PACKAGES.items() for word in words.split()}
_NAME = r"([A-Za-z0-9_][\w.+-]*)"
_LACKING = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"fatal error: '?([\w./+-]+)'?(?:: No such file| file not found)",
        r"cannot find (-l[\w.+-]+)",
        rf"(?:^|[\s:/]){_NAME}: (?:command )?not found",
        rf"No such file or directory: '(?:/usr/bin/)?{_NAME}'",
        rf"command '(?:/usr/bin/)?{_NAME}' failed: No such file",
        rf"unable to execute '?{_NAME}'?: No such file",
        rf"Program '?{_NAME}(?: [^\n']*)?'? (?:not found|found: NO)",
        r"No package '([^'\n]+)' found",
        r"Package '?([\w.+-]+)'?(?:, required by '[^'\n]*',)? (?:was )?not found",
        r'Dependency "([^"\n]+)" not found',
        r"Could NOT find (\w+)",
        r"NotFoundError: No (lapack/blas) resources found",
    )
)
_PROBE = re.compile(r"^_?conf(?:ig)?test\w*\.\w+:.*$", re.MULTILINE)  # where a build looks what there is
_SHOWN = 5


def lacking(log: str) -> dict[str, str]:
    """Return what a build lacked by its words, each with the Debian package that has it, "" where the table knows none.

    Names that the table does not know are told only for headers and libraries, of which a compiler's words are certain.
    """
    found: dict[str, str] = {}
    serious = _PROBE.sub("", log)
    for pattern in _LACKING:
        for word in pattern.findall(serious):
            package = _KNOWN.get(word) or _KNOWN.get(f"{word.partition('/')[0]}/" if "/" in word else "", "")
            if package or word.startswith("-l") or word.endswith((".h", ".hpp", ".mod")):
                found.setdefault(word, package)
    return dict(list(found.items())[:_SHOWN])


def apt_hint(log: str) -> str:
    """Return what to do about a build that lacked something of the system, "" when its words tell of nothing."""
    found = lacking(log)
    known = {word: package for word, package in found.items() if package}
    if known:
        options = " ".join(f"--apt {package}" for package in dict.fromkeys(known.values()))
        told = ", ".join(f"{word} is in Debian's {package}" for word, package in known.items())
        return f"{told}: add {options}"
    if found:
        word = next(iter(found)).removeprefix("-l")
        return f"it needs {word}: give the Debian package that has it with --apt NAME (`apt-file search {word}` tells which)"
    return ""
