"""Runs code in a kernel of a Jupyter server over its own protocol and prints what the code printed, then how it ended."""

import asyncio
import json
import sys
import urllib.request
import uuid

import websockets


def _kernel(server, token):
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    body = json.dumps(
        {
            "name": "python3",
            "path": "/repo/lightcurve.ipynb",
            "type": "notebook",
            "kernel": {"name": "python3"},
        }
    )
    asked = urllib.request.Request(f"{server}api/sessions", body.encode(), headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)["kernel"]["id"]


async def main(server, token, code):
    """Execute the code and return whether it ended well."""
    kernel = _kernel(server, token)
    url = f"{server.replace('http://', 'ws://')}api/kernels/{kernel}/channels"
    async with websockets.connect(
        url, additional_headers={"Authorization": f"token {token}"}, max_size=None
    ) as socket:
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": uuid.uuid4().hex,
            "version": "5.3",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        }
        await socket.send(
            json.dumps(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                }
            )
        )
        while True:
            told = json.loads(await asyncio.wait_for(socket.recv(), 120))
            if told["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if told["msg_type"] == "stream":
                sys.stdout.write(told["content"]["text"])
            if told["msg_type"] == "error":
                sys.stderr.write("\n".join(told["content"]["traceback"]))
            if told["msg_type"] == "execute_reply":
                return told["content"]["status"] == "ok"


sys.exit(0 if asyncio.run(main(sys.argv[1], sys.stdin.readline().strip(), sys.stdin.read())) else 1)
