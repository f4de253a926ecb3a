"""Which items go into the next slot, and in which order. Pure.

The policy is a seam: it says in which order items are considered. Filling is common to all policies and keeps what execution needs:
nonces without gaps, gas below each rollup's block limit, a size that L1 takes, deadlines, and rollups that are up. An item that does not fit now
keeps waiting. On each rollup transactions run before bundles, so a transaction that follows a bundle's nonce waits for the next slot.

A sender's items may wait in another order than that of their nonces (they were sent at once, and admitted as they came). Each has its
turn at its place, or as soon as the one whose nonce is before it was taken: what had to wait only for its nonce is not put
behind those that came after it, and a whole backlog goes into one slot as far as it has room. Bundles run in the policy's
order, but for those that have to follow another's nonce.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    items = list(ordered)
    filling = _Filling({chain: limit - SYSTEM_GAS for chain, limit in gas_limits.items()})
    open_items = (item for item in items if item.max_timestamp >= timestamp and _can_run(item, up, fees))
    _by_turns(open_items, dict(next_nonce), filling.takes)
    nonces = dict(next_nonce)
    for leg in (leg for item in filling.transactions for leg in item.legs):
        nonces[leg.chain_id, leg.sender] = leg.nonce + 1
    bundles: list[Item] = []
    chosen = {item.id for item in filling.bundles}
    _by_turns((item for item in items if item.id in chosen), nonces, _collecting(bundles))
    expired = tuple(item for item in items if item.max_timestamp < timestamp)
    return Selection(tuple(filling.transactions), tuple(bundles), expired)


@dataclass(slots=True)
class _Filling:
    """A slot that is being filled."""

    room: dict[int, int]
    """Gas left, by chain id."""
    bytes_left: int = MAX_BYTES
    bundled: set[Account] = field(default_factory=set)
    transactions: list[Item] = field(default_factory=list)
    bundles: list[Item] = field(default_factory=list)

    def takes(self, item: Item) -> bool:
        """Take an item whose nonces are next, if there is room; what has none now has none later."""
        if len(self.transactions) + len(self.bundles) >= MAX_ITEMS:
            return False
        accounts = {(leg.chain_id, leg.sender) for leg in item.legs}
        if item.kind == "transaction" and accounts & self.bundled:
            return False
        gas, size = _gas(item), published_bytes(item.legs)
        if size > self.bytes_left or any(self.room[chain] < needed for chain, needed in gas.items()):
            return False
        self.bytes_left -= size
        for chain, needed in gas.items():
            self.room[chain] -= needed
        if item.kind == "bundle":
            self.bundled |= accounts
            self.bundles.append(item)
        else:
            self.transactions.append(item)
        return True


def _by_turns(ordered: Iterable[Item], nonces: dict[Account, int], takes: Callable[[Item], bool]) -> None:
    """Offer each item once, at its place or as soon as its nonces are next; of several the one with the earliest place first.

    Args:
        ordered: by place.
        nonces: the next of each account; moved on.
        takes: whether it is taken.
    """
    waiting: dict[tuple[Account, int], list[tuple[int, Item]]] = {}
    for place, item in enumerate(ordered):
        ready = [(place, item)]
        while ready:
            turn = heapq.heappop(ready)
            legs = turn[1].legs
            awaited = _awaited(turn[1], nonces)
            if awaited is not None:
                waiting.setdefault(awaited, []).append(turn)
            elif _nonces_follow(turn[1], nonces) and takes(turn[1]):
                for leg in legs:
                    nonces[leg.chain_id, leg.sender] = leg.nonce + 1
                for account in dict.fromkeys((leg.chain_id, leg.sender) for leg in legs):
                    for following in waiting.pop((account, nonces[account]), ()):
                        heapq.heappush(ready, following)


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


def _collecting(items: list[Item]) -> Callable[[Item], bool]:
    """Takes everything."""

    def takes(item: Item) -> bool:
        items.append(item)
        return True

    return takes


def _awaited(item: Item, nonces: Mapping[Account, int]) -> tuple[Account, int] | None:
    """An account whose next nonce has to become another before this can run, and which; None if there is none."""
    begun: set[Account] = set()
    for leg in item.legs:
        account = (leg.chain_id, leg.sender)
        if account not in begun and leg.nonce > nonces.get(account, 0):
            return account, leg.nonce
        begun.add(account)
    return None


def by_chain(items: Sequence[Item]) -> dict[int, list[Item]]:
    """Items by the rollups they touch, order kept."""
    grouped: dict[int, list[Item]] = {}
    for item in items:
        for chain in dict.fromkeys(leg.chain_id for leg in item.legs):
            grouped.setdefault(chain, []).append(item)
    return grouped
