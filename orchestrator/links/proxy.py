"""All links of a devnet, and the faults on them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import structlog

from bridge.wire.configuration import LISTEN_ADDRESS
from orchestrator.links.decisions import Working
from orchestrator.links.errors import LinkFaultTaken, NoSuchLink, NoSuchLinkFault
from orchestrator.links.faults import LinkFault
from orchestrator.links.forwarding import Passage
from orchestrator.links.link import Address, Link
from orchestrator.links.side import Side

BACKLOG = 1_024
"""Connections that wait to be accepted, as many as nodes take."""

log = structlog.get_logger()


class Proxy:
    """Made by :func:`open_proxy`.

    Args:
        links: all of them.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = tuple(links)
        self._faults: dict[str, list[tuple[Link, Working]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all links."""
        return tuple(link.address.name for link in self._links)

    def apply(self, fault: LinkFault) -> tuple[str, ...]:
        """Put a fault on the links that it means; returns their names.

        Raises:
            NoSuchLink: it means none.
            LinkFaultTaken: one of this name is there.
        """
        if any(not working.healed for _, working in self._faults.get(fault.name, ())):
            raise LinkFaultTaken(
                f"there is a link fault {fault.name!r} already", "heal it first, or choose another name"
            )
        meant = [link for link in self._links if fault.means(link.address.source, link.address.target)]
        if not meant:
            raise NoSuchLink(
                f"link fault {fault.name!r}: no link leads from {fault.source} to {fault.target}",
                f"the links are: {', '.join(self.names) or 'none'}",
            )
        self._faults[fault.name] = [(link, link.apply(fault)) for link in meant]
        names = tuple(link.address.name for link in meant)
        log.info("fault.applied", **fault.to_json(), links=names)
        return names

    def heal(self, name: str) -> int:
        """Take a fault away, and tell how often it has mattered.

        Raises:
            NoSuchLinkFault: there never was one.
        """
        for link, working in self._of(name):
            if not working.healed:
                link.heal(working)
        log.info("fault.healed", name=name, touched=self.touched(name))
        return self.touched(name)

    def heal_all(self) -> dict[str, int]:
        """Take all faults away that are there."""
        return {
            name: self.heal(name)
            for name, found in self._faults.items()
            if any(not working.healed for _, working in found)
        }

    def touched(self, name: str) -> int:
        """How often a fault has mattered so far.

        Raises:
            NoSuchLinkFault: there never was one.
        """
        return sum(working.touched for _, working in self._of(name))

    def status(self) -> dict[str, Any]:
        """Open connections by link, faults by name."""
        return {
            "links": {link.address.name: len(link.connections) for link in self._links},
            "faults": {
                name: {
                    **found[0][1].fault.to_json(),
                    "links": [link.address.name for link, _ in found],
                    "healed": found[0][1].healed,
                    "touched": self.touched(name),
                }
                for name, found in self._faults.items()
            },
        }

    def _of(self, name: str) -> list[tuple[Link, Working]]:
        if name not in self._faults:
            known = ", ".join(sorted(self._faults)) or "none"
            raise NoSuchLinkFault(f"there is no link fault {name!r}", f"there are: {known}")
        return self._faults[name]


@contextlib.asynccontextmanager
async def open_proxy(addresses: Sequence[Address], host: str = LISTEN_ADDRESS) -> AsyncIterator[Proxy]:
    """Listen for all links until the block is left; whatever passes then is torn down.

    Args:
        addresses: the links.
        host: where to listen.

    Raises:
        OSError: a port is taken.
    """
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(_reported(work))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: work.close())  # of one that was cancelled before it began
        return task

    links = [Link(address, spawn) for address in addresses]
    async with contextlib.AsyncExitStack() as stack:
        for link in links:
            await stack.enter_async_context(_listening(link, host))
        try:
            yield Proxy(links)
        finally:
            for link in links:
                for connection in list(link.connections):
                    connection.reset()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _listening(link: Link, host: str) -> AsyncIterator[None]:
    def accept() -> Side:
        return Passage(link).caller

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port is reserved for us
        listener.bind((host, link.address.port))
        listener.setblocking(False)
        server = await asyncio.get_running_loop().create_server(accept, sock=listener, backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()
    finally:
        listener.close()


async def _reported(work: Coroutine[Any, Any, None]) -> None:
    """A defect on one connection is told, and leaves the others alone."""
    try:
        await work
    except Exception:
        log.exception("passage.failed")
