"""From a strategy to legs on rollups, and from those to a bundle: places the legs, reads what the market offers, signs.

The order matters in a bundle: the bundle hash binds chain, sender and nonce of every leg but no calldata, so it is known before
anything is signed, and each leg's calldata carries it. The market then refuses a leg that runs outside of exactly this bundle.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.bundle import bundle_hash
from bridge.wire.keccak import keccak256
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.board import Board, Row, Terms, board_call, decode_board
from orchestrator.market.units import price_units
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import AUTO, Kind, Leg, Side, Strategy
from orchestrator.topology.plan import Account, MarketPlan, Plan, RollupPlan

LEG_GAS = 250_000
"""Gas limit of one leg; a trade that opens both positions in a fresh market needs about 120,000."""
TOLERANCE = Fraction(1, 20)
"""How far from its quote a leg without a limit may trade, as a share of the price."""


class ChainAccess(Protocol):
    """How a strategy reads rollups; whoever has their endpoints implements it."""

    async def nonce(self, rollup: str, address: str) -> int:
        """Next nonce of an account, transactions that wait included."""

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """What a read-only call returns in the latest state."""


@dataclass(frozen=True, slots=True)
class PlacedLeg:
    """A leg with everything decided but its signature."""

    leg: Leg
    index: int
    """Place in the bundle, from 0."""
    rollup: str
    chain_id: int
    nonce: int
    """The sender's, if the legs are a bundle's; each is a transaction of its own."""
    series: bytes
    """32 bytes."""
    expiry: int
    """Unix seconds."""
    quoted: int
    """The maker's price when the leg was resolved, 1e-6 USD per unit."""
    limit: int
    """1e-6 USD per unit."""


@dataclass(frozen=True, slots=True)
class ResolvedStrategy:
    """A strategy as one signed bundle, ready for ``eth_sendBundle``."""

    strategy: Strategy
    sender: str
    """0x-hex address."""
    price_cap: int
    """1e-6 USD per unit."""
    legs: tuple[PlacedLeg, ...]
    bundle_hash: bytes
    max_timestamp: int
    """Unix seconds."""
    salt: bytes
    """32 bytes."""
    transactions: tuple[bytes, ...]
    """Signed, one per leg in order."""

    @property
    def transaction_hashes(self) -> tuple[bytes, ...]:
        """32 bytes each, one per leg."""
        return tuple(keccak256(raw) for raw in self.transactions)


async def resolve(
    strategy: Strategy, plan: Plan, account: Account, access: ChainAccess, *, max_timestamp: int, salt: bytes
) -> ResolvedStrategy:
    """Turn a strategy into one signed bundle.

    Args:
        strategy: what to do.
        plan: the devnet's plan; says which rollups there are and who makes the market.
        account: who signs and trades.
        access: reads boards and nonces.
        max_timestamp: unix seconds; a block with a later timestamp can't hold the bundle.
        salt: 32 bytes; tells bundles of equal legs apart.

    Raises:
        ResolutionError: the plan has no market, a rollup doesn't exist, or a series isn't quoted there.
        VenueError: a rollup has no market contract.
    """
    maker, legs, price_cap = await resolve_legs(strategy, plan, account, access)
    return _bundled(strategy, account, maker, legs, price_cap, max_timestamp, salt)


def resolve_known(
    strategy: Strategy,
    plan: Plan,
    account: Account,
    boards: Mapping[str, Board],
    nonces: Mapping[str, int],
    *,
    max_timestamp: int,
    salt: bytes,
) -> ResolvedStrategy:
    """As :func:`resolve`, for those who know the maker's boards and the account's next nonces, by rollup. Pure."""
    if plan.market is None:
        raise _no_market(plan)
    legs = _placed(strategy, plan.market, place(strategy, plan.rollups), boards, nonces)
    cap = price_units(plan.market.price_cap)
    return _bundled(strategy, account, plan.role("maker").address, legs, cap, max_timestamp, salt)


async def resolve_legs(
    strategy: Strategy, plan: Plan, account: Account, access: ChainAccess
) -> tuple[str, tuple[PlacedLeg, ...], int]:
    """Who makes the market, each leg with everything decided, and the market's price cap in 1e-6 USD; raises as :func:`resolve`."""
    if plan.market is None:
        raise _no_market(plan)
    places = place(strategy, plan.rollups)
    maker = plan.role("maker").address
    boards, nonces = await _read(access, {rollup.name for rollup in places}, maker, account.address)
    return (
        maker,
        _placed(strategy, plan.market, places, boards, nonces),
        price_units(plan.market.price_cap),
    )


def place(strategy: Strategy, rollups: Sequence[RollupPlan]) -> tuple[RollupPlan, ...]:
    """The rollup of each leg: its own, or for ``auto`` legs the EVM rollups in turn, in the order of their names. Pure.

    Raises:
        ResolutionError: a leg names a rollup that doesn't exist or has no market, or there is none for ``auto``.
    """
    venues = {rollup.name: rollup for rollup in rollups if rollup.engine == "evm"}
    names = sorted(venues)
    placed: list[RollupPlan] = []
    automatic = 0
    for index, leg in enumerate(strategy.legs):
        if leg.rollup == AUTO and names:
            placed.append(venues[names[automatic % len(names)]])
            automatic += 1
        elif leg.rollup in venues:
            placed.append(venues[leg.rollup])
        else:
            raise ResolutionError(
                f"leg {index} of {strategy.name} is for {leg.rollup!r}, which has no options market",
                f"the EVM rollups are: {', '.join(names) or 'none'}",
            )
    return tuple(placed)


def _no_market(plan: Plan) -> ResolutionError:
    return ResolutionError(f"topology {plan.name} has no market to trade on", "add a market section")


def _bundled(
    strategy: Strategy,
    account: Account,
    maker: str,
    legs: tuple[PlacedLeg, ...],
    price_cap: int,
    max_timestamp: int,
    salt: bytes,
) -> ResolvedStrategy:
    """Name the bundle, then sign each leg with that name in it."""
    wallet = Wallet(account.private_key)
    name = bundle_hash([(leg.chain_id, wallet.address, leg.nonce) for leg in legs], max_timestamp, salt)
    return ResolvedStrategy(
        strategy=strategy,
        sender=account.address,
        price_cap=price_cap,
        legs=legs,
        bundle_hash=name,
        max_timestamp=max_timestamp,
        salt=salt,
        transactions=tuple(_signed(leg, maker, name, wallet) for leg in legs),
    )


async def _read(
    access: ChainAccess, rollups: set[str], maker: str, sender: str
) -> tuple[dict[str, Board], dict[str, int]]:
    async def board(rollup: str) -> Board:
        return decode_board(await access.call(rollup, OPTIONS_MARKET, board_call(maker)))

    try:
        async with asyncio.TaskGroup() as group:
            boards = {rollup: group.create_task(board(rollup)) for rollup in sorted(rollups)}
            nonces = {rollup: group.create_task(access.nonce(rollup, sender)) for rollup in sorted(rollups)}
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error  # one reason is enough to act on
    return (
        {rollup: task.result() for rollup, task in boards.items()},
        {rollup: task.result() for rollup, task in nonces.items()},
    )


def _placed(
    strategy: Strategy,
    market: MarketPlan,
    places: Sequence[RollupPlan],
    boards: Mapping[str, Board],
    nonces: Mapping[str, int],
) -> tuple[PlacedLeg, ...]:
    following = dict(nonces)
    legs: list[PlacedLeg] = []
    for index, (leg, rollup) in enumerate(zip(strategy.legs, places, strict=True)):
        row = _row(strategy, index, market, rollup.name, boards[rollup.name])
        quoted = row.quote.ask if leg.side is Side.BUY else row.quote.bid
        legs.append(
            PlacedLeg(
                leg=leg,
                index=index,
                rollup=rollup.name,
                chain_id=rollup.chain_id,
                nonce=following[rollup.name],
                series=row.series,
                expiry=row.terms.expiry,
                quoted=quoted,
                limit=_limit(leg, quoted),
            )
        )
        following[rollup.name] += 1
    return tuple(legs)


def _row(strategy: Strategy, index: int, market: MarketPlan, rollup: str, board: Board) -> Row:
    leg = strategy.legs[index]
    expiry = _expiry(leg, market, rollup, board)
    terms = Terms(leg.underlying, leg.strike, expiry, leg.kind is Kind.CALL)
    row = board.find(terms)
    if row is None:
        strikes = sorted({found.terms.strike / 1e6 for found in board.rows if found.terms.expiry == expiry})
        raise ResolutionError(
            f"leg {index} of {strategy.name}: {rollup} lists no {leg.kind} on {leg.underlying} struck at "
            f"{leg.strike / 1e6:g} that expires at {expiry}",
            f"listed strikes: {strikes}",
        )
    return row


def _expiry(leg: Leg, market: MarketPlan, rollup: str, board: Board) -> int:
    """The listed expiry of a leg: the plan's expiries and the listed ones correspond in order."""
    listed = board.expiries(leg.underlying)
    planned = sorted(market.expiries_s)
    if len(listed) != len(planned):
        raise ResolutionError(
            f"{rollup} quotes {len(listed)} expiries on {leg.underlying}, the plan has {len(planned)}",
            "wait until the maker is ready, or mend the underlying",
        )
    if leg.expiry_s is None:
        return listed[-1]
    if leg.expiry_s not in planned:
        raise ResolutionError(f"no series expires {leg.expiry_s:g} s after the start", f"there are {planned}")
    return listed[planned.index(leg.expiry_s)]


def _limit(leg: Leg, quoted: int) -> int:
    if leg.limit is not None:
        return leg.limit
    room = int(quoted * TOLERANCE)
    return quoted + room if leg.side is Side.BUY else quoted - room


def _signed(leg: PlacedLeg, maker: str, bundle: bytes, wallet: Wallet) -> bytes:
    data = artifact("OptionsMarket").interface.encode_call(
        "trade", leg.series, maker, leg.leg.signed_quantity, leg.limit, bundle
    )
    return wallet.sign(
        UnsignedTransaction(
            chain_id=leg.chain_id,
            nonce=leg.nonce,
            to=bytes.fromhex(OPTIONS_MARKET[2:]),
            data=data,
            gas=LEG_GAS,
            max_fee=MAX_FEE,
            priority_fee=PRIORITY_FEE,
        )
    )
