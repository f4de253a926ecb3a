"""``topologies/condor-mixed.yaml``: one strategy over two EVM and two options rollups, all of it or nothing, whoever dies; money is read from the chains."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.wire.journal import read_journal
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.bridge_execution.status import status
from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet
from orchestrator.market.units import symbol_bytes
from orchestrator.runner import Run
from orchestrator.strategies import presets
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import ExecutionMode, Strategy
from orchestrator.strategies.result import StrategyResult
from orchestrator.strategies.sampling import with_failing_leg
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

NAME = "condor-mixed"
EVM, OPTIONS = ("alpha", "beta"), ("gamma", "delta")
MARKET = artifact("OptionsMarket").interface
USD = 10**6
QUICKER = {
    "settlement: {challenge_period: 5s, proposal_interval: 2s}": "block_time: 1s, settlement: {challenge_period: 1s, proposal_interval: 1s}",
    "l1: {block_time: 1s}": "l1: {block_time: 500ms}",
    "volatility: 0.6}": "volatility: 0.6, expiries: [22s, 30d]}",
}
SOON_S = 22.0


@dataclass(frozen=True)
class Books:
    """What an account has on a rollup."""

    nonce: int
    cash: int
    """Free of collateral on an EVM rollup; all of it on an options rollup, 1e-6 USD."""
    positions: dict[bytes, int]
    """By series, 1e-4 units."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(
    launched: Any, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Devnet]:
    """Up, and so fed and quoted on both kinds of rollup; with shorter waits on L1 than the file has for people to watch."""
    text = (repository / "topologies" / "condor-mixed.yaml").read_text()
    for slow, quick in QUICKER.items():
        assert slow in text
        text = text.replace(slow, quick)
    path = tmp_path_factory.mktemp("topology") / "condor-mixed.yaml"
    path.write_text(text)
    async with launched(path) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def spread(net: Devnet) -> tuple[dict[str, Books], StrategyResult]:
    """What account 5 had before it bought a spread over both kinds that ends soon, and what that came to."""
    assert net.plan.market is not None
    before = await books(net, 5)
    legs = {"strikes": (1_800, 1_900), "rollups": ("alpha", "gamma"), "expiry": SOON_S, "quantity": 3}
    return before, await net.run(presets.build("vertical", net.plan.market, **legs), account=5)


def condor(net: Devnet, quantity: float = 1) -> Strategy:
    """A leg on each rollup."""
    assert net.plan.market is not None
    return presets.build("iron_condor", net.plan.market, quantity=quantity)


async def books(net: Devnet, account: int) -> dict[str, Books]:
    """An account's, on every rollup."""
    return {name: await _books(net, name, net.accounts[account].address) for name in net.rollups}


async def _books(net: Devnet, name: str, address: str) -> Books:
    chain = net.rollup(name)
    nonce = int(await chain.rpc("eth_getTransactionCount", address, "latest"), 16)
    if name in OPTIONS:
        number = (await chain.rpc("options_getAccounts", address))["accounts"][0]
        held = await chain.rpc("options_getPositions", number)
        positions = {one["series"].to_bytes(32, "big"): int(one["quantity"]) for one in held}
        return Books(nonce, int((await chain.rpc("options_getAccount", number))["cash"]), positions)

    async def read(function: str, *arguments: Any) -> Any:
        data = to_hex(MARKET.encode_call(function, *arguments))
        answer = await chain.rpc("eth_call", {"to": OPTIONS_MARKET, "data": data}, "latest")
        return MARKET.decode_result(function, from_hex(answer))[0]

    rows = await read("board", net.plan.role("maker").address)
    quantities = await read("positionsOf", address)
    positions = {row[0]: quantity for row, quantity in zip(rows, quantities, strict=True) if quantity}
    return Books(nonce, await read("freeCash", address) + await read("lockedCash", address), positions)


def changed(before: dict[str, Books], after: dict[str, Books], result: StrategyResult) -> None:
    """The books have changed by the legs, to the unit, and by nothing else."""
    for leg in result.legs:
        name, series = leg.placed.rollup, leg.placed.series
        moved = after[name].positions.get(series, 0) - before[name].positions.get(series, 0)
        assert leg.placed.leg.signed_quantity == moved, f"{name}: positions"
        assert (leg.premium or 0) + (leg.fee or 0) == before[name].cash - after[name].cash, f"{name}: cash"


async def test_liquidity_from_block_one(net: Devnet) -> None:
    """Ready means fed and quoted: what the journal says of each options rollup is what the rollup shows."""
    told = [one for one in read_journal(net.directory.journal_of("maker")) if one.event == "maker.ready"]
    assert {*EVM, *OPTIONS} == {one.attrs["rollup"] for one in told}
    for name in OPTIONS:
        chain = net.rollup(name)
        series = await chain.rpc("options_getSeries", "ETH")
        quotes = await chain.rpc("options_getQuotes", "ETH", "0x2710")
        quoted = {one["series"] for one in quotes if one["bid"] and one["ask"]}
        last = max(
            one["expiry"] for one in series
        )  # far from the money there is nothing to quote for an expiry that is near
        assert {one["series"] for one in series if one["expiry"] == last} <= quoted
        (marks,) = await chain.rpc("options_getMarks", "ETH")
        assert str(2_000 * USD) == marks["spot"]


async def test_an_iron_condor_is_one_bundle_over_both_kinds(net: Devnet, rollnet: Rollnet) -> None:
    """All four commit, each with a receipt; positions and cash are the legs'; the pay-off is the condor's closed form."""
    before = await books(net, 0)
    prices = [0, 1_800, 1_850, 1_900, 2_150, 2_200, 8_000]
    at = [word for price in prices for word in ("--at", str(price))]
    said = await rollnet("strategy", "run", "iron_condor", *at, "--net", NAME, "--json")
    document = said.json
    assert ("committed", "bundle") == (document["outcome"], document["execution"]), document["reason"]
    assert ["alpha", "beta", "delta", "gamma"] == [leg["rollup"] for leg in document["legs"]]
    after = await books(net, 0)
    for leg in document["legs"]:
        receipt = await net.rollup(leg["rollup"]).receipt(leg["tx_hash"])
        assert receipt is not None
        assert ("0x1", leg["tx_hash"]) == (receipt["status"], receipt["transactionHash"])
        name, signed = leg["rollup"], leg["quantity"] if leg["side"] == "buy" else -leg["quantity"]
        assert [signed] == list(after[name].positions.values())
        assert leg["premium"] + leg["fee"] == before[name].cash - after[name].cash
        assert (leg["fee"] > 0) == (name in OPTIONS)
    k1, k2, k3, k4 = (leg["strike"] for leg in document["legs"])
    form = [
        -min(max(k2 - x, 0), k2 - k1) - min(max(x - k3, 0), k4 - k3)
        for x in (price * USD for price in prices)
    ]
    assert form == [entry["payoff"] for entry in document["payoffs"]]
    assert k2 - k1 + document["net_premium"] + document["fees"] == document["max_loss"]
    assert 0 == document["above_cap"]


@pytest.mark.parametrize("leg", [1, 2], ids=["on an EVM rollup", "on an options rollup"])
async def test_one_failing_leg_aborts_all(net: Devnet, leg: int) -> None:
    """No trace on any of the four: neither positions nor cash nor nonces; and the reason names the leg."""
    before = await books(net, 1)
    result = await net.run(with_failing_leg(condor(net), leg), account=1)
    rollup = result.legs[leg].placed.rollup
    assert "aborted" == result.outcome
    assert str(result.reason).startswith(f"leg {leg} on {rollup}: LimitExceeded(price=")
    assert ["reverted"] * 4 == [each.status for each in result.legs]
    assert before == await books(net, 1)


async def test_what_an_options_rollup_does_not_trade_is_refused_before_it_is_sent(net: Devnet) -> None:
    """With what to do; nothing is signed."""
    before = await books(net, 2)
    with pytest.raises(ResolutionError, match=r"0\.001 is no multiple of the lot, 0\.01 of delta"):
        await net.run(condor(net, 0.001), account=2)
    with pytest.raises(ResolutionError, match="nobody buys 100000 of the call struck at 2100 on delta now"):
        await net.run(condor(net, 100_000), account=2)
    assert before == await books(net, 2)


async def test_over_the_bridge_it_is_all_or_nothing_too(net: Devnet) -> None:
    """Escrow over L1: one condor is traded on all four, at once with one that a leg on an options rollup can't have; nothing stays locked."""
    before = {account: await books(net, account) for account in (3, 4)}
    over: dict[str, Any] = {"execution": ExecutionMode.BRIDGE, "tell": print}
    async with asyncio.TaskGroup() as tasks:
        whole = tasks.create_task(net.run(condor(net), account=3, **over))
        failing = tasks.create_task(net.run(with_failing_leg(condor(net), 2), account=4, **over))
    committed, aborted = whole.result(), failing.result()
    assert ("committed", "bridge") == (committed.outcome, committed.execution), committed.reason
    changed(before[3], await books(net, 3), committed)
    assert all((leg.fee or 0) > 0 for leg in committed.legs[2:])
    assert committed.profile is not None
    widest = 100 * USD
    fees = sum(leg.fee or 0 for leg in committed.legs)
    assert widest + committed.profile.net_premium + fees == committed.profile.max_loss
    told = (await status(net, to_hex(committed.bundle_hash), wait=False, tell=print)).to_json()
    assert ("committed", 4) == (told["outcome"], len(told["rollups"]))
    assert "aborted" == aborted.outcome
    assert str(aborted.reason).startswith("leg 2 on delta: LimitExceeded(price=")
    after = await books(net, 4)
    assert {name: (one.cash, one.positions) for name, one in before[4].items()} == {
        name: (one.cash, one.positions) for name, one in after.items()
    }
    for name in OPTIONS:
        for account in (3, 4):
            number = (await net.rollup(name).rpc("options_getAccounts", net.accounts[account].address))[
                "accounts"
            ][0]
            assert "0" == (await net.rollup(name).rpc("options_getAccount", number))["reserved"]


async def test_the_sequencer_dies_with_bundles_in_flight_and_none_is_partial(net: Devnet) -> None:
    """Users trade over both kinds while it is killed and comes back; every acknowledged bundle is whole; the oracle goes on."""
    run = Run(net, print, seed=11)
    await run.load_and_kill()
    await run.drain()
    bundles = await run.verify()
    assert [] == [bundle for bundle in bundles if not bundle.whole]
    assert {"committed"} <= {bundle.decided for bundle in bundles}
    before = await books(net, 0)
    result = await net.run(condor(net, 0.5))
    assert "committed" == result.outcome, result.reason
    changed(before, await books(net, 0), result)


async def test_the_maker_dies_and_the_oracle_goes_on_after_it_is_back(net: Devnet) -> None:
    """With higher numbers than any before; no signer said two things at once."""

    async def sequences() -> list[int]:
        return [(await net.rollup(name).rpc("options_getMarks", "ETH"))[0]["sequence"] for name in OPTIONS]

    before = await sequences()
    await net.node("maker").kill()
    await net.node("maker").restart()

    async def further() -> bool:
        return all(now > then for now, then in zip(await sequences(), before, strict=True))

    await eventually(further, 20, "updates after the restart")
    fed = [one.attrs for one in read_journal(net.directory.journal_of("maker")) if one.event == "maker.fed"]
    for name in OPTIONS:
        numbers = [one["sequence"] for one in fed if one["rollup"] == name]
        assert sorted(set(numbers)) == numbers


async def test_what_expires_settles_on_one_price_everywhere_and_pays_by_its_closed_form(
    net: Devnet, spread: tuple[dict[str, Books], StrategyResult]
) -> None:
    """``min(max(x-K1, 0), K2-K1)``, a leg on each kind of rollup: premium, fee and payoff are all that has moved; the positions are gone."""
    before, result = spread
    assert "committed" == result.outcome, result.reason
    long, short = result.legs

    async def over() -> bool:
        after = await books(net, 5)
        return not any(after[leg.placed.rollup].positions for leg in result.legs)

    await eventually(over, 60, "both legs to be settled")
    (price,) = {
        int(one["settlement"])
        for one in await net.rollup("gamma").rpc("options_getSeries", "ETH", True)
        if one["expiry"] == short.placed.expiry
    }
    oracle = artifact("PriceOracle").interface
    asked = to_hex(oracle.encode_call("settlementPrice", symbol_bytes("ETH"), long.placed.expiry))
    answer = await net.rollup("alpha").rpc("eth_call", {"to": PRICE_ORACLE, "data": asked}, "latest")
    assert (True, price) == oracle.decode_result("settlementPrice", from_hex(answer))
    after = await books(net, 5)
    paid = sum((leg.premium or 0) + (leg.fee or 0) for leg in result.legs)
    k1, k2 = long.placed.leg.strike, short.placed.leg.strike
    gained = sum(after[name].cash - before[name].cash for name in net.rollups)
    assert 3 * min(max(price - k1, 0), k2 - k1) - paid == gained


async def test_everybody_agrees_on_all_roots(net: Devnet) -> None:
    """Rebuilt from L1 alone, joint and in fresh engines of both kinds, every block is the one that was served."""
    decided = (await net.sequencer.status())["slots"]

    async def published() -> bool:
        return bool((await net.sequencer.status())["published_slots"] >= decided)

    await eventually(published, 30, f"{decided} slots on L1")
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert "valid" == found.verdict, found.findings
    assert {*EVM, *OPTIONS} == set(found.blocks)
    assert found.bundles > 2
