"""One directed link: what is wrong with it, and who passes over it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from orchestrator.links.decisions import Hold, Working, in_order, met_by
from orchestrator.links.faults import LinkFault, LinkFaultKind

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Runs something beside everything else, until the proxy ends."""


class Blackholes:
    """Those that one connection is in; each has met it once bytes (or the connection itself) wait because of it."""

    def __init__(self) -> None:
        self._met: dict[Working, bool] = {}

    @property
    def none(self) -> bool:
        """Bytes go straight through."""
        return not self._met

    def enter(self, working: Working) -> None:
        """Hang from now on."""
        self._met[working] = False

    def hang(self) -> bool:
        """Whether what is about to pass has to wait; it is then counted."""
        for working in [working for working in self._met if working.healed]:
            del self._met[working]
        for working, counted in self._met.items():
            if not counted:
                self._met[working] = True
                working.touched += 1
        return bool(self._met)


class Connection(Protocol):
    """What a link does to one that passes over it."""

    blackholes: "Blackholes"

    def reset(self) -> None:
        """Tear it down at once, visibly for both ends."""


@dataclass(frozen=True, slots=True)
class Address:
    """A directed link, and where it leads."""

    source: str
    target: str
    endpoint: str
    """Of the target."""
    url: str
    """Of the target's endpoint."""
    port: int
    """Where the proxy listens for the source."""

    @property
    def name(self) -> str:
        """For people and for seeds."""
        return f"{self.source}→{self.target}:{self.endpoint}"

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Of the target's endpoint."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None, "urls of nodes name a host"
        assert parts.port is not None, "urls of nodes name a port"
        return parts.hostname, parts.port


@dataclass(slots=True)
class Exchange:
    """A request that was passed on and is not answered."""

    method: bytes
    """Of HTTP."""
    calls: tuple[str, ...] = ()
    """Methods of JSON-RPC, as far as a fault made anybody ask."""
    overtaken: list[Hold] = field(default_factory=list)
    """Requests that wait for its answer."""


class Link:
    """Passes connections on, and knows what is wrong.

    Args:
        address: from where to where.
        spawn: runs what waits.
    """

    def __init__(self, address: Address, spawn: Spawn) -> None:
        self.address, self.spawn = address, spawn
        self.host, self.port = address.host_and_port
        self.working: list[Working] = []
        """In the order in which they are worked through."""
        self.connections: set[Connection] = set()
        self._waiting: set[asyncio.Future[None]] = set()

    def apply(self, fault: LinkFault) -> Working:
        """Begin to go wrong, for open connections as well."""
        working = Working(fault, self.address.name)
        self.working = in_order([*self.working, working])
        for connection in list(self.connections):
            if fault.kind is LinkFaultKind.RESET and working.draw()[0]:
                working.touched += 1
                connection.reset()
            elif fault.kind is LinkFaultKind.BLACKHOLE and working.draw()[0]:
                connection.blackholes.enter(working)
        return working

    def heal(self, working: Working) -> None:
        """Release everything that waits because of a fault."""
        working.healed = True
        self.working = [other for other in self.working if other is not working]
        self.changed()

    def resets(self) -> tuple[Working, ...]:
        """What tears down the connection that is made now."""
        return met_by(self.working, LinkFaultKind.RESET)

    def hangs(self) -> tuple[Working, ...]:
        """What keeps the connection that is made now from passing anything on."""
        return met_by(self.working, LinkFaultKind.BLACKHOLE)

    def hold(self, working: Working | None, now: float) -> Hold | None:
        """Keep a request back, unless another one waits already for one to overtake it: this one then does."""
        if working is None or (working.hold is not None and working.hold.until > now):
            return None
        working.hold = Hold(now + working.fault.hold_s)
        return working.hold

    def sent(self, exchange: Exchange) -> None:
        """Requests that are kept back have been overtaken by this one, and now wait for its answer."""
        for working in self.working:
            if working.hold is not None and working.hold.until:
                working.hold.overtaken = True
                exchange.overtaken.append(working.hold)

    def answered(self, exchange: Exchange) -> None:
        """An answer has begun, or will never come."""
        for hold in exchange.overtaken:
            hold.released = True
        if exchange.overtaken:
            exchange.overtaken.clear()
            self.changed()

    async def pause(self, seconds: float | None = None) -> None:
        """Wait so long, or until something may have changed."""
        changed = asyncio.get_running_loop().create_future()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(seconds):
                await changed
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(changed)

    def changed(self) -> None:
        """Have all who wait look again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
