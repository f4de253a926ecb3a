"""What the logs of L1 and of a rollup say of one strategy: kept until something changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts.addresses import LEG_ESCROW
from bridge.relayer.carried import Places, Vote, carried
from bridge.relayer.messages.lifecycle import Call, Hop
from bridge.relayer.strategies.chains import ESCROW, Happening, viewed
from bridge.relayer.strategies.lifecycle import Lock
from bridge.relayer.withdrawal import PASSED_TOPIC, passed
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex


@dataclass(frozen=True, slots=True)
class Sent:
    """How a decision was sent to a rollup."""

    times: int = 0
    at: int = 0
    """When last, by L1's clock, unix seconds."""
    unsent: bool = False
    """The registry could not, and nobody has since."""


@dataclass(frozen=True, slots=True)
class OnL1:
    """What L1's logs say of a strategy."""

    history: tuple[Happening, ...]
    calls: Mapping[int, tuple[Call, ...]]
    """Orders and decisions that were sent, by chain id."""
    sent: Mapping[int, Sent]
    """By chain id."""
    mark: object
    """What of the strategy's standing it belongs to."""
    read_at: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class OnRollup:
    """What a rollup's logs say of a strategy."""

    history: tuple[Happening, ...]
    lock: Lock
    """That they belong to."""
    ballot: Call | None = None
    """The call on L1 that votes; None as long as there is no vote."""
    withdrawal: str = ""
    """Hash of the withdrawal that carries it."""
    amount: int | None = None
    """The account's cash that was set aside, 1e-6 USD; None if nothing was, or the rollup can't tell any more."""


def sent_of(history: Sequence[Happening], chain_id: int, times: Mapping[str, int]) -> Sent:
    """How the decision was sent to a rollup.

    Args:
        history: what happened to the strategy on L1, in order.
        chain_id: of the rollup.
        times: of L1's blocks by hash, unix seconds.
    """
    sends = [
        each for each in history if each.name == "DecisionSent" and each.arguments["chainId"] == chain_id
    ]
    of_chain = [
        each
        for each in history
        if each.name == "Decided"
        or (each.name in ("DecisionSent", "DecisionUnsent") and each.arguments["chainId"] == chain_id)
    ]
    if not of_chain:
        return Sent()
    last = of_chain[-1]
    return Sent(len(sends), times[last.block_hash], last.name == "DecisionUnsent")


def ballot_of(receipt: Any, strategy: str, places: Places) -> tuple[Call | None, str]:
    """The vote that a rollup's transaction sent, and the hash of the withdrawal that carries it."""
    for entry in receipt["logs"] if receipt else ():
        if entry["topics"][:1] != [PASSED_TOPIC]:
            continue
        found = passed(entry)
        vote = carried(found.withdrawal, places)
        if isinstance(vote, Vote) and vote.strategy == strategy:
            return Call(Hop.FORWARD, found.withdrawal.data), found.withdrawal.hash
    return None, ""


async def set_aside(client: Client, strategy: str, locked: Happening) -> int | None:
    """The account's cash that was set aside, as of the block that locked it; None if the rollup can't tell any more."""
    asked = viewed(LEG_ESCROW, ESCROW, "reservationsOf", from_hex(strategy, 32), block=hex(locked.block))
    (answer,) = await client.batch([asked])
    if isinstance(answer, RpcError):
        return None
    reservations: list[tuple[Any, ...]]
    (reservations,) = ESCROW.decode_result("reservationsOf", from_hex(answer))
    return sum(int(reservation[-1]) for reservation in reservations)
