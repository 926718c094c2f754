"""Connections to the outside when looking names up takes its time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxies import canned

from reprolake_builder.network import dialing
from reprolake_builder.network.dialing import LOOK_UPS, Dialer, RefusedError
from reprolake_builder.network.policy import parse


def test_slow_names_hide_no_name_of_this_network(monkeypatch):
    """Where the site's proxy looks names up, names without an end keep nobody from seeing that another one leads inward."""
    monkeypatch.setattr(dialing, "_GLANCE_SECONDS", 0.1)
    ended = threading.Event()

    def system(host: str) -> tuple[str, ...]:
        if host.startswith("slow"):
            ended.wait(10)
            raise OSError("no answer")
        return ("10.0.0.1",)

    async def look_up(host: str) -> tuple[str, ...]:
        return await asyncio.get_running_loop().run_in_executor(None, system, host)

    async def ask(port: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS))
        dialer = Dialer(parse("all"), {"http": f"http://127.0.0.1:{port}"}, (), look_up)
        slow = [dialer.open("http", f"slow{number}.test", 80) for number in range(LOOK_UPS)]
        for (_, writer), _ in await asyncio.gather(*slow):
            writer.transport.abort()
        loop.call_later(0.5, ended.set)
        with pytest.raises(RefusedError, match="leads to 10\\.0\\.0\\.1"):
            await dialer.open("http", "inner.test", 80)

    with canned() as site:
        try:
            asyncio.run(ask(site.port))
        finally:
            ended.set()


@pytest.mark.parametrize("host", ["proxy.example", "alias.example", "8.8.4.4"])
def test_the_sites_proxy_is_no_host_for_a_sandbox(host):
    """Who could speak to the site's proxy directly could ask it for what this one refuses."""

    async def look_up(name: str) -> tuple[str, ...]:
        return ("8.8.4.4",)

    dialer = Dialer(parse("all"), {"http": "http://proxy.example:3128"}, (), look_up)
    with pytest.raises(RefusedError, match="is the site's proxy"):
        asyncio.run(dialer.tunnel(host, 3128))
