"""Expiry: the maker settles in cash, and what positions paid on chain is what theory says they must."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bridge.contracts.addresses import CASH_TOKEN, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.node_handles import LocalNodes
from orchestrator.strategies import presets
from orchestrator.strategies.model import Kind, Leg, Side, Strategy
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

MARKET, CASH = artifact("OptionsMarket").interface, artifact("CashToken").interface
EXPIRY_S, STRIKE = 7.0, 2_000_000_000
TERMS = (
    "messaging: {mode: shared-sequencer, slot: 50ms}\n"
    "market: {underlying: ETH, spot: 2000, volatility: 0.6, expiries: [7s, 7d]}"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Two rollups with a series that expires seconds after the start."""
    async with launched(topology_file("expiring", extra=TERMS)) as running:
        yield running


async def ask(chain: ChainHandle, to: str, interface: Any, function: str, *arguments: Any) -> int:
    """One number from a contract."""
    data = to_hex(interface.encode_call(function, *arguments))
    answer = await chain.rpc("eth_call", {"to": to, "data": data}, "latest")
    return int(interface.decode_result(function, from_hex(answer))[0])


async def cash_of(net: Devnet, account: int) -> int:
    """Free and locked cash of a user over all rollups, 1e-6 USD."""
    return sum(
        [
            await ask(chain, OPTIONS_MARKET, MARKET, function, net.accounts[account].address)
            for chain in net.rollups.values()
            for function in ("freeCash", "lockedCash")
        ]
    )


def leg(side: Side, kind: Kind, rollup: str) -> Leg:
    """One unit at the money, on the series that expires soon."""
    return Leg(side, kind, "ETH", STRIKE, 10_000, EXPIRY_S, rollup)


async def test_positions_settle_in_cash_at_expiry(net: Devnet) -> None:
    """Box and parity pay their closed forms whatever the price is; positions are gone and every cent is accounted for."""
    assert net.plan.market is not None
    box = presets.build("box", net.plan.market, expiry=EXPIRY_S)
    parity = Strategy(
        "parity",
        (leg(Side.BUY, Kind.CALL, "alpha"), leg(Side.SELL, Kind.PUT, "beta")),
        "A synthetic forward.",
    )
    straddle = Strategy(
        "straddle", (leg(Side.BUY, Kind.CALL, "alpha"), leg(Side.BUY, Kind.PUT, "alpha")), "Either way."
    )
    before = [await cash_of(net, account) for account in range(3)]
    results = [
        await net.run(strategy, account=account) for account, strategy in enumerate((box, parity, straddle))
    ]
    assert ["committed"] * 3 == [result.outcome for result in results]
    await move_spot(net, 2_150)
    series = {
        (found.placed.rollup, found.placed.series, found.placed.expiry) for r in results for found in r.legs
    }

    async def settled() -> bool:
        held = [
            await ask(net.rollup(rollup), OPTIONS_MARKET, MARKET, "position", identity, user.address)
            for rollup, identity, _ in series
            for user in net.accounts[:3]
        ]
        return not any(held)

    await eventually(settled, EXPIRY_S + 15, "all positions settled")
    gains = []
    for account, result in enumerate(results):
        assert result.profile is not None
        gains.append(await cash_of(net, account) - before[account] + result.profile.net_premium)
    strikes = sorted({found.placed.leg.strike for found in results[0].legs})
    (price,) = await settlement_prices(net)
    assert strikes[-1] - strikes[0] == gains[0]
    assert 2_150_000_000 == price
    assert price - STRIKE == gains[1]
    assert abs(price - STRIKE) == gains[2]
    for chain in net.rollups.values():
        people = [*net.accounts, next(role for role in net.plan.roles if role.name == "maker")]
        books = 0
        for person in people:
            for function in ("freeCash", "lockedCash"):
                books += await ask(chain, OPTIONS_MARKET, MARKET, function, person.address)
        for rollup, identity, _ in series:
            if rollup == chain.name:
                books += await ask(chain, OPTIONS_MARKET, MARKET, "settlementPool", identity)
        assert await ask(chain, CASH_TOKEN, CASH, "balanceOf", OPTIONS_MARKET) == books


async def move_spot(net: Devnet, usd: int) -> None:
    """Tell the maker of another price."""
    assert isinstance(net.nodes, LocalNodes)
    url = net.nodes.runtime.endpoint("maker", "http")
    async with aiohttp.ClientSession() as session, session.post(f"{url}/spot", json={"spot": usd}) as answer:
        assert 200 == answer.status, await answer.text()


async def settlement_prices(net: Devnet) -> set[int]:
    """Prices of every ``Settled`` event of every rollup, 1e-6 USD; one expiry has one price everywhere."""
    prices = set()
    query = {"address": OPTIONS_MARKET, "fromBlock": "0x0", "topics": [to_hex(MARKET.topic("Settled"))]}
    for chain in net.rollups.values():
        for entry in await chain.rpc("eth_getLogs", query):
            topics = [from_hex(topic) for topic in entry["topics"]]
            event = MARKET.decode_event(topics, from_hex(entry["data"]))
            assert event is not None
            prices.add(int(event.arguments["price"]))
    return prices
