"""The network between simulated nodes: messages take a while, and are lost, doubled, held up and reordered as the schedule says.

A call is two messages. How long each takes follows from the schedule's seed, the link and how many went over it before, not from a stream of
random numbers: taking one fault out of a schedule leaves everything that it did not touch as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.wire.errors import INTERNAL_ERROR, INVALID_PARAMS, Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client, Handler
from orchestrator.simulation.loop import Process, SimulatedLoop

CALL_SECONDS = 10.0
"""Longest wait for an answer unless a call says otherwise."""
REFUSED_SECONDS = 0.001
"""Until a caller knows that nobody listens."""

Fate = tuple[float, ...]
"""When copies of a message arrive, seconds from now; none if it is lost."""


@dataclass(slots=True)
class LinkState:
    """What is wrong with one directed link at the moment."""

    cut: int = 0
    """Faults that let nothing through."""
    deaf: int = 0
    """Faults that lose the answers."""
    slow: float = 0.0
    """Seconds more for each message, half of it at least."""
    doubled: int = 0
    """Faults that deliver requests twice, the second time late."""
    messages: int = 0
    """So far."""
    number: int = 0
    """Which link."""


@dataclass(slots=True)
class Endpoint:
    """Who answers at an address."""

    process: Process
    handler: Handler | None
    plain: Callable[[str, list[Any]], Any] | None = None
    """Answers at once: what never dies needs no task."""


@dataclass(slots=True)
class Network:
    """All links."""

    loop: SimulatedLoop
    seed: int
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    links: dict[tuple[str, str], LinkState] = field(default_factory=dict)
    on_answer: list[Callable[[Process, str, str, Sequence[Any], Any], None]] = field(default_factory=list)
    """Told of each call that was answered: by whom, to which address, method, parameters, answer (an ``RpcError`` if it was refused)."""

    def link(self, source: str, target: str) -> LinkState:
        """State of a directed link."""
        state = self.links.get((source, target))
        if state is None:
            number = scramble(self.seed, _number(source), _number(target))
            state = self.links[source, target] = LinkState(number=number)
        return state

    def listen(self, address: str, handler: Handler) -> None:
        """The present process answers at an address from now on."""
        self.endpoints[address] = Endpoint(self.loop.process, handler)

    def listen_plainly(self, address: str, plain: Callable[[str, list[Any]], Any]) -> None:
        """The world answers at an address, always and at once."""
        self.endpoints[address] = Endpoint(self.loop.world, None, plain)

    def fate(self, source: str, target: str, *, answer: bool = False) -> Fate:
        """What becomes of the next message of a link."""
        state = self.link(source, target)
        state.messages += 1
        if state.cut or (answer and state.deaf):
            return ()
        noise = scramble(state.number, state.messages)
        delay = 0.0005 + (noise & 1023) / 1023 * 0.004
        if state.slow:
            delay += state.slow * (0.5 + (noise >> 10 & 1023) / 2046)
        if state.doubled and not answer:
            return (delay, delay + 0.05 + (noise >> 20 & 1023) / 1023)
        return (delay,)

    def send(
        self, source: Process, target: str, method: str, body: bytes, reply: Callable[[Any], None]
    ) -> None:
        """One request; ``reply`` is told the answer, if it ever comes."""
        for delay in self.fate(source.name, target):
            self.loop.later(delay, self._deliver, source, target, method, body, reply)

    def _deliver(
        self, source: Process, target: str, method: str, body: bytes, reply: Callable[[Any], None]
    ) -> None:
        endpoint = self.endpoints.get(target)
        if endpoint is None or not endpoint.process.alive:
            refusal = PeerUnreachable(f"{target}: connection refused")
            self.loop.later(REFUSED_SECONDS, reply, refusal)
            return
        if endpoint.plain is not None:
            try:
                answer: Any = orjson.dumps(endpoint.plain(method, orjson.loads(body)))
            except RpcError as exc:
                answer = exc
            for delay in self.fate(target, source.name, answer=True):
                self.loop.later(delay, reply, answer)
            return
        self.loop.spawn(endpoint.process, self._answer(endpoint, source, target, method, body, reply))

    async def _answer(
        self,
        endpoint: Endpoint,
        source: Process,
        target: str,
        method: str,
        body: bytes,
        reply: Callable[[Any], None],
    ) -> None:
        assert endpoint.handler is not None
        self.loop.boundary()
        answer = await answered(endpoint.handler, method, orjson.loads(body))
        for listener in self.on_answer:
            listener(endpoint.process, target, method, orjson.loads(body), answer)
        self.loop.boundary()
        for delay in self.fate(target, source.name, answer=True):
            self.loop.later(delay, reply, answer)


async def answered(handler: Handler, method: str, params: list[Any]) -> Any:
    """The answer as it goes over the wire: JSON, or an error."""
    try:
        return orjson.dumps(await handler(method, params))
    except RpcError as exc:
        return exc
    except Malformed as exc:
        return RpcError(INVALID_PARAMS, str(exc))
    except Exception as exc:
        return RpcError(INTERNAL_ERROR, f"internal error: {type(exc).__name__}")


class Remote(Client):
    """A peer as the process that made this sees it."""

    def __init__(self, network: Network, target: str) -> None:
        super().__init__(target)
        self._network, self._target = network, target
        self._process = network.loop.process

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """See :class:`Client`."""
        loop = self._network.loop
        loop.boundary()
        waiting = loop.create_future()

        def reply(answer: Any) -> None:
            if self._process.alive and not waiting.done():
                waiting.set_result(answer)

        timer = loop.later(
            CALL_SECONDS if deadline is None else deadline,
            reply,
            PeerUnreachable(f"{self._target}: no answer in time"),
        )
        self._network.send(self._process, self._target, method, orjson.dumps(params), reply)
        try:
            answer = await waiting
        finally:
            timer.cancel()
        if isinstance(answer, Exception):
            raise type(answer)(*_parts(answer))
        return orjson.loads(answer)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any | RpcError]:
        """One call after the other."""
        return [await self.call(method, *params, deadline=deadline) for method, params in calls]


def scramble(*numbers: int) -> int:
    """A number of 64 bits that looks random and follows from these."""
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ number) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 29
        state = state * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 32
    return state


def _number(name: str) -> int:
    """Of a node; not ``hash``, which differs from run to run."""
    return int.from_bytes(name[-6:].encode(), "big")


def _parts(error: Exception) -> tuple[Any, ...]:
    return (error.code, error.message, error.data) if isinstance(error, RpcError) else error.args
