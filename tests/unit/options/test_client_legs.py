"""Legs of strategies on options rollups, against the engine's own decoder: what is resolved and signed is what is traded, there and in its bundle alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.wire import rlp
from bridge.wire.journal import Journal
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction
from orchestrator.chains import ChainHandle
from orchestrator.checks.decoding import block_seen
from orchestrator.checks.observed import EventSeen, LedgerSeen, RollupSeen
from orchestrator.checks.observing_options import observe_ledger
from orchestrator.checks.options_books import booked, differences
from orchestrator.checks.strategy import _leg as leg_problem
from orchestrator.load.history import Leg as LoadLeg
from orchestrator.market.feed import Statement, update_of
from orchestrator.market.feeding import Feeding
from orchestrator.market.maker_state import Progress, State
from orchestrator.market.options_board import read_options_board
from orchestrator.market.options_calls import ACCOUNTS
from orchestrator.market.options_venue import OptionsVenue
from orchestrator.market.quoting import listed_series
from orchestrator.market.testing_options import (
    START,
    OptionsChain,
    OptionsReads,
    example_options_plan,
    options_chain,
)
from orchestrator.market.wallet import Wallet
from orchestrator.strategies import presets
from orchestrator.strategies.errors import ReceiptError, ResolutionError
from orchestrator.strategies.model import Kind, Leg, Side, Strategy
from orchestrator.strategies.payoff import premium
from orchestrator.strategies.reading import Seat
from orchestrator.strategies.resolve import ResolvedStrategy, resolve, resolve_known
from orchestrator.strategies.result import committed, revert_reason
from rollup_node.engines.base import ExecutedBlock

PLAN = example_options_plan(("gamma", "delta"))
MARKET, USER = PLAN.market, PLAN.users[0]
assert MARKET is not None
SALT = b"\x5a" * 32
SOON = START + 20
CALL = Leg(Side.BUY, Kind.CALL, "ETH", 2_000 * 10**6, 12_300)


class Floor:
    """Two options rollups that are fed, and users who trade there."""

    def __init__(self, gamma: OptionsChain, delta: OptionsChain, folder: Path) -> None:
        self.gamma, self.delta, self._folder = gamma, delta, folder
        self.reads = OptionsReads(gamma, delta)

    async def feed(self) -> None:
        """First updates and listings."""
        assert MARKET is not None
        state = State(self._folder / "maker.json", START, MARKET.spot, {})
        chains = (self.gamma, self.delta)
        with Journal(self._folder / "maker.jsonl", "maker", "maker") as journal:
            feeding = Feeding(
                MARKET,
                listed_series(MARKET, START),
                [chain.for_maker for chain in chains],
                state,
                journal,
                lambda: float(START),
            )
            for chain in chains:
                wallet = Wallet(PLAN.role("maker").private_key)
                await feeding.look(OptionsVenue(chain.for_maker, chain.client, wallet), Progress())

    async def resolved(self, *legs: Leg, salt: bytes = SALT) -> ResolvedStrategy:
        """A strategy of these legs, signed."""
        strategy = Strategy("legs", legs)
        return await resolve(strategy, PLAN, USER, self.reads, max_timestamp=SOON, salt=salt)

    async def cash(self, chain: OptionsChain, account: int) -> int:
        """Of an account, 1e-6 USD."""
        return int((await chain.call("options_getAccount", account))["cash"])


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    """Fed and ready."""
    async with (
        options_chain(PLAN, tmp_path / "gamma") as gamma,
        options_chain(PLAN, tmp_path / "delta", 1) as delta,
    ):
        floor = Floor(gamma, delta, tmp_path)
        await floor.feed()
        yield floor


async def _update(chain: OptionsChain) -> None:
    """The oracle speaks at the chain's present time."""
    assert MARKET is not None
    said = update_of(MARKET, listed_series(MARKET, START), Statement(chain.now, 2_000 * 10**6), 9)
    venue = OptionsVenue(chain.for_maker, chain.client, Wallet(PLAN.role("maker").private_key))
    await venue.bring(said, ())


async def _observed(chain: OptionsChain) -> tuple[RollupSeen, LedgerSeen]:
    """As the checkers' observer sees it."""
    head = int(await chain.call("eth_blockNumber"), 16)
    blocks = []
    for number in range(head + 1):
        block = await chain.call("eth_getBlockByNumber", hex(number), True)
        blocks.append(block_seen(block, await chain.call("eth_getBlockReceipts", hex(number))))
    handle = ChainHandle("gamma", chain.rollup.chain_id, "", chain.client)
    cash, ledger = await observe_ledger(handle, head, blocks, {})
    return RollupSeen(chain.rollup.chain_id, tuple(blocks), {}, cash, ledger=ledger), ledger


def _trades_of(rollup: RollupSeen) -> list[EventSeen]:
    return [event for block in rollup.blocks for sent in block.transactions for event in sent.events]


def told(block: ExecutedBlock) -> list[str]:
    """What became of the legs, by their errors; the guard's two transactions are left out."""
    return [result.reason.split("(")[0] for result in block.results[1:-1]]


async def receipts_of(chain: OptionsChain, resolved: ResolvedStrategy) -> list[Any]:
    """As a client reads them."""
    hashes = [to_hex(digest) for digest in resolved.transaction_hashes]
    return [await chain.call("eth_getTransactionReceipt", digest) for digest in hashes]


async def test_what_is_signed_is_what_is_traded_and_what_is_told_is_what_was_paid(floor: Floor) -> None:
    """Two legs in one bundle: positions are the legs', and cash has moved by premium and fee as the receipts say, to the unit."""
    short = replace(CALL, side=Side.SELL, kind=Kind.PUT, strike=1_900 * 10**6, quantity=70_100)
    resolved = await floor.resolved(replace(CALL, rollup="gamma"), replace(short, rollup="gamma"))
    seat = resolved.legs[0].seat
    assert seat is not None
    before = await floor.cash(floor.gamma, seat.account)
    assert ["", ""] == told(await floor.gamma.block(*resolved.transactions, bundle=resolved.bundle_hash))
    result = committed(resolved, await receipts_of(floor.gamma, resolved))
    paid = sum((leg.premium or 0) + (leg.fee or 0) for leg in result.legs)
    assert before - paid == await floor.cash(floor.gamma, seat.account)
    assert [leg.premium for leg in result.legs] == [
        premium(leg.price or 0, leg.placed.leg.signed_quantity) for leg in result.legs
    ]
    assert all(leg.fee for leg in result.legs)
    positions = await floor.gamma.call("options_getPositions", seat.account)
    assert [12_300, -70_100] == sorted((int(one["quantity"]) for one in positions), reverse=True)
    known = result.to_json()
    assert (sum(leg.fee or 0 for leg in result.legs), 12_300) == (known["fees"], known["above_cap"])
    assert result.profile is not None
    assert known["net_premium"] + known["fees"] == result.profile.max_loss - 70_100 * 1_900 * 100


async def test_a_leg_counts_on_its_own_rollup_in_its_own_bundle_until_it_expires(floor: Floor) -> None:
    """Alone, in another bundle, too late, on another rollup, or a second time, it has no effect."""
    resolved = await floor.resolved(replace(CALL, rollup="gamma"))
    (raw,) = resolved.transactions
    alone = await floor.gamma.block(raw)
    assert ["BundleNotOpen"] == [result.reason.split("(")[0] for result in alone.results]

    resolved = await floor.resolved(replace(CALL, rollup="gamma"))
    assert ["BundleNotOpen"] == told(await floor.gamma.block(*resolved.transactions, bundle=b"\x0b" * 32))

    there = await floor.delta.block(*resolved.transactions, bundle=resolved.bundle_hash)
    assert [
        f"invalid chain id for signer: have {floor.gamma.rollup.chain_id} want {floor.delta.rollup.chain_id}"
    ] == told(there)

    resolved = await floor.resolved(replace(CALL, rollup="gamma"))
    floor.gamma.now = SOON + 1
    assert ["ActionExpired"] == told(
        await floor.gamma.block(*resolved.transactions, bundle=resolved.bundle_hash)
    )

    floor.gamma.now = SOON
    assert [] == await floor.gamma.call(
        "options_getPositions", resolved.legs[0].seat.account if resolved.legs[0].seat else 0
    )


async def test_an_action_for_another_rollup_is_refused_whoever_brings_it(floor: Floor) -> None:
    """The same account, number, nonce and bundle, put into a transaction for this rollup: its signer is nobody here."""
    resolved = await floor.resolved(replace(CALL, rollup="delta"))
    forged = [replace(leg, chain_id=floor.gamma.rollup.chain_id) for leg in resolved.legs]
    foreign = _brought_to(forged[0].chain_id, resolved.transactions[0])
    block = await floor.gamma.block(foreign, bundle=resolved.bundle_hash)
    assert ["NotAuthorized"] == told(block)


def _brought_to(chain_id: int, raw: bytes) -> bytes:
    """A transaction's call data in a transaction of the same sender for another rollup."""
    fields: Any = rlp.decode(raw[1:])
    call = UnsignedTransaction(chain_id, int.from_bytes(fields[1]), 0, 0, 250_000, fields[5], fields[7])
    return Wallet(USER.private_key).sign(call)


async def test_a_limit_that_the_market_does_not_meet_is_told_with_its_price(floor: Floor) -> None:
    """The leg fails with the price that it would have had, and nothing is traded."""
    resolved = await floor.resolved(replace(CALL, rollup="gamma", limit=1))
    block = await floor.gamma.block(*resolved.transactions, bundle=resolved.bundle_hash)
    assert ["LimitExceeded"] == told(block)
    why = revert_reason(resolved, 0, from_hex(block.results[1].data))
    assert f"leg 0 on gamma: LimitExceeded(price={resolved.legs[0].quoted}, limit=1)" == why
    with pytest.raises(ReceiptError, match="shows no trade"):
        committed(resolved, await receipts_of(floor.gamma, resolved))


async def test_quotes_are_exact_for_the_quantity_and_what_is_not_traded_is_refused_before(
    floor: Floor,
) -> None:
    """The quoted price is the one paid; more than the market maker's limit, odd lots and strangers don't get as far as a signature."""
    resolved = await floor.resolved(replace(CALL, rollup="gamma"))
    await floor.gamma.block(*resolved.transactions, bundle=resolved.bundle_hash)
    (leg,) = committed(resolved, await receipts_of(floor.gamma, resolved)).legs
    assert resolved.legs[0].quoted == leg.price
    with pytest.raises(ResolutionError, match=r"nobody sells 1e\+07 of the call .* on gamma now"):
        await floor.resolved(replace(CALL, rollup="gamma", quantity=10**11))
    with pytest.raises(ResolutionError, match=r"1\.2345 is no multiple of the lot, 0\.01 of gamma"):
        await floor.resolved(replace(CALL, rollup="gamma", quantity=12_345))
    stranger, alone = replace(USER, address="0x" + "11" * 20), replace(PLAN, rollups=PLAN.rollups[:1])
    with pytest.raises(ResolutionError, match="has no account on gamma"):
        await resolve(Strategy("s", (CALL,)), alone, stranger, floor.reads, max_timestamp=1, salt=SALT)
    floor.gamma.now = START + 121
    await floor.gamma.block()
    with pytest.raises(ResolutionError, match="its marks are old"):
        await floor.resolved(replace(CALL, rollup="gamma"))
    floor.gamma.now = START + 10**6
    await floor.gamma.block()
    board = await read_options_board(floor.gamma.call, "ETH")
    assert {0} == {row.quote.ask_size for row in board.rows}, "what is over isn't quoted"


async def test_actions_of_one_account_go_on_whatever_it_did_before(floor: Floor) -> None:
    """A wallet may have numbered actions its own way: the client's come after them, and those of bundles that are sent at once don't collide."""
    first = await floor.resolved(replace(CALL, rollup="gamma"))
    assert first.legs[0].seat is not None
    assert 0 == first.legs[0].seat.ahead
    far = replace(first.legs[0], seat=Seat(first.legs[0].seat.account, 1_000))
    board = await read_options_board(floor.gamma.call, "ETH")
    jumped = resolve_known(
        Strategy("s", (replace(CALL, rollup="gamma"),)), PLAN, USER, {"gamma": board}, {"gamma": 0},
        {"gamma": far.seat} if far.seat else {}, max_timestamp=SOON, salt=SALT,
    )  # fmt: skip
    assert [""] == told(await floor.gamma.block(*jumped.transactions, bundle=jumped.bundle_hash))
    after = await floor.resolved(replace(CALL, rollup="gamma"), replace(CALL, rollup="gamma"))
    assert [1_000, 1_000] == [leg.seat.ahead for leg in after.legs if leg.seat]
    assert ["", ""] == told(await floor.gamma.block(*after.transactions, bundle=after.bundle_hash))


async def test_a_condor_over_two_options_rollups_pays_by_its_closed_form(floor: Floor) -> None:
    """Its pay-off table is ``-min(max(K2-x,0),K2-K1) - min(max(x-K3,0),K4-K3)`` per unit, short, above the cap too."""
    assert MARKET is not None
    strikes, quantity = (1_800, 1_900, 2_100, 2_200), 3
    condor = presets.build("iron_condor", MARKET, strikes=strikes, quantity=quantity)
    resolved = await resolve(condor, PLAN, USER, floor.reads, max_timestamp=SOON, salt=SALT)
    receipts: dict[int, Any] = {}
    for chain in (floor.gamma, floor.delta):
        own = [leg.index for leg in resolved.legs if leg.rollup == chain.rollup.name]
        block = await chain.block(
            *(resolved.transactions[index] for index in own), bundle=resolved.bundle_hash
        )
        assert ["", ""] == told(block)
        for index in own:
            digest = to_hex(resolved.transaction_hashes[index])
            receipts[index] = await chain.call("eth_getTransactionReceipt", digest)
    prices = [price * 10**6 for price in (0, 1_800, 1_850, 1_900, 2_130, 2_200, 7_000, 9_000)]
    result = committed(resolved, [receipts[index] for index in sorted(receipts)], prices=prices)
    k1, k2, k3, k4 = (strike * 10**6 for strike in strikes)
    expected = [quantity * (-min(max(k2 - x, 0), k2 - k1) - min(max(x - k3, 0), k4 - k3)) for x in prices]
    assert list(zip(prices, expected, strict=True)) == list(result.payoffs)
    assert 0 == result.to_json()["above_cap"]


async def test_checkers_book_positions_again_and_tell_what_does_not_fit(floor: Floor) -> None:
    """From the chain's own blocks: trades and settlement give the ledger; a ledger, a leg or a limit that is another is told."""
    sell = replace(CALL, side=Side.SELL, rollup="gamma", expiry_s=86_400.0)
    resolved = await floor.resolved(replace(CALL, rollup="gamma"), sell)
    await floor.gamma.block(*resolved.transactions, bundle=resolved.bundle_hash)
    rollup, ledger = await _observed(floor.gamma)
    books = booked("gamma", rollup)
    assert (2, True, []) == (books.trades, books.exact, books.wrong)
    assert [] == list(differences("gamma", ledger, books))

    (number,) = [one for one, account in ledger.accounts.items() if account.owner == USER.address.lower()]
    mine = ledger.accounts[number]
    series = min(mine.positions)
    wrong = replace(mine, positions={**mine.positions, series: 7})
    (told,) = differences("gamma", replace(ledger, accounts={**ledger.accounts, number: wrong}), books)
    assert f"account {number} holds 7 of series {series}, and traded 12300" in told.lines[0]

    leg, trade = resolved.legs[0], _trades_of(rollup)[0]
    limit = leg.limit
    declared = LoadLeg("gamma", "0x", "0x", 0, ACCOUNTS, trade=(to_hex(leg.series), 12_300, limit))
    assert "" == leg_problem(declared, [trade], "0x")
    for named, why in (
        ((to_hex(leg.series), 12_300, 1), "its limit is 1"),
        ((to_hex(leg.series), 12_200, limit), "instead of 12200"),
        (("0x" + "07" * 32, 12_300, limit), "instead of 12300 of 0x0707"),
    ):
        assert why in leg_problem(replace(declared, trade=named), [trade], "0x")
    assert "a leg made 0 trades" == leg_problem(declared, [], "0x")

    assert MARKET is not None
    floor.gamma.now = START + 86_400
    await _update(floor.gamma)
    await floor.gamma.block()
    rollup, ledger = await _observed(floor.gamma)
    again = booked("gamma", rollup)
    assert ([], []) == (again.wrong, list(differences("gamma", ledger, again)))
    assert 1 == len(ledger.accounts[number].positions), "one leg has been settled"
    unsettled = replace(rollup, blocks=tuple(replace(block, derived=()) for block in rollup.blocks))
    assert list(differences("gamma", ledger, booked("gamma", unsettled))), "positions that vanish are told"
