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
from bridge.wire.frozen import quickly_made
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
FEE_KINDS: Final = 12
"""Kinds of fees that are told apart."""
MOST_POSITIONS: Final = 64
"""Of an account, whatever a genesis allows: what L1 can margin again in one transaction, and as many series as a topology lists."""
MOST_FILLS: Final = 64
"""Trades that are set aside for one combo."""


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
    EARNINGS = 12
    """Zero."""
    BREAKER = 13
    """Underlying plus one; zero: of the whole rollup."""
    LETTERS = 14
    """The first 28 bits of a name: of a message from or to another chain, or of a strategy."""
    POST = 15
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


@quickly_made
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
    locked: int = 0
    """Micro-USD that those positions can lose: what they are margined at."""
    due: int = 0
    """Micro-USD that other rollups still owe it for legs that are settled."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Owner:
    """What is known of an address."""

    address: bytes
    nonce: int
    """Of its next transaction."""
    accounts: tuple[int, ...]
    """The first is its primary one."""


@quickly_made
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
    """Unix seconds; moved on by as long as it was paused."""
    maintenance: int
    """Margin that it missed when it began, micro-USD."""
    reserved: int = 0
    """Of the account's cash, what bids have brought in: that isn't sold again. Micro-USD."""
    turned: int = 0
    """Unix seconds: since when what is for sale is worth nothing or less; 0: it isn't."""
    paused: int = 0
    """Unix seconds: since when marks are old; 0: they aren't."""


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
    """Of all legs on all rollups; of a strategy over the bridge, of those here."""
    legs: tuple[tuple[int, int], ...]
    """Series and signed quantity here."""
    state: int
    """Prepared; locked, owed. One that has ended has no leaf."""
    deadline: int
    """Unix seconds."""
    pledge: int = 0
    """Micro-USD of the account."""
    snapshot: int = 0
    """Time of the oracle's word that all its rollups had when it was locked, unix seconds."""
    fills: tuple[tuple[int, int, int, int, int, int, int, int], ...] = ()
    """While it is prepared, the trades that are set aside: leg, series, maker's account, quantity as the taker sees it, price, the maker's pledge,
    expiry of the maker's order, and whether that goes back into the book."""
    required: int = 0
    """Of a locked one, micro-USD: what its legs here can lose beyond what is pledged to them."""
    due: int = 0
    """Of a locked one, micro-USD: what pledges owe for legs that are settled, less what they have paid."""
    pledges: tuple[tuple[int, int, int, int, bool, int], ...] = ()
    """Of a locked one, pledges over rollups that touch a leg here: its series, the other rollup and account, strike and kind of the
    long leg, and how much of it; above zero the long leg is here and pays there, below zero the other way round."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is known of a message from or to another chain, or under which number a strategy is."""

    name: bytes
    """Hash."""
    box: int
    """Which list of names it is on: one for each mapping that the contracts of other rollups have."""
    state: int
    """Numbered as there."""
    sender: bytes = bytes(20)
    """Of a message that was sent here."""
    valid_until: int = 0
    """Of a message that was sent here: last second in which its destination executes it."""
    value: int = 0
    """Of a message that was sent here: wei. Of a strategy: the combo's number."""


@dataclass(frozen=True, slots=True)
class Post:
    """Counts and custody of messages from and to other chains."""

    messages: int = 0
    """Sent to other rollups: the next one's nonce."""
    calls: int = 0
    """Sent to L1 by the messenger: the next one's nonce."""
    held: int = 0
    """Wei of messages that have come and aren't delivered."""


@quickly_made
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
    insurance_paid: int = 0
    """By the fund in the running block, micro-USD: the block's limit is on it."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Earnings:
    """What the rollup has taken in since its genesis, whoever got it then; micro-USD. Statistics: no rule but the breaker's looks at it."""

    amounts: tuple[int, ...] = (0,) * FEE_KINDS
    """By :class:`rollup_node.engines.options.transition.fees.FeeKind`."""
    volume: int = 0
    """Premiums of all trades."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What a breaker remembers; its level is its oracle's, or that of the globals."""

    held: int = 0
    """Unix seconds: when something last asked for the level that it is at."""
    sequence: int = 0
    """Of the oracle's word that the following is of."""
    timestamp: int = 0
    """Unix seconds, of the same."""
    spot: int = 0
    """Micro-USD, of the same; the next three are from before it."""
    previous: int = 0
    fast: int = 0
    """Moving average over minutes."""
    slow: int = 0
    """Over an hour or so."""
    window: int = 0
    """Unix seconds: where the window that volume is counted in began."""
    volume: int = 0
    """All that had been traded then, micro-USD."""
    capped: int = 0
    """Unix seconds: where the window that withdrawals are capped in began."""
    allowed: int = 0
    """What may leave in it, micro-USD."""
    withdrawn: int = 0
    """What has left in it."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The message passer's storage root, see :mod:`rollup_node.engines.options.state.trie`."""

    root: bytes


_HOLDINGS: Final = Many(Group((U32, I64)), MOST_POSITIONS, key=4)
_DATED: Final = Many(Group((U64, U64)), key=8)
_KEY: Final = Record(Key, address=ADDRESS, scope=U8, expiry=U64, nonce=U64)
_LETTER: Final = Record(Letter, name=WORD, box=U8, state=U8, sender=ADDRESS, valid_until=U64, value=U256)
_OWNER: Final = Record(Owner, address=ADDRESS, nonce=U64, accounts=Many(U32, key=4))

FORMS: Final[dict[Kind, Codec]] = {
    Kind.ACCOUNT: Record(
        Account, owner=ADDRESS, nonce=U64, cash=I128, reserved=I128, portfolio=TRUTH, flags=U8,
        positions=_HOLDINGS, locks=_HOLDINGS, keys=Many(_KEY, key=20), locked=I128, due=I128,
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
    Kind.AUCTION: Record(Auction, started=U64, maintenance=I128, reserved=I128, turned=U64, paused=U64),
    Kind.AMM: Record(Amm, account=U32, limit=I64, skew=U64, spread=U64, enabled=TRUTH),
    Kind.COMBO: Record(
        Combo, name=WORD, account=U32, legs_hash=WORD, legs=_HOLDINGS, state=Choice(int, 5), deadline=U64, pledge=I128,
        snapshot=U64, fills=Many(Group((U8, U32, U32, I64, U64, I128, U64, U8)), MOST_FILLS),
        required=I128, due=I128, pledges=Many(Group((U32, U64, U32, U64, TRUTH, I64)), MOST_FILLS),
    ),
    Kind.GLOBALS: Record(
        Globals, number=U64, timestamp=U64, next_account=U32, next_series=U32, next_combo=U32, withdrawals=U64,
        deposits=U64, insurance=I128, sequencer_fees=I128, protocol_fees=I128, block_fees=I128, shared_loss=I128,
        dust=I256, vault=U256, level=U8, insurance_paid=I128,
    ),
    Kind.MESSAGES: Record(Messages, root=WORD),
    Kind.EARNINGS: Record(Earnings, amounts=Group((I128,) * FEE_KINDS), volume=I128),
    Kind.BREAKER: Record(
        Breaker, held=U64, sequence=U64, timestamp=U64, spot=U64, previous=U64, fast=U64, slow=U64, window=U64,
        volume=I128, capped=U64, allowed=I128, withdrawn=I128,
    ),
    Kind.LETTERS: Many(_LETTER, key=33),
    Kind.POST: Record(Post, messages=U64, calls=U64, held=U256),
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
