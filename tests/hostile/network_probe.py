"""Runs inside a sandbox and tries to reach what it may not; given as JSON in the file that its argument names, found as JSON on standard output.

Nothing is tried outside: it looks for its nonce, a PID namespace of its own, and a user that is not root.
"""

import json
import os
import socket
import sys
import time

with open(sys.argv[1]) as stream:
    GIVEN = json.load(stream)
if (
    os.environ.get("NONCE") != GIVEN["nonce"]
    or not GIVEN["nonce"]
    or os.readlink("/proc/self/ns/pid") == GIVEN["pid_namespace"]
    or os.getuid() == 0
):
    sys.exit("this is no sandbox: nothing was tried")


def raw(family, host, port):
    """Knock at an address without the proxy."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(3)
            one.connect((host, port))
            return "connected"
    except OSError as error:
        return type(error).__name__


def ask(data, wait=60):
    """Send bytes to the proxy; the first line of its answer, and whether the end of the answer is that of a tunnel's other end."""
    try:
        with socket.create_connection(("127.0.0.1", 3128), wait) as one:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            got = b""
            while piece := one.recv(65536):
                got += piece
    except OSError as error:
        return [type(error).__name__, ""]
    return [got.partition(b"\r\n")[0].decode("latin-1"), got[-40:].decode("latin-1")]


def crowd(number):
    """Open so many connections to the proxy, say nothing on them, and see what becomes of a request beside them."""
    held = []
    try:
        for _ in range(number):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", 3128))
            held.append(one)
    except OSError:
        pass
    print(json.dumps({"crowd": len(held)}), flush=True)
    sys.stdin.readline()
    for one in held:
        one.close()
    time.sleep(0.2)
    return ask(GIVEN["crowd_request"].encode(), 100)


def others():
    """Ways that are not TCP: a socket of the host in no folder, a datagram, a name."""
    tried = {}
    for name, attempt in (
        ("abstract", lambda one: one.connect("\0" + GIVEN["abstract"])),
        ("datagram", lambda one: one.sendto(b"x", ("127.0.0.1", GIVEN["datagram"]))),
        ("outward", lambda one: one.sendto(b"x", ("192.0.2.1", 9))),
    ):
        family = socket.AF_UNIX if name == "abstract" else socket.AF_INET
        kind = socket.SOCK_STREAM if name == "abstract" else socket.SOCK_DGRAM
        with socket.socket(family, kind) as one:
            try:
                attempt(one)
                tried[name] = "done"
            except OSError as error:
                tried[name] = type(error).__name__
    try:
        tried["name"] = socket.gethostbyname(GIVEN["name"])
    except OSError as error:
        tried["name"] = type(error).__name__
    return tried


FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
found = {name: raw(FAMILIES[kind], host, port) for name, (kind, host, port) in GIVEN["raw"].items()}
found |= {name: ask(text.encode("latin-1")) for name, text in GIVEN["asked"].items()}
if "abstract" in GIVEN:
    found["others"] = others()
if GIVEN.get("crowd"):
    found["crowd"] = crowd(GIVEN["crowd"])
print(json.dumps(found), flush=True)
