"""Reading the registry on L1 and the escrows on rollups: the edge where ABI becomes values. For everybody, not only the relayer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER, LEG_ESCROW
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Interface
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.relayer.messages.lifecycle import Call, Hop
from bridge.relayer.strategies.lifecycle import Decision, Lock, Standing, Vote
from bridge.wire.deposits import DEPOSITED_TOPIC, decode_deposit, user_deposit
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex

REGISTRY: Final = artifact("StrategyRegistry").interface
ESCROW: Final = artifact("LegEscrow").interface
MESSENGER: Final = op_artifact("L2CrossDomainMessenger").interface
"""What both ends' messengers have in common."""
_NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the registry or of an escrow; true as long as its block is there."""

    name: str
    arguments: Mapping[str, Any]
    block: int
    block_hash: str
    transaction: str
    """Hash."""
    index: int
    """Of the log in its block."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rollup says of strategies at one moment."""

    clock: int
    """Time of its newest block, unix seconds."""
    safe: int
    """Number of its safe head."""
    locks: Mapping[str, Lock]
    """By strategy."""


class Registry:
    """The StrategyRegistry.

    Args:
        client: the L1 node.
        address: of the registry.
    """

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address.lower()

    async def look(self, strategies: Sequence[str]) -> dict[str, Standing]:
        """What L1 says of strategies; those that it doesn't know are left out.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer.
            AbiMismatch: there is another contract at the address.
        """
        asked = [(name, "strategyOf", (from_hex(name, 32),)) for name in strategies]
        found = {
            name: answer
            for (name, _, _), answer in zip(asked, await self._ask(asked), strict=True)
            if answer[0][0] != _NOBODY
        }
        parts = [
            (name, "parts", (from_hex(name, 32), chain_id))
            for name, (_, chains) in found.items()
            for chain_id in chains
        ]
        votes: dict[str, dict[int, Vote]] = {name: {} for name in found}
        legs: dict[str, dict[int, int]] = {name: {} for name in found}
        for (name, _, (_, chain_id)), (count, vote) in zip(parts, await self._ask(parts), strict=True):
            votes[name][chain_id], legs[name][chain_id] = Vote(vote), count
        return {
            name: Standing(
                account.lower(), decide_by, refund_after, Decision(decision), votes[name], legs[name]
            )
            for name, ((account, decide_by, _, decision, refund_after), _) in found.items()
        }

    async def opened(self, since: int, until: int) -> list[Happening]:
        """Strategies that were opened in blocks; raises as :meth:`look`, and Malformed."""
        topics = [to_hex(REGISTRY.topic("StrategyOpened"))]
        return await _events(self.client, REGISTRY, self.address, topics, since, hex(until))

    async def history(self, strategy: str, since: int = 0) -> list[Happening]:
        """All that happened to a strategy on L1, in order; raises as :meth:`opened`."""
        return await _events(self.client, REGISTRY, self.address, [None, strategy], since)

    async def calls(self, strategy: str, transactions: Sequence[str]) -> list[tuple[int, Call]]:
        """The orders and decisions that transactions sent to rollups, with the rollups' chain ids; raises as :meth:`opened`."""
        receipts = await batched(
            self.client, [("eth_getTransactionReceipt", [each]) for each in dict.fromkeys(transactions)]
        )
        return [
            found
            for receipt in receipts
            if receipt is not None
            for found in _sent(strategy, self.address, receipt)
        ]

    async def _ask(self, asked: Sequence[tuple[str, str, tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        answers = await batched(
            self.client,
            [viewed(self.address, REGISTRY, function, *arguments) for _, function, arguments in asked],
        )
        return [
            REGISTRY.decode_result(function, from_hex(answer))
            for (_, function, _), answer in zip(asked, answers, strict=True)
        ]


class Escrow:
    """A rollup's LegEscrow.

    Args:
        client: the rollup's public RPC.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    async def look(self, strategies: Sequence[str]) -> Seen:
        """What the rollup says of strategies.

        Raises:
            RpcError: the rollup refuses.
            PeerUnreachable: no answer.
            Malformed: it answered something that is no block.
            AbiMismatch: it has no escrow.
        """
        calls = [viewed(LEG_ESCROW, ESCROW, "lockOf", from_hex(name, 32)) for name in strategies]
        # The blocks come first: what is read after them is at least as new.
        heads = [("eth_getBlockByNumber", [tag, False]) for tag in ("latest", "safe")]
        latest, safe, *answers = await batched(self.client, [*heads, *calls])
        try:
            clock, number = int(latest["timestamp"], 16), int(safe["number"], 16)
        except (TypeError, KeyError, ValueError) as exc:
            raise Malformed(f"the rollup answered something that is no block: {exc!r}") from exc
        locks = [ESCROW.decode_result("lockOf", from_hex(answer))[0] for answer in answers]
        return Seen(
            clock, number, {name: Lock(lock[3]) for name, lock in zip(strategies, locks, strict=True)}
        )

    async def history(self, strategy: str, since: int = 0) -> list[Happening]:
        """All that happened to a strategy's legs here, in order; raises as :meth:`look`."""
        return await _events(self.client, ESCROW, LEG_ESCROW, [None, strategy], since)


def newest(history: Iterable[Happening], *names: str) -> Happening | None:
    """The last event of some names."""
    found = None
    for each in history:
        if each.name in names:
            found = each
    return found


async def held(client: Client, messenger: str, calls: Sequence[Call]) -> tuple[Call, ...]:
    """Those calls that a messenger holds because they failed.

    Args:
        client: the chain of the messenger.
        messenger: its address.
        calls: that were passed on to it.

    Raises:
        RpcError: the chain refuses.
        PeerUnreachable: no answer.
        AbiMismatch: there is another contract at the address.
    """
    asked = [
        viewed(messenger, MESSENGER, function, from_hex(call.hash, 32))
        for call in calls
        for function in ("failedMessages", "successfulMessages")
    ]
    answers = iter(await batched(client, asked))
    found = []
    for call in calls:
        failed, succeeded = (
            MESSENGER.decode_result("failedMessages", from_hex(next(answers)))[0] for _ in "12"
        )
        found += [call] if failed and not succeeded else []
    return tuple(found)


async def held_on_rollup(client: Client, calls: Sequence[Call]) -> tuple[Call, ...]:
    """As :func:`held`, for a rollup's messenger."""
    return await held(client, L2_CROSS_DOMAIN_MESSENGER, calls)


async def batched(client: Client, asked: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Answers of one batch.

    Raises:
        RpcError: the node refuses one of them.
        PeerUnreachable: no answer.
    """
    answers = await client.batch(asked) if asked else []
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
    return answers


def viewed(
    to: str, interface: Interface, function: str, *arguments: Any, block: str = "latest"
) -> tuple[str, list[Any]]:
    """A request for what a view function returns."""
    return "eth_call", [{"to": to, "data": to_hex(interface.encode_call(function, *arguments))}, block]


def happening(entry: Mapping[str, Any], interface: Interface) -> Happening | None:
    """A log of a contract; None when it is none of its events.

    Raises:
        Malformed: it is no log, or has an event's topic but not its shape.
    """
    try:
        event = interface.decode_event(
            [from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"])
        )
        place = int(entry["blockNumber"], 16), entry["blockHash"], entry["transactionHash"]
        index = int(entry["logIndex"], 16)
    except (KeyError, TypeError, ValueError, AbiMismatch) as exc:
        raise Malformed(f"not a log of its contract: {exc!r}") from exc
    return None if event is None else Happening(event.name, event.arguments, *place, index)


async def _events(
    client: Client,
    interface: Interface,
    address: str,
    topics: Sequence[str | None],
    since: int,
    until: str = "latest",
) -> list[Happening]:
    query = {"address": address, "topics": list(topics), "fromBlock": hex(since), "toBlock": until}
    logs = await client.call("eth_getLogs", query)
    if not isinstance(logs, list):
        raise Malformed("eth_getLogs was answered with something else than a list")
    found = [happening(entry, interface) for entry in logs]
    return [each for each in found if each is not None]


def _sent(strategy: str, registry: str, receipt: Mapping[str, Any]) -> Iterator[tuple[int, Call]]:
    """The registry says what it sends, then sends it: the next log is the portal's, with the call."""
    try:
        for entry, following in pairwise(receipt["logs"]):
            if entry["address"].lower() != registry or following["topics"][:1] != [DEPOSITED_TOPIC]:
                continue
            said = happening(entry, REGISTRY)
            if (
                said is not None
                and said.name in ("LegsOrdered", "DecisionSent")
                and to_hex(said.arguments["strategy"]) == strategy
            ):
                deposit = decode_deposit(user_deposit(following, following["blockHash"]))
                yield said.arguments["chainId"], Call(Hop.DELIVERY, deposit.data)
    except (KeyError, TypeError, AttributeError) as exc:
        raise Malformed(f"not a receipt: {exc!r}") from exc
