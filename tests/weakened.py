"""Bubblewrap without what protects the host: the positive controls of hostile tests.

What stays is what the probes ask for before they try anything: a user of its own, a PID namespace, and a nonce.
"""

from __future__ import annotations

import os
import struct

from reprolake_builder.sandboxes import bubblewrap, launched
from reprolake_builder.sandboxes.arguments import arguments

_AFTER_THEM = {"--cap-drop": 1, "--hostname": 1, "--remount-ro": 1, "--seccomp": 1}
_DROPPED = {*_AFTER_THEM, "--unshare-all", "--disable-userns", "--new-session", "--clearenv"}
_SHARED = ["--unshare-pid", "--cap-add", "ALL"]
_LAUNCH = """
import sys; sys.path.append({packages!r})
import fcntl, os
from reprolake_builder.sandboxes import launch, mounts
mounts.join_own_keyring = lambda: None
become = os.execve
def execve(program, words, env):
    with open(int(words[2]), "rb") as stream:
        inline = [word.decode() for word in stream.read().split(b"\\0")[:-1]]
    try:
        fcntl.ioctl(0, 0x540E, 0)
    except OSError:
        pass
    os.set_inheritable(os.dup2(os.open("/etc/hostname", os.O_RDONLY), 77), True)
    become(program, [words[0], "--setenv", "OF_HOST", {argument!r}, *inline, *words[3:]], {{"HOST_SECRET": {secret!r}, "PATH": "/usr/bin:/bin"}})
os.execve = execve
launch.main()
"""


def weaken(monkeypatch, *, secret="", argument=""):
    """Take the walls down for what is started during a test: filter, namespaces, capabilities, keyring, environment."""
    source = _LAUNCH.format(packages=launched.PACKAGES, secret=secret, argument=argument)
    monkeypatch.setattr(launched, "LAUNCH", source)
    monkeypatch.setattr(bubblewrap, "arguments", _weak_arguments)


def without_filter(monkeypatch):
    """Let every system call through; everything else stays."""
    allow = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(launched, "rules", lambda: allow)


def _weak_arguments(*given, **named):
    words, kept, skip = arguments(*given, **named), [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in _DROPPED:
            skip = _AFTER_THEM.get(word, 0)
        else:
            kept.append(word)
    return [*_SHARED, *kept]


def own(path, content=b""):
    """A file that sandboxed programs may change."""
    path.write_bytes(content)
    os.chmod(path, 0o666)
    return path
