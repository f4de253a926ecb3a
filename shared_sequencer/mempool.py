"""What was acknowledged: items that wait for a slot, and how the others ended.

A bundle and a single transaction are the same thing here, an *item* with one or more legs; a single transaction has one leg, and a
failed execution is no reason to leave it out. Every acknowledged item is either waiting or ended, never neither.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.wire.bundle import decode_bundle
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import Decision
from bridge.wire.transaction import Transaction, decode_transaction

Account = tuple[int, bytes]
"""Chain id and address."""


@dataclass(frozen=True, slots=True)
class Item:
    """One acknowledged bundle or transaction."""

    id: str
    """Bundle hash or transaction hash."""
    kind: Literal["bundle", "transaction"]
    legs: tuple[Transaction, ...]
    max_timestamp: int
    """Unix seconds; a slot with a later timestamp cannot take it."""
    salt: str
    cause: str
    """Journal event of the admission."""

    def to_record(self) -> dict[str, Any]:
        """The write-ahead-log record."""
        return {
            "kind": self.kind,
            "raws": [to_hex(leg.raw) for leg in self.legs],
            "max_timestamp": self.max_timestamp,
            "salt": self.salt,
            "cause": self.cause,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Item":
        """Inverse of :meth:`to_record`."""
        raws = [from_hex(raw) for raw in record["raws"]]
        deadline, salt, cause = record["max_timestamp"], record["salt"], record["cause"]
        if record["kind"] == "bundle":
            bundle = decode_bundle(raws, deadline, from_hex(salt))
            return cls(to_hex(bundle.hash), "bundle", bundle.legs, deadline, salt, cause)
        sent = decode_transaction(raws[0])
        return cls(to_hex(sent.hash), "transaction", (sent,), deadline, salt, cause)


@dataclass(frozen=True, slots=True)
class End:
    """How an item ended."""

    item: Item
    decision: Decision
    slot: int | None
    """The slot that decided it; None where no slot did (expired)."""
    blocks: Mapping[int, tuple[int, str]]
    """Block number and hash per chain id, where its legs took effect."""


@dataclass(slots=True)
class Mempool:
    """Waiting and ended items."""

    waiting: dict[str, Item] = field(default_factory=dict)
    """In order of admission."""
    ended: dict[str, End] = field(default_factory=dict)
    next_nonce: dict[Account, int] = field(default_factory=dict)
    """Next nonce by decided slots (and by what rollup nodes said at admission)."""
    _reserved: dict[Account, dict[int, Item]] = field(default_factory=dict)
    _costs: dict[Account, int] = field(default_factory=dict)
    """Wei that reserved transactions of each account may cost."""

    def add(self, item: Item) -> None:
        """An item waits from now on."""
        self.ended.pop(item.id, None)
        self.waiting[item.id] = item
        self.reserve(item)

    def reserve(self, item: Item) -> None:
        """Its nonces are taken (before it waits, while its admission is being made durable)."""
        for leg in item.legs:
            account = (leg.chain_id, leg.sender)
            nonces = self._reserved.setdefault(account, {})
            if nonces.get(leg.nonce) is not item:
                nonces[leg.nonce] = item
                self._costs[account] = self._costs.get(account, 0) + leg.cost

    def release(self, item: Item) -> None:
        """Its nonces are free again."""
        for leg in item.legs:
            account = (leg.chain_id, leg.sender)
            nonces = self._reserved.get(account, {})
            if nonces.get(leg.nonce) is item:
                del nonces[leg.nonce]
                self._costs[account] -= leg.cost
            if not nonces:
                self._reserved.pop(account, None)
                self._costs.pop(account, None)

    def end(self, end: End) -> None:
        """An item has ended."""
        self.waiting.pop(end.item.id, None)
        self.release(end.item)
        self.ended[end.item.id] = end

    def take_back(self, item: Item) -> None:
        """What ended it was undone: it waits again (see :meth:`settle_order`)."""
        del self.ended[item.id]
        self.waiting[item.id] = item
        self.reserve(item)

    def settle_order(self, admitted: Mapping[str, int]) -> None:
        """Put waiting items into their order of admission (position by hash) again."""
        ordered = sorted(self.waiting.items(), key=lambda entry: admitted[entry[0]])
        self.waiting = dict(ordered)

    def deposited(self, account: Account) -> None:
        """A block holds a deposit of this account, which takes a nonce."""
        self.next_nonce[account] = self.next_nonce.get(account, 0) + 1

    def included(self, leg: Transaction) -> None:
        """A decided slot holds this transaction."""
        account = (leg.chain_id, leg.sender)
        self.next_nonce[account] = max(self.next_nonce.get(account, 0), leg.nonce + 1)

    def holder(self, leg: Transaction) -> Item | None:
        """The waiting item that takes this leg's nonce."""
        return self._reserved.get((leg.chain_id, leg.sender), {}).get(leg.nonce)

    def pending_nonce(self, account: Account) -> int:
        """First nonce of the account that no decided or waiting item takes."""
        nonce = self.next_nonce.get(account, 0)
        taken = self._reserved.get(account, {})
        while nonce in taken:
            nonce += 1
        return nonce

    def pending_cost(self, account: Account) -> int:
        """Wei that waiting transactions of the account may cost."""
        return self._costs.get(account, 0)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.waiting.values())

    def __len__(self) -> int:
        return len(self.waiting)
