"""Support of tests: one link on loopback, to a JSON-RPC server that remembers what it was asked, or to any other."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.jsonrpc import Client
from bridge.wire.server import serve
from orchestrator.links.faults import LinkFault, LinkFaultKind
from orchestrator.links.link import Address
from orchestrator.links.proxy import Proxy, open_proxy
from orchestrator.runtimes.ports import LOOPBACK, PortReservations

ALPHA_TO_BETA = "alpha→beta:http"
_NEEDED: dict[str, dict[str, float]] = {"delay": {"latency_s": 0.05}, "throttle": {"bytes_per_s": 20_000.0}}


@dataclass
class Asked:
    """What a server was asked, in the order of arrival."""

    methods: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is cleared nobody is answered."""

    async def answer(self, method: str, params: list[Any]) -> Any:
        """The parameters again."""
        self.methods.append(method)
        await self.gate.wait()
        return [method, *params]


@dataclass(frozen=True)
class OneLink:
    """A proxy with one link, and a client on each side of it."""

    proxy: Proxy
    asked: Asked
    client: Client
    """Over the link."""
    direct: Client
    port: int
    """Of the proxy."""

    def apply(self, kind: str, name: str = "", **fields: Any) -> LinkFault:
        """Put a fault on the link."""
        made = fault(kind, name, **fields)
        self.proxy.apply(made)
        return made


def fault(kind: str, name: str = "", **fields: Any) -> LinkFault:
    """A fault on every link that has all that its kind needs."""
    return LinkFault(name or kind, "*", "*", LinkFaultKind(kind), **{**_NEEDED.get(kind, {}), **fields})


@contextlib.asynccontextmanager
async def linked(target: int, asked: Asked | None = None) -> AsyncIterator[OneLink]:
    """A link to a port on loopback."""
    with PortReservations() as ports:
        port = ports.reserve()
        address = Address("alpha", "beta", "http", f"http://{LOOPBACK}:{target}", port)
        async with (
            open_proxy([address], LOOPBACK) as proxy,
            Client(f"http://{LOOPBACK}:{port}", timeout=5) as client,
            Client(f"http://{LOOPBACK}:{target}", timeout=5) as direct,
        ):
            yield OneLink(proxy, asked or Asked(), client, direct, port)


@contextlib.asynccontextmanager
async def linked_rpc() -> AsyncIterator[OneLink]:
    """A link to a JSON-RPC server, such as every node is one."""
    asked = Asked()
    asked.gate.set()
    with PortReservations() as ports:
        target = ports.reserve()
        async with serve(asked.answer, target), linked(target, asked) as link:
            yield link


@contextlib.asynccontextmanager
async def linked_tcp(serving: Any) -> AsyncIterator[OneLink]:
    """A link to a server of plain TCP.

    Args:
        serving: handles one connection, given its reader and writer.
    """

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            try:
                await serving(reader, writer)
            finally:
                writer.close()

    server = await asyncio.start_server(one, LOOPBACK, 0, family=socket.AF_INET)
    async with server, linked(server.sockets[0].getsockname()[1]) as link:
        yield link


@contextlib.contextmanager
def taking(least_s: float, most_s: float = 5.0) -> Any:
    """Fails if the block takes less time, or much more."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert least_s <= took < most_s, f"took {took:.3f} s instead of {least_s} s to {most_s} s"
