"""What a devnet served at the end of a run, as values: ``observed.json`` of a run directory.

Read from the chains themselves wherever they can say it (:mod:`orchestrator.checks.observe`), so that checkers need not take a node's
journal for the truth. Hashes and addresses are 0x-hex in lower case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import RollnetError

FILE_NAME = "observed.json"
"""In the run directory."""


class UnreadableObservation(RollnetError):  # noqa: N818 - states what is so
    """Not what an observer wrote."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class EventSeen:
    """An event that one of the devnet's own contracts emitted."""

    contract: str
    """``OptionsMarket``, ``L2ToL1MessagePasser``, …"""
    name: str
    arguments: Mapping[str, Any]
    """Bytes as 0x-hex."""


@dataclass(frozen=True, slots=True)
class TransactionSeen:
    """A transaction in a block, with its receipt."""

    hash: str
    sender: str
    nonce: int
    to: str | None
    value: int
    """Wei; so is every amount of ether here."""
    ok: bool
    """Whether it succeeded."""
    fee: int
    """What its sender paid for gas."""
    deposit: bool = False
    """Whether L1 or the rollup's own rules put it there (type 0x7E)."""
    mint: int = 0
    """Of a deposit: what it created."""
    bundle: str | None = None
    """The bundle that the guard was open for while it ran."""
    events: tuple[EventSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """A block of a rollup."""

    number: int
    hash: str
    parent: str
    timestamp: int
    """Unix seconds."""
    origin: int | None
    """The L1 block that it belongs to; None of genesis."""
    transactions: tuple[TransactionSeen, ...]
    """In order, those of the system (L1 attributes, guard, what an options rollup derives) left out."""
    derived: tuple["EventSeen", ...] = ()
    """What checkers ask for of the events of those."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What an account had at genesis, and has at the observed head."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Series:
    """An option that is listed."""

    strike: int
    """1e-6 USD per unit."""
    expiry: int
    """Unix seconds."""
    is_call: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """An account's cash in the options market, 1e-6 USD."""

    free: Amounts
    locked: Amounts
    reserved: Amounts


@dataclass(frozen=True, slots=True)
class MarketSeen:
    """The options market of a rollup."""

    price_cap: int
    """1e-6 USD per unit."""
    series: Mapping[str, Series]
    holders: Mapping[str, Holder]
    """By address."""
    positions: Mapping[str, Mapping[str, int]]
    """By series and address, 1e-4 units at the observed head; those that are flat are left out."""
    pools: Mapping[str, int]
    """What settlements left over, by series."""
    supply: Amounts
    """Of the cash token."""
    held: Amounts
    """Cash tokens of the market."""
    wallets: Mapping[str, Amounts]
    """Cash tokens of everybody else, by address."""


@dataclass(frozen=True, slots=True)
class AccountSeen:
    """An account of an options rollup."""

    owner: str
    """Address."""
    cash: int
    """1e-6 USD."""
    positions: Mapping[str, int]
    """By series, 1e-4 units."""


@dataclass(frozen=True, slots=True)
class LedgerSeen:
    """The market and the accounts of an options rollup; accounts and series by their numbers."""

    accounts: Mapping[str, AccountSeen]
    series: Mapping[str, Series]
    settling: tuple[str, ...]
    """Series whose positions are being paid out, so that they need not sum to zero."""


@dataclass(frozen=True, slots=True)
class RollupSeen:
    """One rollup."""

    chain_id: int
    blocks: tuple[BlockSeen, ...]
    """From genesis to the observed head."""
    heads: Mapping[str, tuple[int, str]]
    """Number and hash of ``latest``, ``safe`` and ``finalized``."""
    ether: Mapping[str, Amounts]
    """Wei of every account that can have any, by address."""
    market: MarketSeen | None = None
    """Of an EVM rollup that has one."""
    ledger: LedgerSeen | None = None
    """Of an options rollup. There ``ether`` is its dollars in wei, and what belongs to nobody has a name for an address."""


@dataclass(frozen=True, slots=True)
class DepositSeen:
    """A deposit that L1 holds."""

    rollup: str
    transaction: str
    """Hash on the rollup, which follows from its place on L1."""
    l1_block: int
    sender: str
    mint: int
    l1_transaction: str = ""


@dataclass(frozen=True, slots=True)
class ProvenSeen:
    """A withdrawal whose proof L1 has accepted."""

    rollup: str
    withdrawal: str


@dataclass(frozen=True, slots=True)
class FinalizedSeen:
    """A withdrawal that L1 has paid, or tried to."""

    rollup: str
    withdrawal: str
    success: bool
    l1_block: int
    l1_transaction: str = ""


@dataclass(frozen=True, slots=True)
class L1Seen:
    """The settlement chain at the observed block."""

    number: int
    hash: str
    deposits: tuple[DepositSeen, ...]
    """In the order of L1."""
    finalized: tuple[FinalizedSeen, ...]
    portals: Mapping[str, Amounts]
    """Ether of each rollup's portal, by rollup."""
    proven: tuple[ProvenSeen, ...] = ()
    blocks: tuple[str, ...] = ()
    """Hash of every block, by number."""


@dataclass(frozen=True, slots=True)
class DecisionSeen:
    """What a slot decided about one item."""

    id: str
    outcome: str
    """``commit``, ``abort``, ``include``, ``drop``."""


@dataclass(frozen=True, slots=True)
class SlotServed:
    """A slot as its sequencer serves it."""

    number: int
    term: int
    hash: str
    """Digest of its whole content, decisions included."""
    link: str
    """Name under which the next slot knows it."""
    parent: str
    timestamp: int
    blocks: Mapping[str, tuple[int, str]]
    """Number and hash of each rollup's block, by rollup."""
    decisions: tuple[DecisionSeen, ...]


@dataclass(frozen=True, slots=True)
class StatusSeen:
    """What the sequencer says became of an item."""

    status: str
    """``pending``, ``committed``, ``aborted``, ``expired``, ``included`` or ``dropped``."""
    kind: str
    slot: int | None
    legs: tuple[tuple[str, str], ...]
    """Rollup and transaction of each leg."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SequencerSeen:
    """One sequencer."""

    term: int
    waiting: int
    """Acknowledged items without an end."""
    slots: tuple[SlotServed, ...]
    statuses: Mapping[str, StatusSeen | None]
    """Of every operation of the history that is one of its items, by id; None if it does not know it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything."""

    at_ns: int
    """When the observer began, ``time.monotonic_ns()``."""
    rollups: Mapping[str, RollupSeen]
    sequencers: Mapping[str, SequencerSeen]
    l1: L1Seen | None
    missing: tuple[str, ...] = field(default=())
    """What could not be seen, one sentence each; checkers that need it say unknown."""


_ADAPTER: TypeAdapter[Observed] = TypeAdapter(Observed)


def write_observed(path: Path, observed: Observed) -> None:
    """Write an observation, whole or not at all."""
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.write_bytes(_ADAPTER.dump_json(observed, exclude_defaults=True))
    fresh.replace(path)


def read_observed(path: Path) -> Observed | None:
    """The observation of a run; None if there is none.

    Raises:
        UnreadableObservation: the file holds something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _ADAPTER.validate_json(content)
    except ValidationError as exc:
        fault = exc.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise UnreadableObservation(
            f"{path} can't be read: {place}: {fault['msg']}",
            "check an undamaged run, or one that this version recorded",
        ) from exc
