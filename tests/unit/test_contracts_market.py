"""The options market, its oracle and the bundle guard on a real engine, one rule at a time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import BUNDLE_GUARD, CASH_TOKEN, OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.market.board import Quote, Terms
from orchestrator.market.genesis import USER_CASH
from orchestrator.market.testing import MarketChain, Reverted, example_plan, market_chain
from orchestrator.market.units import symbol_bytes
from orchestrator.settlement.geth_genesis import GENESIS_TIME
from orchestrator.topology.plan import Account

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = example_plan(users=4)
SEQUENCER, MAKER, DEPLOYER = map(PLAN.role, ("sequencer", "maker", "deployer"))
ALICE, BOB, CAROL, DAVE = PLAN.users
NO_BUNDLE = b"\0" * 32
USD = 1_000_000
UNIT = 10_000
CALL = Terms("ETH", 2_000 * USD, GENESIS_TIME + 86_400, is_call=True)
PUT = Terms("ETH", 2_000 * USD, GENESIS_TIME + 86_400, is_call=False)
WIDE = Quote(50 * USD, 51 * USD, 100 * UNIT, 100 * UNIT)
MAX_LIMIT = 2**256 - 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MarketChain]:
    """One engine for all tests of this file."""
    async with market_chain(PLAN, tmp_path_factory.mktemp("market")) as chain:
        yield chain


@pytest_asyncio.fixture(loop_scope="module")
async def chain(engine: MarketChain) -> AsyncIterator[MarketChain]:
    """The engine as the genesis left it."""
    snapshot = await engine.client.call("evm_snapshot")
    yield engine
    await engine.client.call("evm_revert", snapshot)


async def _trade(
    chain: MarketChain,
    account: Account,
    series: bytes,
    quantity: int,
    limit: int,
    *,
    bundle: bytes = NO_BUNDLE,
) -> dict[str, Any]:
    arguments = (series, MAKER.address, quantity, limit, bundle)
    return await chain.send(account, "OptionsMarket", OPTIONS_MARKET, "trade", *arguments)


async def _market(chain: MarketChain, function: str, *arguments: Any) -> Any:
    return (await chain.read("OptionsMarket", OPTIONS_MARKET, function, *arguments))[0]


async def _money(chain: MarketChain, account: Account) -> tuple[int, int]:
    """Free and locked cash."""
    return (
        await _market(chain, "freeCash", account.address),
        await _market(chain, "lockedCash", account.address),
    )


def _named(reverted: pytest.ExceptionInfo[Reverted]) -> str:
    assert reverted.value.error is not None
    return reverted.value.error.name


async def test_a_call_bought_and_settled_pays_the_difference(chain: MarketChain) -> None:
    """Premium, collateral and payoff are exact to 1e-6 USD for a quantity that needs rounding."""
    series = await chain.quote(MAKER, CALL, Quote(1, 33_333_333, 0, 7 * UNIT))
    maker_before, _ = await _money(chain, MAKER)
    await _trade(chain, ALICE, series, 12_345, MAX_LIMIT)
    premium = -(-33_333_333 * 12_345 // UNIT)
    collateral = -(-6_000 * USD * 12_345 // UNIT)
    assert (USER_CASH - premium, 0) == await _money(chain, ALICE)
    assert (maker_before + premium - collateral, collateral) == await _money(chain, MAKER)
    await chain.fix(MAKER, CALL, 2_111_111_111)
    people = [ALICE.address, MAKER.address, BOB.address]
    await chain.send(BOB, "OptionsMarket", OPTIONS_MARKET, "settleMany", series, people)
    received, paid = 111_111_111 * 12_345 // UNIT, -(-111_111_111 * 12_345 // UNIT)
    assert (USER_CASH - premium + received, 0) == await _money(chain, ALICE)
    assert (maker_before + premium - paid, 0) == await _money(chain, MAKER)
    assert paid - received == await _market(chain, "settlementPool", series)


async def test_a_short_put_locks_its_strike_and_pays_what_it_lost(chain: MarketChain) -> None:
    """A taker that sells receives the bid, rounded down, and locks strike times quantity, rounded up."""
    terms = Terms("ETH", 1_999_999_999, PUT.expiry, is_call=False)
    series = await chain.quote(MAKER, terms, Quote(40_000_001, 41 * USD, 2 * UNIT, 0))
    await _trade(chain, ALICE, series, -3, 0)
    premium, collateral = 40_000_001 * 3 // UNIT, 600_000
    assert collateral - 1 == 1_999_999_999 * 3 // UNIT
    assert (USER_CASH + premium - collateral, collateral) == await _money(chain, ALICE)
    await chain.fix(MAKER, terms, 1_999_999_998)
    await chain.send(BOB, "OptionsMarket", OPTIONS_MARKET, "settle", series, ALICE.address)
    assert (USER_CASH + premium - 1, 0) == await _money(chain, ALICE)


async def test_prices_above_the_cap_count_as_the_cap(chain: MarketChain) -> None:
    """A short call never owes more than it locked."""
    series = await chain.quote(MAKER, CALL, WIDE)
    await _trade(chain, ALICE, series, -UNIT, 0)
    assert await _money(chain, ALICE) == (USER_CASH + 50 * USD - 6_000 * USD, 6_000 * USD)
    await chain.fix(MAKER, CALL, 10**15)
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "settle", series, ALICE.address)
    assert await _money(chain, ALICE) == (USER_CASH + 50 * USD - 6_000 * USD, 0)


async def test_a_closing_trade_frees_the_collateral(chain: MarketChain) -> None:
    """Buying back what was sold leaves the spread as the only cost, and no position."""
    series = await chain.quote(MAKER, CALL, WIDE)
    await _trade(chain, ALICE, series, -2 * UNIT, 0)
    await _trade(chain, ALICE, series, 2 * UNIT, MAX_LIMIT)
    assert await _money(chain, ALICE) == (USER_CASH - 2 * USD, 0)
    assert await _market(chain, "position", series, ALICE.address) == 0


async def test_quote_sizes_are_consumed_side_by_side(chain: MarketChain) -> None:
    """A trade takes from its own side only, and the rest can be traded to the last bit but no further."""
    series = await chain.quote(MAKER, CALL, Quote(50 * USD, 51 * USD, 5, 7))
    await _trade(chain, ALICE, series, 3, MAX_LIMIT)
    await _trade(chain, ALICE, series, -5, 0)
    assert await _market(chain, "quoteOf", series, MAKER.address) == (50 * USD, 51 * USD, 0, 4)
    with pytest.raises(Reverted, match=r"QuoteSizeExceeded\(quantity=5, available=4\)"):
        await _trade(chain, ALICE, series, 5, MAX_LIMIT)
    await _trade(chain, ALICE, series, 4, MAX_LIMIT)


async def test_limits_bind_on_both_sides_and_equality_is_enough(chain: MarketChain) -> None:
    """A buyer pays at most, a seller receives at least the limit."""
    series = await chain.quote(MAKER, CALL, WIDE)
    await _trade(chain, ALICE, series, 1, 51 * USD)
    await _trade(chain, ALICE, series, -1, 50 * USD)
    with pytest.raises(Reverted, match=r"LimitExceeded\(price=51000000, limit=50999999\)"):
        await _trade(chain, ALICE, series, 1, 51 * USD - 1)
    with pytest.raises(Reverted, match=r"LimitExceeded\(price=50000000, limit=50000001\)"):
        await _trade(chain, ALICE, series, -1, 50 * USD + 1)


@pytest.mark.parametrize(
    ("quantity", "error"),
    [
        (0, "ZeroQuantity"),
        (2**64, "QuantityTooLarge"),
        (-(2**255), "QuantityTooLarge"),
        (2**255 - 1, "QuantityTooLarge"),
        (2**64 - 1, "QuoteSizeExceeded"),
    ],
)
async def test_extreme_quantities_are_refused(chain: MarketChain, quantity: int, error: str) -> None:
    """Nothing overflows: the ends of the integer range revert by name."""
    series = await chain.quote(MAKER, CALL, WIDE)
    with pytest.raises(Reverted) as reverted:
        await _trade(chain, ALICE, series, quantity, MAX_LIMIT if quantity > 0 else 0)
    assert _named(reverted) == error


async def test_the_largest_quote_is_refused_for_want_of_cash_not_by_overflow(chain: MarketChain) -> None:
    """The largest sizes and prices that fit still end in a readable error."""
    series = await chain.quote(MAKER, CALL, Quote(2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1))
    for quantity, limit in ((2**64 - 1, MAX_LIMIT), (-(2**64 - 1), 0)):
        with pytest.raises(Reverted) as reverted:
            await _trade(chain, ALICE, series, quantity, limit)
        assert _named(reverted) == "InsufficientCash"


async def test_neither_side_can_owe_more_than_it_has(chain: MarketChain) -> None:
    """Cash is enough or the trade has no effect; the error says whose cash and how much."""
    terms = Terms("ETH", 1 * USD, CALL.expiry, is_call=True)
    series = await chain.quote(BOB, terms, Quote(0, 100 * USD, 0, 10_000 * UNIT))
    arguments = (series, BOB.address, 5_000 * UNIT, MAX_LIMIT, NO_BUNDLE)
    with pytest.raises(Reverted) as reverted:
        await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "trade", *arguments)
    assert reverted.value.error is not None
    assert dict(reverted.value.error.arguments) == {
        "account": BOB.address,
        "needed": 5_000 * 7_999 * USD,
        "available": USER_CASH + 5_000 * 100 * USD,
    }
    assert await _money(chain, ALICE) == (USER_CASH, 0)


async def test_premium_received_counts_towards_collateral(chain: MarketChain) -> None:
    """A seller with nothing but the premium can write an option that the premium covers."""
    terms = Terms("ETH", 10 * USD, PUT.expiry, is_call=False)
    series = await chain.quote(MAKER, terms, Quote(10 * USD, 10 * USD, UNIT, 0))
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "withdraw", USER_CASH)
    await _trade(chain, ALICE, series, -UNIT, 0)
    assert await _money(chain, ALICE) == (0, 10 * USD)


async def test_trades_need_a_listed_living_series_and_another_account(chain: MarketChain) -> None:
    """Unknown, expired and self trades revert by name; expiry is the first second without trading."""
    with pytest.raises(Reverted, match="UnknownSeries"):
        await _trade(chain, ALICE, b"\1" * 32, 1, MAX_LIMIT)
    series = await chain.quote(MAKER, CALL, WIDE)
    with pytest.raises(Reverted, match="SelfTrade"):
        await _trade(chain, MAKER, series, 1, MAX_LIMIT)
    await chain.client.call("evm_setNextBlockTimestamp", CALL.expiry - 1)
    await _trade(chain, ALICE, series, 1, MAX_LIMIT)
    await chain.client.call("evm_setNextBlockTimestamp", CALL.expiry)
    with pytest.raises(Reverted, match="SeriesExpired"):
        await _trade(chain, ALICE, series, 1, MAX_LIMIT)


@pytest.mark.parametrize(
    ("terms", "quote", "error"),
    [
        (CALL, Quote(2, 1, 1, 1), "CrossedQuote"),
        (Terms("ETH", 0, CALL.expiry, is_call=True), WIDE, "StrikeOutOfRange"),
        (Terms("ETH", 8_000 * USD + 1, CALL.expiry, is_call=False), WIDE, "StrikeOutOfRange"),
        (Terms("ETH", USD, GENESIS_TIME, is_call=True), WIDE, "SeriesExpired"),
        (Terms("ETH", USD, 0, is_call=True), WIDE, "SeriesExpired"),
    ],
)
async def test_bad_quotes_are_refused(chain: MarketChain, terms: Terms, quote: Quote, error: str) -> None:
    """What can't be traded can't be listed."""
    with pytest.raises(Reverted) as reverted:
        await chain.quote(MAKER, terms, quote)
    assert _named(reverted) == error


async def test_the_board_shows_every_series_once_with_one_makers_quotes(chain: MarketChain) -> None:
    """Quoting twice lists once; another maker's board has the series without quotes."""
    first = await chain.quote(MAKER, CALL, WIDE)
    second = await chain.quote(MAKER, PUT, WIDE)
    await chain.quote(MAKER, CALL, Quote(1, 2, 3, 4))
    rows = await _market(chain, "board", MAKER.address)
    assert [(row[0], row[2]) for row in rows] == [(first, (1, 2, 3, 4)), (second, WIDE.encoded())]
    assert rows[0][1] == CALL.encoded()
    assert [row[2] for row in await _market(chain, "board", BOB.address)] == [(0, 0, 0, 0)] * 2


async def test_a_bundled_trade_needs_exactly_its_bundle_open(chain: MarketChain) -> None:
    """Alone, in another bundle, or after its own, a bundled leg reverts; inside it succeeds and says so."""
    series = await chain.quote(MAKER, CALL, WIDE)
    mine, other = b"\1" * 32, b"\2" * 32
    with pytest.raises(Reverted, match="BundleNotOpen"):
        await _trade(chain, ALICE, series, 1, MAX_LIMIT, bundle=mine)
    await chain.open_bundle(other, 1)
    with pytest.raises(Reverted) as reverted:
        await _trade(chain, ALICE, series, 1, MAX_LIMIT, bundle=mine)
    assert reverted.value.error is not None
    assert dict(reverted.value.error.arguments) == {"expected": mine, "actual": other}
    await chain.open_bundle(mine, 2)
    receipt = await _trade(chain, ALICE, series, 1, MAX_LIMIT, bundle=mine)
    (entry,) = receipt["logs"]
    event = artifact("OptionsMarket").interface.decode_event(
        [from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"])
    )
    assert event is not None
    assert (event.name, event.arguments["bundle"], event.arguments["quantity"]) == ("Trade", mine, 1)
    await chain.close_bundle(2)
    with pytest.raises(Reverted, match="BundleNotOpen"):
        await _trade(chain, ALICE, series, 1, MAX_LIMIT, bundle=mine)


async def test_only_system_senders_open_and_close_bundles(chain: MarketChain) -> None:
    """Users can't; the zero hash, which means no bundle, is never open."""
    for function, arguments in (("open", (b"\1" * 32,)), ("close", ())):
        with pytest.raises(Reverted, match="NotSystemSender"):
            await chain.send(ALICE, "BundleGuard", BUNDLE_GUARD, function, *arguments)
    with pytest.raises(Reverted, match="BundleNotOpen"):
        await chain.read("BundleGuard", BUNDLE_GUARD, "requireOpen", b"\0" * 32)
    await chain.open_bundle(b"\1" * 32, 1)
    assert await chain.read("BundleGuard", BUNDLE_GUARD, "current") == (b"\1" * 32,)
    await chain.read("BundleGuard", BUNDLE_GUARD, "requireOpen", b"\1" * 32)


@pytest.mark.parametrize(
    ("sender", "allowed"),
    [
        ("0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001", True),
        ("0xdeaddeaddeaddeaddeaddeaddeaddeaddeadffff", True),
        ("0xdeaddeaddeaddeaddeaddeaddeaddeaddeac0001", False),
        ("0x0001deaddeaddeaddeaddeaddeaddeaddeaddead", False),
    ],
)
async def test_system_senders_are_the_reserved_range(chain: MarketChain, sender: str, allowed: bool) -> None:
    """Exactly the addresses that share the OP Stack depositor's first 18 bytes may open a bundle."""
    data = to_hex(artifact("BundleGuard").interface.encode_call("open", b"\1" * 32))
    await chain.client.call("anvil_setBalance", sender, hex(10**18))
    digest = await chain.client.call(
        "eth_sendTransaction", {"from": sender, "to": BUNDLE_GUARD, "data": data, "gas": hex(100_000)}
    )
    await chain.client.call("evm_mine")
    receipt = await chain.client.call("eth_getTransactionReceipt", digest)
    assert receipt["status"] == ("0x1" if allowed else "0x0")


async def test_cash_moves_in_and_out_exactly(chain: MarketChain) -> None:
    """Deposits need tokens and approval, withdrawals need free cash; both move what they say."""
    deposit = ("OptionsMarket", OPTIONS_MARKET, "deposit")
    with pytest.raises(Reverted, match="ERC20InsufficientAllowance"):
        await chain.send(ALICE, *deposit, 7)
    await chain.send(ALICE, "CashToken", CASH_TOKEN, "approve", OPTIONS_MARKET, 10)
    await chain.send(ALICE, *deposit, 7)
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "depositFor", BOB.address, 3)
    assert await _money(chain, ALICE) == (USER_CASH + 7, 0)
    assert await _money(chain, BOB) == (USER_CASH + 3, 0)
    with pytest.raises(Reverted, match="InsufficientCash"):
        await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "withdraw", USER_CASH + 8)
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "withdraw", USER_CASH + 7)
    assert await _money(chain, ALICE) == (0, 0)


async def test_locked_cash_cannot_be_withdrawn(chain: MarketChain) -> None:
    """Collateral stays until the position is closed or settled."""
    series = await chain.quote(MAKER, PUT, WIDE)
    await _trade(chain, ALICE, series, -UNIT, 0)
    free, locked = await _money(chain, ALICE)
    with pytest.raises(Reverted, match="InsufficientCash"):
        await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "withdraw", free + locked)


async def test_settlement_waits_for_the_oracle_and_happens_once(chain: MarketChain) -> None:
    """Before the price is fixed settling reverts; a second settlement changes nothing."""
    series = await chain.quote(MAKER, CALL, WIDE)
    await _trade(chain, ALICE, series, UNIT, MAX_LIMIT)
    settle = ("OptionsMarket", OPTIONS_MARKET, "settle", series, ALICE.address)
    with pytest.raises(Reverted, match="SettlementPriceUnknown"):
        await chain.send(BOB, *settle)
    await chain.fix(MAKER, CALL, 2_500 * USD)
    await chain.send(BOB, *settle)
    once = await _money(chain, ALICE)
    assert once == (USER_CASH - 51 * USD + 500 * USD, 0)
    await chain.send(BOB, *settle)
    assert once == await _money(chain, ALICE)


async def test_a_long_is_paid_even_when_no_short_has_settled(chain: MarketChain) -> None:
    """The order of settlements doesn't matter: the short's collateral stands behind the long's withdrawal."""
    series = await chain.quote(MAKER, CALL, WIDE)
    await _trade(chain, ALICE, series, UNIT, MAX_LIMIT)
    await chain.fix(MAKER, CALL, 9_000 * USD)
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "settle", series, ALICE.address)
    assert await _market(chain, "settlementPool", series) == -6_000 * USD
    await chain.send(ALICE, "OptionsMarket", OPTIONS_MARKET, "withdraw", USER_CASH - 51 * USD + 6_000 * USD)
    await chain.send(BOB, "OptionsMarket", OPTIONS_MARKET, "settle", series, MAKER.address)
    assert await _market(chain, "settlementPool", series) == 0


async def test_settlement_prices_are_fixed_once_by_the_reporter_and_not_early(chain: MarketChain) -> None:
    """Strangers can't post; the future can't be fixed; what is fixed stays, even at zero."""
    symbol = symbol_bytes("ETH")
    fix = ("PriceOracle", PRICE_ORACLE, "fixSettlement", symbol)
    with pytest.raises(Reverted, match="NotReporter"):
        await chain.send(ALICE, "PriceOracle", PRICE_ORACLE, "postSpot", symbol, 1)
    with pytest.raises(Reverted, match="NotReporter"):
        await chain.send(ALICE, *fix, GENESIS_TIME, 1)
    with pytest.raises(Reverted, match="NotExpired"):
        await chain.send(MAKER, *fix, CALL.expiry, 1)
    await chain.send(DEPLOYER, *fix, GENESIS_TIME, 0)
    with pytest.raises(Reverted, match=r"AlreadyFixed\(price=0\)"):
        await chain.send(MAKER, *fix, GENESIS_TIME, 1)
    answer = await chain.read("PriceOracle", PRICE_ORACLE, "settlementPrice", symbol, GENESIS_TIME)
    assert answer == (True, 0)


async def test_the_owner_chooses_the_reporter_and_mints(chain: MarketChain) -> None:
    """Only the deployer may; a replaced reporter loses its right."""
    with pytest.raises(Reverted, match="OwnableUnauthorizedAccount"):
        await chain.send(MAKER, "PriceOracle", PRICE_ORACLE, "setReporter", MAKER.address)
    with pytest.raises(Reverted, match="OwnableUnauthorizedAccount"):
        await chain.send(MAKER, "CashToken", CASH_TOKEN, "mint", MAKER.address, 1)
    await chain.send(DEPLOYER, "PriceOracle", PRICE_ORACLE, "setReporter", ALICE.address)
    symbol = symbol_bytes("ETH")
    await chain.send(ALICE, "PriceOracle", PRICE_ORACLE, "postSpot", symbol, 5)
    assert (await chain.read("PriceOracle", PRICE_ORACLE, "spot", symbol))[0] == 5
    with pytest.raises(Reverted, match="NotReporter"):
        await chain.send(MAKER, "PriceOracle", PRICE_ORACLE, "postSpot", symbol, 6)
    assert await chain.read("CashToken", CASH_TOKEN, "decimals") == (6,)


async def test_a_hostile_token_cannot_reenter(chain: MarketChain) -> None:
    """While cash moves, every state-changing entry is closed; the whole transaction reverts."""
    token = await _deploy(chain, artifact("ReentrantCash").deployment())
    market = await _deploy(
        chain, artifact("OptionsMarket").deployment(token, PRICE_ORACLE, BUNDLE_GUARD, 8_000 * USD)
    )
    await chain.send(ALICE, "ReentrantCash", token, "approve", market, 100)
    await chain.send(ALICE, "OptionsMarket", market, "deposit", 10)
    interface = artifact("OptionsMarket").interface
    for attack in (
        interface.encode_call("withdraw", 0),
        interface.encode_call("deposit", 0),
        interface.encode_call("postQuotes", []),
        interface.encode_call("trade", NO_BUNDLE, BOB.address, 1, 1, NO_BUNDLE),
        interface.encode_call("settle", NO_BUNDLE, BOB.address),
        interface.encode_call("settleMany", NO_BUNDLE, []),
    ):
        await chain.send(ALICE, "ReentrantCash", token, "setAttack", b"")
        await chain.send(ALICE, "ReentrantCash", token, "setAttack", attack)
        for function in ("withdraw", "deposit"):
            with pytest.raises(Reverted, match="ReentrancyGuardReentrantCall"):
                await chain.send(ALICE, "OptionsMarket", market, function, 5)
    assert await chain.read("OptionsMarket", market, "freeCash", ALICE.address) == (10,)


async def _deploy(chain: MarketChain, code: bytes) -> str:
    digest = await chain.client.call(
        "eth_sendTransaction", {"from": ALICE.address, "data": to_hex(code), "gas": hex(6_000_000)}
    )
    await chain.client.call("evm_mine")
    receipt = await chain.client.call("eth_getTransactionReceipt", digest)
    return str(receipt["contractAddress"])
