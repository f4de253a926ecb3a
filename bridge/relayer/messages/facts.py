"""Asking what is true of messages: one batch per chain, whatever their number, all chains at once.

For everybody: the relayer asks with it, and so may whoever only wants to know how far a message is.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.codec import Interface
from bridge.contracts.errors import ContractsError
from bridge.relayer.messages.envelope import MAILBOX, Envelope
from bridge.relayer.messages.lifecycle import Call, Facts, Hop, Incoming, Outgoing, Route
from bridge.relayer.messages.sightings import MESSENGER, ROUTER
from bridge.wire.errors import Malformed, RpcError, WireError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex

_Query: TypeAlias = tuple[str, Interface, str, tuple[Any, ...]]
"""Address, its interface, a view function and its arguments."""
_CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class RollupEnds:
    """Where a rollup is reached."""

    client: Client
    """Its public RPC."""
    messenger: str
    """Its L1CrossDomainMessenger, on L1."""


@dataclass(frozen=True, slots=True)
class Chains:
    """All that messages go between."""

    l1: Client
    router: str
    """MessageRouter, on L1."""
    rollups: Mapping[int, RollupEnds]
    """By chain id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A message to be asked about."""

    envelope: Envelope
    calls: tuple[Call, ...] = ()
    """Calls of it that messengers pass on, as far as they are known; whether one is held is asked of these."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was learned."""

    facts: Mapping[str, Facts]
    """By the message's hash; those that a silent chain has a part in are missing."""
    trouble: tuple[str, ...]
    """Why chains did not answer."""


@dataclass(slots=True)
class _Questions:
    """What one chain is asked; the same is asked once."""

    queries: dict[tuple[str, str, Any], _Query] = field(default_factory=dict)

    def add(self, to: str, interface: Interface, function: str, *arguments: Any) -> None:
        self.queries[to, function, arguments] = (to, interface, function, arguments)


async def gather(chains: Chains, asked: Sequence[Asked]) -> Gathered:
    """Facts about messages; a chain that doesn't answer, or answers nonsense, is a trouble in words."""
    questions = _questions(chains, asked)
    trouble: list[str] = []
    answers: dict[int, dict[Any, Any]] = {}

    async def ask(chain_id: int, wanted: _Questions) -> None:
        client = chains.l1 if chain_id == _L1 else chains.rollups[chain_id].client
        try:
            answers[chain_id] = await _answers(client, wanted, clock=chain_id != _L1)
        except (WireError, ContractsError) as exc:
            trouble.append(f"{'L1' if chain_id == _L1 else f'chain {chain_id}'}: {exc}")

    if asked:
        async with asyncio.TaskGroup() as tasks:
            for chain_id, wanted in questions.items():
                tasks.create_task(ask(chain_id, wanted))
    found = {}
    for each in asked:
        needed = {_L1, *({each.envelope.source, each.envelope.destination} & chains.rollups.keys())}
        try:
            if needed <= answers.keys():
                found[each.envelope.hash] = _facts(chains, each, answers)
        except ValueError as exc:
            trouble.append(f"message {each.envelope.hash}: {exc}")
    return Gathered(found, tuple(sorted(trouble)))


_L1 = 0
"""In the place of L1's chain id: no chain has it."""


def _questions(chains: Chains, asked: Sequence[Asked]) -> dict[int, _Questions]:
    questions: dict[int, _Questions] = {_L1: _Questions()}
    for each in asked:
        for chain_id, to, interface, function, arguments in _queries(chains, each):
            questions.setdefault(chain_id, _Questions()).add(to, interface, function, *arguments)
    for ends in chains.rollups.values():
        questions[_L1].add(ends.messenger, MESSENGER, "paused")
        break  # one guardian for all
    return questions


def _queries(chains: Chains, asked: Asked) -> Iterator[tuple[int, str, Interface, str, tuple[Any, ...]]]:
    """What has to be known of one message, and of whom."""
    envelope = asked.envelope
    name = (from_hex(envelope.hash, 32),)
    yield _L1, chains.router, ROUTER, "routes", name
    if envelope.source in chains.rollups:
        yield envelope.source, CROSS_ROLLUP_MAILBOX, MAILBOX, "outgoing", name
    if envelope.destination in chains.rollups:
        yield envelope.destination, CROSS_ROLLUP_MAILBOX, MAILBOX, "incoming", name
    for call in asked.calls:
        holder = _holder(chains, envelope, call)
        if holder is not None:
            for function in ("failedMessages", "successfulMessages"):
                yield *holder, MESSENGER, function, (from_hex(call.hash, 32),)


def _holder(chains: Chains, envelope: Envelope, call: Call) -> tuple[int, str] | None:
    """Chain and address of the messenger that a call comes out of; None if its rollup isn't known."""
    rollup = envelope.source if call.hop in (Hop.FORWARD, Hop.REFUND) else envelope.destination
    if rollup not in chains.rollups:
        return None
    if call.hop in (Hop.FORWARD, Hop.RETURN):
        return _L1, chains.rollups[rollup].messenger
    return rollup, L2_CROSS_DOMAIN_MESSENGER


def _facts(chains: Chains, asked: Asked, answers: Mapping[int, Mapping[Any, Any]]) -> Facts:
    envelope = asked.envelope
    name = (from_hex(envelope.hash, 32),)
    source, destination = answers.get(envelope.source, {}), answers.get(envelope.destination, {})
    on_l1 = answers[_L1]
    sent = source.get((CROSS_ROLLUP_MAILBOX, "outgoing", name))
    incoming = destination.get((CROSS_ROLLUP_MAILBOX, "incoming", name), 0)
    held = []
    for call in asked.calls:
        holder = _holder(chains, envelope, call)
        if holder is not None:
            chain_id, messenger = holder
            digest = (from_hex(call.hash, 32),)
            failed = answers[chain_id][messenger, "failedMessages", digest]
            if failed and not answers[chain_id][messenger, "successfulMessages", digest]:
                held.append(call)
    return Facts(
        outgoing=Outgoing(sent[2]) if sent else Outgoing.NONE,
        route=Route(on_l1[chains.router, "routes", name]),
        incoming=Incoming(incoming),
        clock=destination.get(_CLOCK, 0),
        paused=any(answer for key, answer in on_l1.items() if key[1] == "paused"),
        held=tuple(held),
    )


async def _answers(client: Client, wanted: _Questions, *, clock: bool) -> dict[Any, Any]:
    """Results of view functions, unwrapped, and the time of the newest block.

    Raises:
        RpcError: the chain refuses.
        PeerUnreachable: no answer.
        Malformed: it answered something else than data.
        AbiMismatch: there are other contracts at the addresses.
    """
    calls: list[tuple[str, list[Any]]] = [
        ("eth_call", [{"to": to, "data": to_hex(interface.encode_call(function, *arguments))}, "latest"])
        for to, interface, function, arguments in wanted.queries.values()
    ]
    # The time comes first: what is read after it is at least as new.
    head = [("eth_getBlockByNumber", ["latest", False])] if clock else []
    answers = await client.batch([*head, *calls])
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
    found: dict[Any, Any] = {}
    if clock:
        try:
            newest: Any = answers.pop(0)
            found[_CLOCK] = int(newest["timestamp"], 16)
        except (TypeError, KeyError, ValueError) as exc:
            raise Malformed(f"the newest block is none: {exc!r}") from exc
    for (key, (_, interface, function, _)), answer in zip(wanted.queries.items(), answers, strict=True):
        (found[key],) = interface.decode_result(function, from_hex(answer))
    return found
