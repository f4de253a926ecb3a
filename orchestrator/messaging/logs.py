"""Logs of messages between rollups: which were sent, and what each chain says of one."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.relayer.carried import Places
from bridge.relayer.messages.envelope import SENT_TOPIC, Sent, sent
from bridge.relayer.messages.sightings import (
    MAILBOX_TOPICS,
    ROUTER_TOPICS,
    Sighting,
    Sign,
    l1_reader,
    of_withdrawal,
    rollup_reader,
)
from bridge.relayer.withdrawal import PASSED_TOPIC, Passed, passed
from bridge.wire.errors import Malformed
from orchestrator.chains import ChainHandle, ChainUnreachable, Refused
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import deployments


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a rollup sent."""

    sent: Sent
    source: str
    """Name of the rollup."""
    destination: str | None
    """Name of the rollup; None if there is none of that chain id."""
    time: int
    """Of its block, unix seconds."""

    @property
    def hash(self) -> str:
        """Its name."""
        return self.sent.envelope.hash


def found_in(net: Devnet, source: ChainHandle, entry: Mapping[str, Any]) -> Found:
    """Read a ``MessageSent`` log of a rollup.

    Raises:
        Malformed: it is none.
    """
    message = sent(entry)
    destination = rollup_by_id(net, message.envelope.destination)
    time = int(entry.get("blockTimestamp") or "0x0", 16)
    return Found(message, source.name, destination.name if destination else None, time)


async def sent_messages(
    net: Devnet, *, source: str | None = None, destination: str | None = None, digest: str | None = None
) -> tuple[list[Found], tuple[str, ...]]:
    """Messages that rollups sent, the newest first, and which rollups did not say.

    Args:
        net: the devnet.
        source: only from this rollup.
        destination: only to this rollup.
        digest: only the one of this hash.

    Raises:
        RollnetError: there is no such rollup, or one answers nonsense.
    """
    asked = [net.rollup(source)] if source else list(net.rollups.values())
    goal = f"0x{net.rollup(destination).chain_id:064x}" if destination else None
    query = _query(CROSS_ROLLUP_MAILBOX, [SENT_TOPIC, digest, goal])
    messages: list[Found] = []
    trouble: list[str] = []

    async def ask(chain: ChainHandle) -> None:
        try:
            logs = await chain.rpc("eth_getLogs", query)
        except (ChainUnreachable, Refused) as exc:
            trouble.append(exc.message)
            return
        messages.extend(found_in(net, chain, entry) for entry in logs)

    with readable():
        await together(*(ask(chain) for chain in asked))
    place = {name: index for index, name in enumerate(net.rollups)}
    messages.sort(key=lambda each: (-each.time, place[each.source], -each.sent.envelope.nonce))
    return messages, tuple(sorted(trouble))


async def where_now(net: Devnet, source: ChainHandle, found: Found) -> tuple[Found, Passed | None]:
    """The message where it now is, and the withdrawal that carries it; none if its block is gone.

    A transaction that a reorganisation moved may send its message with another nonce, and so under another name.
    """
    receipt = await source.receipt(found.sent.transaction) or {"logs": ()}
    messages = [found_in(net, source, log) for log in receipt["logs"] if log["topics"][:1] == [SENT_TOPIC]]
    messages.sort(key=lambda each: each.hash != found.hash)
    there = next((each for each in messages if is_same(each, found)), None)
    if there is None:
        return found, None
    found = there
    places = _places(net, source)
    for each in _withdrawals(receipt):
        sighting = of_withdrawal(each, places)
        if sighting is not None and (sighting.name, sighting.sign) == (found.hash, Sign.FORWARDING):
            return there, each
    raise Refused(f"{source.name} has other contracts than the plan says: no withdrawal carries {found.hash}")


async def sightings_of(
    net: Devnet, found: Found, carrier: Passed | None
) -> tuple[tuple[Sighting, ...], Passed | None]:
    """What the logs of all chains say of a message, and the withdrawal that carries it back, if one does."""
    source, destination = net.rollup(found.source), rollup_by_id(net, found.sent.envelope.destination)
    at_source: list[Sighting] = []
    at_destination: list[Sighting] = []
    on_l1: list[Sighting] = []
    returns: list[Passed] = []

    async def ask(chain: ChainHandle, said: list[Sighting]) -> None:
        read = rollup_reader(chain.chain_id)
        logs = await chain.rpc("eth_getLogs", _query(CROSS_ROLLUP_MAILBOX, [[*MAILBOX_TOPICS], found.hash]))
        said += [each for log in logs if (each := read(log)) is not None]

    async def ask_destination(chain: ChainHandle) -> None:
        await ask(chain, at_destination)
        places = _places(net, chain)
        exported = [each.transaction for each in at_destination if each.sign is Sign.EXPORTED]
        for transaction in exported:
            for each in _withdrawals(await chain.receipt(transaction) or {"logs": ()}):
                sighting = of_withdrawal(each, places)
                if sighting is not None and (sighting.name, sighting.sign) == (found.hash, Sign.RETURNING):
                    at_destination.append(sighting)
                    returns.append(each)

    async def ask_l1() -> None:
        where = deployments(net.plan)
        router = where.l1["MessageRouter"].lower()
        read = l1_reader(router, net.l1.chain_id, [one.messenger.lower() for one in where.rollups.values()])
        logs = await net.l1.rpc("eth_getLogs", _query(router, [[*ROUTER_TOPICS], found.hash]))
        for transaction in dict.fromkeys(log["transactionHash"] for log in logs):
            receipt = await net.l1.receipt(transaction) or {"logs": ()}
            on_l1.extend(each for each in read(receipt["logs"]) if each.name == found.hash)

    asking = [ask_l1(), ask(source, at_source)]
    await together(*asking, *([ask_destination(destination)] if destination is not None else []))
    carrying = of_withdrawal(carrier, _places(net, source)) if carrier else None
    said = (*([carrying] if carrying else []), *on_l1, *at_destination, *at_source)
    return said, returns[-1] if returns else None


def is_same(message: Found, other: Found) -> bool:
    """Whether they differ in nothing but their nonces."""
    one, two = message.sent.envelope, other.sent.envelope
    return one == replace(two, nonce=one.nonce)


def rollup_by_id(net: Devnet, chain_id: int) -> ChainHandle | None:
    """A rollup by its chain id."""
    return next((chain for chain in net.rollups.values() if chain.chain_id == chain_id), None)


def _withdrawals(receipt: Mapping[str, Any]) -> list[Passed]:
    return [passed(log) for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC]]


def _places(net: Devnet, chain: ChainHandle) -> Places:
    where = deployments(net.plan)
    on_l1 = (where.rollups[chain.name].messenger, where.l1["MessageRouter"], where.l1["StrategyRegistry"])
    return Places(chain.chain_id, *(address.lower() for address in on_l1))


def _query(address: str, topics: Sequence[Any]) -> dict[str, Any]:
    return {"address": address, "topics": [*topics], "fromBlock": "0x0", "toBlock": "latest"}


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all at once; raises the first error that says what is wrong with a devnet."""
    failed: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(each)
    except* (RollnetError, Malformed) as group:
        failed = group
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]
    if failed is not None:
        raise failed


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Logs that aren't those of the contracts of the plan are told in words."""
    try:
        yield
    except Malformed as exc:
        raise Refused(f"the devnet has other contracts than its plan says: {exc}") from exc
