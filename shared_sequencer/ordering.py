"""Which items go into the next slot, and in which order. Pure.

The policy is a seam: it says in which order items are considered. Filling is common to all policies and keeps what execution needs:
nonces without gaps, gas below each rollup's block limit, a size that L1 takes, deadlines, and rollups that are up. An item that does not fit now
keeps waiting. On each rollup transactions run before bundles, so a transaction that follows a bundle's nonce waits for the next slot.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.wire.system import SYSTEM_GAS
from bridge.wire.transaction import Transaction
from shared_sequencer.mempool import Account, Item

MAX_ITEMS = 2_000
"""Items in one slot."""
MAX_BYTES = 300_000
"""Bytes of one slot, by :func:`published_bytes`. A slot is never split over superbatches, so it must fit into one L1 block
with room to spare: calldata costs up to 40 gas a byte, 12 million gas here."""
_LEG_OVERHEAD = 40
"""Bytes on L1 beside a leg's raw transaction: RLP lengths, the bundle's hash, the leg's index."""


class Policy(Protocol):
    """An ordering policy."""

    def order(self, waiting: Iterable[Item]) -> Iterable[Item]:
        """Waiting items (given in order of admission) in the order in which slots consider them."""


class FirstComeFirstServed:
    """In order of admission; tips buy nothing."""

    def order(self, waiting: Iterable[Item]) -> Iterable[Item]:
        """As they came."""
        return waiting


@dataclass(frozen=True, slots=True)
class Selection:
    """What one slot takes."""

    transactions: tuple[Item, ...]
    bundles: tuple[Item, ...]
    """In global order."""
    expired: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything that is to be executed."""
        return self.transactions + self.bundles


def select(
    ordered: Iterable[Item],
    *,
    next_nonce: Mapping[Account, int],
    gas_limits: Mapping[int, int],
    up: Collection[int],
    timestamp: int,
    base_fees: Mapping[int, int] | None = None,
) -> Selection:
    """Fill a slot.

    Args:
        ordered: waiting items in the policy's order.
        next_nonce: of every account with a waiting item.
        gas_limits: block gas limit by chain id.
        up: chain ids that take part.
        timestamp: of the slot, unix seconds.
        base_fees: of each rollup's next block, wei per gas; what offers less waits.
    """
    fees = base_fees or {}
    nonces = dict(next_nonce)
    room = {chain: limit - SYSTEM_GAS for chain, limit in gas_limits.items()}
    bytes_left = MAX_BYTES
    bundled: set[Account] = set()
    transactions: list[Item] = []
    bundles: list[Item] = []
    expired: list[Item] = []
    for item in ordered:
        if item.max_timestamp < timestamp:
            expired.append(item)
            continue
        if len(transactions) + len(bundles) >= MAX_ITEMS or not _can_run(item, up, fees):
            continue
        accounts = {(leg.chain_id, leg.sender) for leg in item.legs}
        if item.kind == "transaction" and accounts & bundled:
            continue
        gas, size = _gas(item), published_bytes(item.legs)
        if not _nonces_follow(item, nonces) or any(room[chain] < needed for chain, needed in gas.items()):
            continue
        if size > bytes_left:
            continue
        bytes_left -= size
        for chain, needed in gas.items():
            room[chain] -= needed
        for leg in item.legs:
            nonces[leg.chain_id, leg.sender] = leg.nonce + 1
        if item.kind == "bundle":
            bundled |= accounts
            bundles.append(item)
        else:
            transactions.append(item)
    return Selection(tuple(transactions), tuple(bundles), tuple(expired))


def published_bytes(legs: Iterable[Transaction]) -> int:
    """What the legs of one item take up in a superbatch at most, before compression."""
    return sum(len(leg.raw) + _LEG_OVERHEAD for leg in legs)


def _can_run(item: Item, up: Collection[int], fees: Mapping[int, int]) -> bool:
    return all(leg.chain_id in up and leg.max_fee >= fees.get(leg.chain_id, 0) for leg in item.legs)


def _gas(item: Item) -> dict[int, int]:
    """Gas that the item may use on each rollup, its guard transaction included."""
    gas: dict[int, int] = {}
    for leg in item.legs:
        gas[leg.chain_id] = gas.get(leg.chain_id, SYSTEM_GAS if item.kind == "bundle" else 0) + leg.gas
    return gas


def _nonces_follow(item: Item, nonces: Mapping[Account, int]) -> bool:
    expected: dict[Account, int] = {}
    for leg in item.legs:
        account = (leg.chain_id, leg.sender)
        if leg.nonce != expected.get(account, nonces.get(account, 0)):
            return False
        expected[account] = leg.nonce + 1
    return True


def by_chain(items: Sequence[Item]) -> dict[int, list[Item]]:
    """Items by the rollups they touch, order kept."""
    grouped: dict[int, list[Item]] = {}
    for item in items:
        for chain in dict.fromkeys(leg.chain_id for leg in item.legs):
            grouped.setdefault(chain, []).append(item)
    return grouped
