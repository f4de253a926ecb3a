"""What the state tree holds: the kinds of leaves, their fields, and their bytes.

::

    index   kind (4 bits) | id (28 bits)
    bytes   kind (1) | version (1) | fields in order, as the table at the end declares them

A leaf that isn't there is absent, never all zeros. Members of lists ascend by series, address or expiry, each once; what doesn't fit is an ``Overflow`` where it is encoded, and the transition's range checks come before.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from bridge.wire.errors import Malformed
from rollup_node.engines.options.risk.rows import RiskRow
from rollup_node.engines.options.state.forms import (
    ADDRESS,
    I64,
    I128,
    I256,
    TRUTH,
    U8,
    U32,
    U64,
    U256,
    WORD,
    Choice,
    Codec,
    Group,
    Many,
    Record,
)

ID_BITS: Final = 28
MOST_POSITIONS: Final = 32
"""Of an account: what L1 can margin again in one transaction."""


class Kind(IntEnum):
    """Of a leaf; what its id is."""

    ACCOUNT = 1
    """Account number."""
    OWNERS = 2
    """The first 28 bits of an address's hash."""
    SERIES = 3
    """Series number."""
    RISK = 4
    """Series number."""
    BOOK = 5
    """Series number."""
    ORACLE = 6
    """Underlying."""
    AUCTION = 7
    """Account number."""
    AMM = 8
    """Underlying."""
    COMBO = 9
    """Combo number."""
    GLOBALS = 10
    """Zero."""
    MESSAGES = 11
    """Zero."""


def index_of(kind: Kind, number: int) -> int:
    """Place in the tree."""
    assert 0 <= number < 1 << ID_BITS, f"no leaf of {kind.name} has the number {number}"
    return kind << ID_BITS | number


@dataclass(frozen=True, slots=True)
class Key:
    """A session key: may sign for an account within a scope, until it expires."""

    address: bytes
    scope: int
    """Bits of what it may sign; 0: nothing any more."""
    expiry: int
    """Unix seconds."""
    nonce: int = 0
    """Highest that it has used."""


@dataclass(frozen=True, slots=True)
class Account:
    """Cash, positions, and who may act."""

    owner: bytes
    nonce: int = 0
    """Highest that the owner has signed an action with."""
    cash: int = 0
    """Micro-USD."""
    reserved: int = 0
    """Micro-USD that can't be taken out: pledges and bids."""
    portfolio: bool = False
    """Whether positions are margined against each other; otherwise one by one."""
    flags: int = 0
    positions: tuple[tuple[int, int], ...] = ()
    """Series and signed quantity, 1e-4 contracts; none is zero."""
    locks: tuple[tuple[int, int], ...] = ()
    """Series and signed quantity of positions that committed combos hold: they can't be closed alone."""
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """What is known of an address."""

    address: bytes
    nonce: int
    """Of its next transaction."""
    accounts: tuple[int, ...]
    """The first is its primary one."""


@dataclass(frozen=True, slots=True)
class Series:
    """An option that can be held."""

    underlying: int
    expiry: int
    """Unix seconds."""
    strike: int
    """Micro-USD."""
    is_call: bool
    tick: int
    """Micro-USD."""
    lot: int
    """1e-4 contracts."""
    status: int = 0
    """Live, expired, settled."""
    settlement: int = 0
    """Price, micro-USD, once it is expired."""
    open_interest: int = 0
    """1e-4 contracts."""
    pool: int = 0
    """Micro-USD on the way from shorts to longs while it is settled."""


@dataclass(frozen=True, slots=True)
class BookLeaf:
    """A series' book: both sides' roots, see :mod:`rollup_node.engines.options.book.root`, and its next number."""

    bids: bytes
    asks: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Oracle:
    """What the feed's signers said last of an underlying, and what follows for expiries."""

    signers: tuple[bytes, ...]
    """In ascending order."""
    level: int = 0
    """Of the breaker."""
    sequence: int = 0
    timestamp: int = 0
    """Unix seconds; 0: they have said nothing yet."""
    spot: int = 0
    """Micro-USD."""
    discount: int = 0
    """1e-18."""
    confidence: int = 0
    """1e-18."""
    forwards: tuple[tuple[int, int], ...] = ()
    """Expiry and price, micro-USD."""
    volatilities: tuple[tuple[int, int, int], ...] = ()
    """Expiry, strike and volatility, 1e-18."""
    accumulated: int = 0
    """Sum of the spot times the seconds that it held."""
    windows: tuple[tuple[int, int, int], ...] = ()
    """Expiry, where its averaging began, and the sum until then."""
    prices: tuple[tuple[int, int], ...] = ()
    """Expiry and settlement price, micro-USD."""


@dataclass(frozen=True, slots=True)
class Auction:
    """An account's positions on offer."""

    started: int
    """Unix seconds."""
    maintenance: int
    """Margin that it missed when it began, micro-USD."""
    reserved: int = 0
    """Cash that bidders have put up, micro-USD."""
    phase: int = 0


@dataclass(frozen=True, slots=True)
class Amm:
    """The market maker of an underlying: an account with a rule."""

    account: int
    limit: int
    """Vega at which its skew is whole, in the units of its quotes."""
    skew: int
    """Parts per million of volatility at that limit."""
    spread: int
    """Parts per million."""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Combo:
    """This rollup's part of a strategy over several."""

    name: bytes
    """Of the bundle or the bridge's proposal."""
    account: int
    legs_hash: bytes
    """Of all legs on all rollups."""
    legs: tuple[tuple[int, int], ...]
    """Series and signed quantity here."""
    state: int
    """Prepared, committed, aborted."""
    deadline: int
    """Unix seconds."""
    pledge: int = 0
    """Micro-USD."""
    snapshot: int = 0
    """The oracle's sequence that all rollups settle on."""


@dataclass(frozen=True, slots=True)
class Globals:
    """What there is one of."""

    number: int = 0
    """Of the block."""
    timestamp: int = 0
    """Unix seconds."""
    next_account: int = 1
    next_series: int = 1
    next_combo: int = 1
    withdrawals: int = 0
    """How many messages have gone to L1."""
    deposits: int = 0
    """How many have come from it."""
    insurance: int = 0
    """Micro-USD; so are the next four."""
    sequencer_fees: int = 0
    protocol_fees: int = 0
    block_fees: int = 0
    """Of the running block, not shared out yet."""
    shared_loss: int = 0
    """What nobody could pay."""
    dust: int = 0
    """Wei that rounding has left."""
    vault: int = 0
    """Wei that L1 holds for the rollup: deposited and not withdrawn."""
    level: int = 0
    """Of the breaker."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The message passer's storage root, see :mod:`rollup_node.engines.options.state.trie`."""

    root: bytes


_HOLDINGS: Final = Many(Group((U32, I64)), MOST_POSITIONS, key=4)
_DATED: Final = Many(Group((U64, U64)), key=8)
_KEY: Final = Record(Key, address=ADDRESS, scope=U8, expiry=U64, nonce=U64)
_OWNER: Final = Record(Owner, address=ADDRESS, nonce=U64, accounts=Many(U32, key=4))

FORMS: Final[dict[Kind, Codec]] = {
    Kind.ACCOUNT: Record(
        Account, owner=ADDRESS, nonce=U64, cash=I128, reserved=I128, portfolio=TRUTH, flags=U8,
        positions=_HOLDINGS, locks=_HOLDINGS, keys=Many(_KEY, key=20),
    ),
    Kind.OWNERS: Many(_OWNER, key=20),
    Kind.SERIES: Record(
        Series, underlying=U32, expiry=U64, strike=U64, is_call=TRUTH, tick=U64, lot=U64, status=Choice(int, 3),
        settlement=U64, open_interest=I64, pool=I128,
    ),
    Kind.RISK: Record(RiskRow, mark=I64, changes=Group((I64,) * 16), sequence=U64),
    Kind.BOOK: Record(BookLeaf, bids=WORD, asks=WORD, sequence=U64),
    Kind.ORACLE: Record(
        Oracle, signers=Many(ADDRESS, key=20), level=U8, sequence=U64, timestamp=U64, spot=U64, discount=U64, confidence=U64,
        forwards=_DATED, volatilities=Many(Group((U64, U64, U64)), key=16), accumulated=U256,
        windows=Many(Group((U64, U64, U256)), key=8), prices=_DATED,
    ),
    Kind.AUCTION: Record(Auction, started=U64, maintenance=I128, reserved=I128, phase=U8),
    Kind.AMM: Record(Amm, account=U32, limit=I64, skew=U64, spread=U64, enabled=TRUTH),
    Kind.COMBO: Record(
        Combo, name=WORD, account=U32, legs_hash=WORD, legs=_HOLDINGS, state=Choice(int, 3), deadline=U64, pledge=I128,
        snapshot=U64,
    ),
    Kind.GLOBALS: Record(
        Globals, number=U64, timestamp=U64, next_account=U32, next_series=U32, next_combo=U32, withdrawals=U64,
        deposits=U64, insurance=I128, sequencer_fees=I128, protocol_fees=I128, block_fees=I128, shared_loss=I128,
        dust=I256, vault=U256, level=U8,
    ),
    Kind.MESSAGES: Record(Messages, root=WORD),
}  # fmt: skip
"""Fields in the order of their bytes."""
VERSION: Final = 1


def encode(kind: Kind, value: Any) -> bytes:
    """The bytes of a leaf.

    Raises:
        Overflow: a field is past its range.
    """
    return bytes((kind, VERSION)) + FORMS[kind].write(value)


def decode(data: bytes) -> tuple[Kind, Any]:
    """The inverse of :func:`encode`.

    Raises:
        Malformed: not the bytes of a leaf.
    """
    if len(data) < 2 or data[0] not in FORMS or data[1] != VERSION:
        raise Malformed(
            f"a leaf begins with its kind and version {VERSION}, got {data[:2].hex() or 'nothing'}"
        )
    kind = Kind(data[0])
    value, end = FORMS[kind].read(data, 2)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after the end of a leaf")
    return kind, value
