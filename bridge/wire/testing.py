"""Stand-ins for tests. A toy rollup: real signed transactions whose calldata is a little program, and a state machine that runs them.

It has what the bundle rule and the gate depend on (nonces, reverts, transactions that cannot enter a block, effects on which
later ones depend) and nothing else, so a naive model of a whole sequencing set fits on a page. Beside it stand a journal in
memory and an event loop with a virtual clock.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, TypeVar

import orjson

from bridge.wire.atomic import Status
from bridge.wire.journal import Event, Journal
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from bridge.wire.transaction import Transaction, decode_transaction

T = TypeVar("T")

FEE = 10**9
"""Wei per gas that toy transactions offer."""


class Op(IntEnum):
    """What one instruction does with a cell and an amount."""

    ADD = 0
    """Add the amount to the cell."""
    NEED = 1
    """Revert unless the cell holds at least the amount."""
    BELOW = 2
    """Revert unless the cell holds less than the amount."""
    ENTER = 3
    """The transaction cannot enter a block unless the cell holds less than the amount (as with an empty account)."""


Program = tuple[tuple[Op, int, int], ...]
"""(operation, cell, amount); cells and amounts are bytes."""


def private_key(account: int) -> str:
    """Key of a test account."""
    return to_hex(keccak256(b"rollnet test account %d" % account))


@lru_cache(maxsize=65_536)
def signed(
    chain_id: int,
    account: int,
    nonce: int,
    program: Program = (),
    *,
    gas: int = 50_000,
    value: int = 0,
    max_fee: int = FEE,
    padding: int = 0,
) -> Transaction:
    """A signed transaction, decoded; ``padding`` zero bytes follow its program."""
    data = b"".join(bytes([op, cell, amount]) for op, cell, amount in program)
    unsigned = UnsignedTransaction(
        chain_id=chain_id,
        nonce=nonce,
        max_fee=max_fee,
        priority_fee=0,
        gas=gas,
        to=b"\x11" * 20,
        data=data + b"\xff" * (padding > 0) + bytes(max(0, padding - 1)),
        value=value,
    )
    return decode_transaction(sign_transaction(unsigned, private_key(account)))


@dataclass(slots=True)
class ToyState:
    """State of one toy rollup."""

    cells: dict[int, int] = field(default_factory=dict)
    nonces: dict[bytes, int] = field(default_factory=dict)

    def copy(self) -> "ToyState":
        """An independent copy."""
        return ToyState(dict(self.cells), dict(self.nonces))

    def run(self, sent: Transaction) -> Status:
        """Execute one transaction; a reverted one still uses up its nonce."""
        expected = self.nonces.get(sent.sender, 0)
        if sent.nonce != expected:
            return "gap" if sent.nonce > expected else "invalid"
        program = [
            sent.data[index : index + 3] for index in range(0, len(sent.data.partition(b"\xff")[0]), 3)
        ]
        if any(op == Op.ENTER and self.cells.get(cell, 0) >= amount for op, cell, amount in program):
            return "invalid"
        self.nonces[sent.sender] = expected + 1
        cells = dict(self.cells)
        for op, cell, amount in program:
            held = cells.get(cell, 0)
            if (op == Op.NEED and held < amount) or (op == Op.BELOW and held >= amount):
                return "failed"
            if op == Op.ADD:
                cells[cell] = held + amount
        self.cells = cells
        return "success"


@dataclass(frozen=True, slots=True)
class BundleOutcome:
    """What a bundle comes to when it runs alone in its true state."""

    outcome: str
    """``commit``, ``abort`` or ``defer``."""
    failed_leg: int | None = None


def run_bundle(states: dict[int, ToyState], legs: Sequence[Transaction]) -> BundleOutcome:
    """The bundle rule, written down naively: run the legs on copies, keep the copies only if all succeed."""
    copies = {leg.chain_id: states[leg.chain_id].copy() for leg in legs}
    statuses = [copies[leg.chain_id].run(leg) for leg in legs]
    if all(status == "success" for status in statuses):
        states.update(copies)
        return BundleOutcome("commit")
    if "gap" in statuses:
        return BundleOutcome("defer")
    return BundleOutcome("abort", next(i for i, status in enumerate(statuses) if status != "success"))


class MemoryJournal(Journal):
    """A journal that keeps its events in memory."""

    def __init__(self, node: str = "node", role: str = "rollup") -> None:
        self._node, self._role, self._boot, self._seq = node, role, "b00", 0
        self.events: list[Event] = []

    def emit(
        self,
        event: str,
        *,
        reserved: str | None = None,
        bundle_id: str | None = None,
        msg_id: str | None = None,
        leg: int | None = None,
        cause: Sequence[str] = (),
        **attrs: Any,
    ) -> str:
        """Keep the event and return its id."""
        seq = int((reserved or self.reserve()).rpartition("/")[2])
        record = Event(
            event, msg_id, bundle_id, leg, self._node, self._role, self._boot, seq, 0, 0, tuple(cause), attrs
        )
        self.events.append(Event.from_json(orjson.dumps(record)))
        return record.id

    def close(self) -> None:
        """Nothing to close."""

    def of(self, identity: str) -> list[str]:
        """Names of the events about one bundle or transaction, in order."""
        return [event.event for event in self.events if identity in (event.bundle_id, event.msg_id)]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing else can happen. No thread may be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._really_select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        """Virtual seconds since the loop began."""
        return self._now

    def _select(self, timeout: float | None) -> Any:
        events = self._really_select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("every task waits for another: nothing can happen any more")
            self._now += max(0.0, timeout)
        return events


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
