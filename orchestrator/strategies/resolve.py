"""From a strategy to legs on rollups, and from those to a bundle: places the legs, reads what the market offers, signs.

The order matters in a bundle: the bundle hash binds chain, sender and nonce of every leg but no calldata, so it is known before
anything is signed, and each leg's calldata carries it. The market then refuses a leg that runs outside of exactly this bundle.

On an EVM rollup a leg calls ``OptionsMarket.trade``. On an options rollup it brings an *action* (EIP-712) of the account, which names bundle,
price limit and expiry, and is signed for that rollup's chain id alone; the bundle's legs and the account's action numbers go up together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.bundle import bundle_hash
from bridge.wire.keccak import keccak256
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.board import Board, Row, Terms
from orchestrator.market.options_board import lots_problem, series_number
from orchestrator.market.options_calls import ACCOUNTS, EXCHANGE, Action, trade_call
from orchestrator.market.units import QUANTITY_SCALE, price_units, quantity_units
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import AUTO, Kind, Leg, Side, Strategy
from orchestrator.strategies.reading import ChainAccess, Known, Seat, read_rollups
from orchestrator.topology.plan import Account, MarketPlan, Plan, RollupPlan

LEG_GAS = 250_000
"""Gas limit of one leg; a trade that opens both positions in a fresh market needs about 120,000, on an options rollup as much."""
TOLERANCE = Fraction(1, 20)
"""How far from its quote a leg without a limit may trade, as a share of the price."""


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
    seat: Seat | None = None
    """Whose account trades on an options rollup; None on an EVM rollup, where it is the sender's address."""


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
    seats: Mapping[str, Seat] | None = None,
    *,
    max_timestamp: int,
    salt: bytes,
) -> ResolvedStrategy:
    """As :func:`resolve`, for those who know the boards, the account's next nonces and its seats, by rollup. Pure."""
    if plan.market is None:
        raise _no_market(plan)
    known = Known(boards, nonces, seats or {})
    legs = _placed(strategy, plan.market, place(strategy, plan.rollups), known)
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
    wanted: dict[str, int] = {}
    for leg, rollup in zip(strategy.legs, places, strict=True):
        wanted[rollup.name] = max(leg.quantity, wanted.get(rollup.name, 0))
    known = await read_rollups(access, places, plan.market.underlying, wanted, maker, account.address)
    return (maker, _placed(strategy, plan.market, places, known), price_units(plan.market.price_cap))


def place(strategy: Strategy, rollups: Sequence[RollupPlan]) -> tuple[RollupPlan, ...]:
    """The rollup of each leg: its own, or for ``auto`` legs all rollups in turn, in the order of their names. Pure.

    Raises:
        ResolutionError: a leg names a rollup that doesn't exist.
    """
    venues = {rollup.name: rollup for rollup in rollups}
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
                f"leg {index} of {strategy.name} is for {leg.rollup!r}, and there is no such rollup",
                f"the rollups are: {', '.join(names)}",
            )
    return tuple(placed)


def require_lots(strategy: Strategy, index: int, rollup: RollupPlan) -> None:
    """Refuse a quantity that an options rollup can't trade in its lots. Pure; on EVM rollups there are none.

    Raises:
        ResolutionError: the leg's quantity isn't a multiple.
    """
    if rollup.options is None:
        return
    problem = lots_problem(strategy.legs[index].quantity, quantity_units(rollup.options.lot))
    if problem is not None:
        raise ResolutionError(
            f"leg {index} of {strategy.name}: {problem} of {rollup.name}, an options rollup",
            "choose another quantity, or name an EVM rollup for this leg",
        )


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
        transactions=tuple(_signed(leg, maker, name, max_timestamp, wallet) for leg in legs),
    )


def _placed(
    strategy: Strategy, market: MarketPlan, places: Sequence[RollupPlan], known: Known
) -> tuple[PlacedLeg, ...]:
    following = dict(known.nonces)
    legs: list[PlacedLeg] = []
    for index, (leg, rollup) in enumerate(zip(strategy.legs, places, strict=True)):
        row = _row(strategy, index, market, rollup.name, known.boards[rollup.name])
        quoted = row.quote.ask if leg.side is Side.BUY else row.quote.bid
        _require_traded(strategy, index, rollup, row)
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
                seat=None if rollup.options is None else known.seats[rollup.name],
            )
        )
        following[rollup.name] += 1
    return tuple(legs)


def _require_traded(strategy: Strategy, index: int, rollup: RollupPlan, row: Row) -> None:
    """Refuse what an options rollup's market maker doesn't trade: no bundle could hold it. On EVM rollups the market itself refuses."""
    if rollup.options is None:
        return
    require_lots(strategy, index, rollup)
    leg = strategy.legs[index]
    if not (row.quote.ask_size if leg.side is Side.BUY else row.quote.bid_size):
        verb = "sells" if leg.side is Side.BUY else "buys"
        raise ResolutionError(
            f"leg {index} of {strategy.name}: nobody {verb} {leg.quantity / QUANTITY_SCALE:g} of the {leg.kind} struck at "
            f"{leg.strike / 1e6:g} on {rollup.name} now: its market maker's exposure is at its limit, its marks are old, or the series "
            "is over or worth nothing",
            "ask for less, wait for the next update of its oracle, or name another rollup for this leg",
        )


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


def _signed(leg: PlacedLeg, maker: str, bundle: bytes, max_timestamp: int, wallet: Wallet) -> bytes:
    to, data = _call(leg, maker, bundle, max_timestamp, wallet)
    return wallet.sign(
        UnsignedTransaction(
            chain_id=leg.chain_id,
            nonce=leg.nonce,
            to=bytes.fromhex(to[2:]),
            data=data,
            gas=LEG_GAS,
            max_fee=MAX_FEE,
            priority_fee=PRIORITY_FEE,
        )
    )


def _call(leg: PlacedLeg, maker: str, bundle: bytes, max_timestamp: int, wallet: Wallet) -> tuple[str, bytes]:
    """Address and call data of a leg's transaction."""
    if leg.seat is None:
        trade = artifact("OptionsMarket").interface
        quantity = leg.leg.signed_quantity
        return OPTIONS_MARKET, trade.encode_call("trade", leg.series, maker, quantity, leg.limit, bundle)
    call = trade_call(leg.seat.account, series_number(leg.series), leg.leg.signed_quantity, leg.limit)
    number = leg.seat.action_nonce(leg.nonce)
    action = Action(leg.seat.account, number, max_timestamp, bundle, EXCHANGE, call)
    return ACCOUNTS, action.transaction_data(leg.chain_id, wallet)
