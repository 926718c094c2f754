"""Configuration files that packages leave to a script of theirs."""

from __future__ import annotations

from reprolake_builder.engines.debian_setup import SystemFacts, configure_system
from reprolake_builder.engines.debian_tree import TreeMaker


def configured(root, postinst, **files):
    """Return the tree of a system with one package, whose files are given by name."""
    maker = TreeMaker(root)
    for folder in ("etc", "usr", "var/lib/dpkg/info"):
        maker.folder(folder.encode())
    for name, text in files.items():
        maker.write(f"usr/share/{name}", text.encode())
    script = f"#!/bin/sh\n{postinst}\n".encode()
    configure_system(maker, SystemFacts({"x": {"control": b"Package: x\n", "postinst": script}}))
    return maker


def test_configuration_files_are_made_from_what_the_package_has(tmp_path):
    """What ucf would copy is copied, with folders that are missing; what is not there is left out."""
    script = 'for f in a b; do ucf /usr/share/$f /etc/x/$f.conf; done\nucf /usr/share/a "/etc/passwd"'
    maker = configured(tmp_path, script, a="one\n")
    assert maker.read("etc/x/a.conf") == b"one\n"
    assert maker.read("etc/x/b.conf") is None
    assert b"jovyan" in maker.read("etc/passwd"), "what is there already stays"
