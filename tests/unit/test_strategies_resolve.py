"""From a strategy to a signed bundle and to its result, on a real engine."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.bundle import decode_bundle
from bridge.wire.keccak import keccak256
from orchestrator.market.errors import VenueError
from orchestrator.market.quoting import listed_series, quote
from orchestrator.market.testing import (
    EXAMPLE_MARKET,
    MarketChain,
    example_plan,
    market_chain,
)
from orchestrator.settlement.geth_genesis import GENESIS_TIME
from orchestrator.strategies.errors import ReceiptError, ResolutionError
from orchestrator.strategies.model import Kind, Leg, Side, Strategy
from orchestrator.strategies.payoff import premium
from orchestrator.strategies.presets import PRESETS, build
from orchestrator.strategies.resolve import ResolvedStrategy, resolve
from orchestrator.strategies.result import committed, not_committed, revert_reason

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN = example_plan()
MAKER, USER = PLAN.roles[1], PLAN.users[0]
SALT = b"\7" * 32
DEADLINE = GENESIS_TIME + 3_600
LEG = Leg(Side.BUY, Kind.CALL, "ETH", 2_000_000_000, 10_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MarketChain]:
    """One engine on which the maker quotes everything."""
    async with market_chain(PLAN, tmp_path_factory.mktemp("resolve")) as chain:
        offers = [
            (terms.encoded(), quote(EXAMPLE_MARKET, terms, EXAMPLE_MARKET.spot, GENESIS_TIME).encoded())
            for terms in listed_series(EXAMPLE_MARKET, GENESIS_TIME)
        ]
        await chain.send(MAKER, "OptionsMarket", OPTIONS_MARKET, "postQuotes", offers)
        yield chain


@pytest_asyncio.fixture(loop_scope="module")
async def chain(engine: MarketChain) -> AsyncIterator[MarketChain]:
    """The engine with fresh quotes."""
    snapshot = await engine.client.call("evm_snapshot")
    yield engine
    await engine.client.call("evm_revert", snapshot)


async def _resolve(chain: MarketChain, strategy: Strategy) -> ResolvedStrategy:
    return await resolve(strategy, PLAN, USER, chain, max_timestamp=DEADLINE, salt=SALT)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("side", Side)
async def test_a_preset_becomes_a_bundle_that_executes_as_calculated(
    chain: MarketChain, name: str, side: Side
) -> None:
    """The sequencer's decoder finds the same bundle; its legs run in the open guard; premiums equal the pure ones."""
    strategy = build(name, EXAMPLE_MARKET, side=side, quantity="1.2345")
    resolved = await _resolve(chain, strategy)
    bundle = decode_bundle(resolved.transactions, DEADLINE, SALT)
    assert resolved.bundle_hash == bundle.hash
    assert [leg.hash for leg in bundle.legs] == list(resolved.transaction_hashes)
    assert {leg.sender.hex() for leg in bundle.legs} == {USER.address[2:]}

    await chain.open_bundle(bundle.hash, 1)
    receipts = [await chain.send_raw(raw) for raw in resolved.transactions]
    result = committed(resolved, receipts)
    expected = [premium(leg.quoted, leg.leg.signed_quantity) for leg in resolved.legs]
    assert [leg.premium for leg in result.legs] == expected
    assert result.profile is not None
    assert result.profile.net_premium == sum(expected)
    worst_listed = sum(expected) - min(payoff for _, payoff in result.payoffs)
    assert 0 <= result.profile.max_loss - worst_listed < len(resolved.legs)  # rounding between the strikes
    assert all(int(receipt["gasUsed"], 16) < 200_000 for receipt in receipts)


async def test_the_result_speaks_the_machine_contract(chain: MarketChain) -> None:
    """Outcome, bundle hash, legs with rollup, hash, status and premium; the rest is added to it."""
    resolved = await _resolve(chain, build("vertical", EXAMPLE_MARKET))
    await chain.open_bundle(resolved.bundle_hash, 1)
    receipts = [await chain.send_raw(raw) for raw in resolved.transactions]
    body = committed(
        resolved,
        receipts,
        prices=[0, 2_050_000_000],
        latency_ms={"decided": 1.5},
        critical_path=[{"ms": 1.5}],
    ).to_json()
    assert body["outcome"] == "committed"
    assert body["bundle_hash"] == "0x" + resolved.bundle_hash.hex()
    assert [leg["rollup"] for leg in body["legs"]] == ["alpha", "alpha"]
    assert [leg["tx_hash"] for leg in body["legs"]] == [
        "0x" + item.hex() for item in resolved.transaction_hashes
    ]
    assert {leg["status"] for leg in body["legs"]} == {"executed"}
    assert sum(leg["premium"] for leg in body["legs"]) == body["net_premium"] > 0
    assert body["payoffs"] == [{"price": 0, "payoff": 0}, {"price": 2_050_000_000, "payoff": 50_000_000}]
    assert (body["max_loss"], body["latency_ms"], body["critical_path"]) == (
        body["net_premium"],
        {"decided": 1.5},
        [{"ms": 1.5}],
    )
    assert body["reason"] is None


async def test_legs_outside_of_their_bundle_have_no_effect(chain: MarketChain) -> None:
    """A signed leg that someone unbundles reverts."""
    resolved = await _resolve(chain, build("straddle", EXAMPLE_MARKET))
    receipt = await chain.send_raw(resolved.transactions[0])
    assert receipt["status"] == "0x0"
    with pytest.raises(ReceiptError, match="leg 0 on alpha"):
        committed(resolved, [receipt, receipt])


async def test_an_abort_says_which_leg_and_why(chain: MarketChain) -> None:
    """Revert data becomes a sentence; an aborted result has legs without premium and no profile."""
    resolved = await _resolve(chain, build("straddle", EXAMPLE_MARKET))
    data = artifact("OptionsMarket").interface
    error = (
        keccak256(b"LimitExceeded(uint256,uint256)")[:4] + (5).to_bytes(32, "big") + (4).to_bytes(32, "big")
    )
    assert data.decode_error(error) is not None
    reason = revert_reason(resolved, 1, error)
    assert reason == "leg 1 on alpha: LimitExceeded(price=5, limit=4)"
    token = keccak256(b"OwnableUnauthorizedAccount(address)")[:4] + bytes(32)
    assert "OwnableUnauthorizedAccount" in revert_reason(resolved, 0, token)
    assert revert_reason(resolved, 0, b"") == "leg 0 on alpha: reverted without a reason (out of gas?)"
    assert "unknown error 0x01020304" in revert_reason(resolved, 0, b"\1\2\3\4")
    body = not_committed(resolved, "aborted", reason).to_json()
    assert (body["outcome"], body["reason"], body["net_premium"]) == ("aborted", reason, None)
    assert [(leg["status"], leg["premium"]) for leg in body["legs"]] == [("reverted", None)] * 2
    assert {leg["status"] for leg in not_committed(resolved, "unknown", "?").to_json()["legs"]} == {"unknown"}


async def test_limits_are_the_quote_with_a_tolerance_unless_given(chain: MarketChain) -> None:
    """A buyer's limit lies above the ask, a seller's below the bid; an explicit one is taken as it is."""
    legs = (LEG, replace(LEG, side=Side.SELL), replace(LEG, limit=123))
    buy, sell, explicit = (await _resolve(chain, Strategy("limits", legs))).legs
    assert buy.limit == buy.quoted + buy.quoted // 20
    assert sell.limit == sell.quoted - sell.quoted // 20
    assert explicit.limit == 123
    assert buy.quoted > sell.quoted


async def test_nonces_follow_one_another_on_one_rollup(chain: MarketChain) -> None:
    """Legs of one sender on one rollup take consecutive nonces from the chain's next one."""
    await chain.send(USER, "OptionsMarket", OPTIONS_MARKET, "withdraw", 1)
    resolved = await _resolve(chain, build("iron_condor", EXAMPLE_MARKET))
    assert [leg.nonce for leg in resolved.legs] == [1, 2, 3, 4]


async def test_expiries_correspond_in_order(chain: MarketChain) -> None:
    """A leg's seconds from the start find the series that the maker listed for them."""
    legs = (replace(LEG, expiry_s=86_400.0), replace(LEG, expiry_s=604_800.0), LEG)
    resolved = await _resolve(chain, Strategy("calendar", legs))
    assert [leg.expiry - GENESIS_TIME for leg in resolved.legs] == [86_400, 604_800, 604_800]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rollup": "omega"}, "leg 0 of s is for 'omega'"),
        ({"strike": 1}, "lists no call on ETH struck at 1e-06"),
        ({"underlying": "BTC"}, "quotes 0 expiries on BTC"),
        ({"expiry_s": 7.0}, "no series expires 7 s"),
    ],
)
async def test_what_is_not_offered_is_refused(
    chain: MarketChain, change: dict[str, str], message: str
) -> None:
    """The error names the leg, the rollup and what there is."""
    with pytest.raises(ResolutionError, match=message):
        await _resolve(chain, Strategy("s", (replace(LEG, **change),)))  # type: ignore[arg-type]


async def test_there_must_be_a_market(chain: MarketChain) -> None:
    """Neither a plan without market nor a rollup without contract is traded on."""
    strategy = Strategy("s", (LEG,))
    with pytest.raises(ResolutionError, match="no market"):
        await resolve(strategy, replace(PLAN, market=None), USER, chain, max_timestamp=1, salt=SALT)
    await chain.client.call("anvil_setCode", OPTIONS_MARKET, "0x")
    with pytest.raises(VenueError, match="no options market"):
        await _resolve(chain, strategy)
