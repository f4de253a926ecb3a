"""The promise under fire: two hundred random strategies of four users while the sequencer dies three times.

What happened is read from the rollups (receipts, ``Trade`` events, positions, balances), never from the sequencer, and then
compared with what it says.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CASH_TOKEN, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle, ChainReads
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.market.genesis import MAKER_CASH, USER_CASH
from orchestrator.strategies.resolve import ResolvedStrategy, resolve
from orchestrator.strategies.sampling import random_strategy
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

USERS, STRATEGIES, KILLS = 4, 200, 3
SEED = 20_260
LIFETIME_S = 3
MARKET, CASH = artifact("OptionsMarket").interface, artifact("CashToken").interface


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, repository: Any) -> AsyncIterator[Devnet]:
    """Four rollups with a market."""
    async with launched(repository / "topologies" / "condor-quad.yaml") as running:
        yield running


@dataclass(slots=True)
class Load:
    """What users did."""

    submitted: list[ResolvedStrategy] = field(default_factory=list)
    """Every bundle that was signed and sent, acknowledged or not."""
    acknowledged: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Trade:
    """A ``Trade`` event of one rollup."""

    rollup: str
    series: bytes
    taker: str
    quantity: int
    bundle: str
    transaction: str


async def test_every_bundle_is_whole_and_nothing_is_counted_twice(net: Devnet) -> None:
    """All legs or none on chain, an end for every acknowledged bundle, positions equal to committed legs, and no cash made or lost."""
    print(f"seed {SEED}, run directory {net.directory.path}")  # noqa: T201 - pytest shows it when the test fails
    load, work = Load(), asyncio.Semaphore(STRATEGIES)
    async with asyncio.TaskGroup() as tasks:
        for user in range(USERS):
            tasks.create_task(trade_on(net, user, load, work))
        await kill_three_times(net, load)
    statuses = {to_hex(r.bundle_hash): await end_of(net, r) for r in load.submitted}
    trades = [trade for chain in net.rollups.values() for trade in await trades_of(chain)]

    assert STRATEGIES <= len(load.acknowledged)
    assert load.acknowledged <= {digest for digest, status in statuses.items() if status is not None}
    by_bundle = {digest: [t for t in trades if t.bundle == digest] for digest in statuses}
    for resolved in load.submitted:
        digest = to_hex(resolved.bundle_hash)
        status = statuses[digest]
        committed = status is not None and status["status"] == "committed"
        expected = sorted(map(to_hex, resolved.transaction_hashes)) if committed else []
        assert expected == sorted(trade.transaction for trade in by_bundle[digest]), (digest, status)
        assert expected == sorted(await succeeded(net, resolved)), (digest, status)
    outcomes = Counter(status["status"] if status else "never acknowledged" for status in statuses.values())
    assert {"committed", "aborted"} <= set(outcomes), outcomes
    assert len(trades) == sum(len(found) for found in by_bundle.values())
    assert positions_of(trades) == await positions_on_chain(net, trades)
    for chain in net.rollups.values():
        await cash_is_conserved(net, chain)


async def trade_on(net: Devnet, user: int, load: Load, work: asyncio.Semaphore) -> None:
    """One user: strategies one after the other, until all users together had enough acknowledged."""
    rng = random.Random(f"{SEED}/{user}")
    while len(load.acknowledged) < STRATEGIES:
        strategy = random_strategy(net.plan, rng)
        salt = rng.randbytes(32)
        try:
            resolved = await resolve(
                strategy,
                net.plan,
                net.accounts[user],
                ChainReads(net.rollups),
                max_timestamp=int(time.time()) + LIFETIME_S,
                salt=salt,
            )
        except RollnetError:
            await asyncio.sleep(0.05)  # the sequencer is down, and with it the pending nonces
            continue
        load.submitted.append(resolved)
        try:
            await net.execution.submit(resolved)
        except RollnetError:
            await asyncio.sleep(0.05)
            continue
        load.acknowledged.add(to_hex(resolved.bundle_hash))
        if (
            rng.random() < 0.75
        ):  # else the user goes on before the bundle has ended, on nonces that may never come
            await net.execution.finish(resolved)


async def kill_three_times(net: Devnet, load: Load) -> None:
    """SIGKILL in the middle of work, at random moments, three times."""
    rng = random.Random(f"{SEED}/kills")
    for kill in range(1, KILLS + 1):
        target = STRATEGIES * kill // (KILLS + 1)

        async def enough(target: int = target) -> bool:
            return len(load.acknowledged) >= target

        await eventually(enough, 60, f"{target} acknowledged bundles", every_s=0.005)
        await asyncio.sleep(rng.random() * 0.3)
        await net.node("sequencer").kill()
        await asyncio.sleep(rng.random() * 0.3)
        await net.node("sequencer").restart()


async def end_of(net: Devnet, resolved: ResolvedStrategy) -> Mapping[str, Any] | None:
    """The last word on a bundle; None if it was never acknowledged."""
    async with asyncio.timeout(LIFETIME_S + 10):
        while True:
            status: Mapping[str, Any] | None = await net.sequencer.rpc(
                "rollnet_waitForEnd", to_hex(resolved.bundle_hash), 5.0
            )
            if status is None or status["status"] != "pending":
                return status


async def trades_of(chain: ChainHandle) -> list[Trade]:
    """Every trade that a rollup ever saw."""
    query = {"address": OPTIONS_MARKET, "fromBlock": "0x0", "topics": [to_hex(MARKET.topic("Trade"))]}
    found = []
    for entry in await chain.rpc("eth_getLogs", query):
        event = MARKET.decode_event([from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"]))
        assert event is not None
        arguments = event.arguments
        found.append(
            Trade(
                chain.name,
                arguments["series"],
                arguments["taker"],
                arguments["quantity"],
                to_hex(arguments["bundle"]),
                entry["transactionHash"],
            )
        )
    return found


async def succeeded(net: Devnet, resolved: ResolvedStrategy) -> list[str]:
    """Hashes of the legs with a successful receipt on their own rollups."""
    found = []
    for leg, transaction in zip(resolved.legs, resolved.transaction_hashes, strict=True):
        receipt = await net.rollup(leg.rollup).receipt(to_hex(transaction))
        if receipt is not None:
            assert "0x1" == receipt["status"], "a leg that reverts must leave no trace"
            found.append(to_hex(transaction))
    return found


Positions = dict[tuple[str, bytes, str], int]


def positions_of(trades: Sequence[Trade]) -> Positions:
    """What takers must hold by their trades."""
    held: Positions = Counter()
    for trade in trades:
        held[trade.rollup, trade.series, trade.taker] += trade.quantity
    return dict(held)


async def positions_on_chain(net: Devnet, trades: Sequence[Trade]) -> Positions:
    """What they do hold."""
    keys = {(trade.rollup, trade.series, trade.taker) for trade in trades}
    return {
        (rollup, series, taker): (
            await ask(net.rollup(rollup), OPTIONS_MARKET, MARKET, "position", series, taker)
        )
        for rollup, series, taker in keys
    }


async def cash_is_conserved(net: Devnet, chain: ChainHandle) -> None:
    """The market's tokens are its books (free, locked, pools), and all tokens together are what genesis made."""
    people = [*net.accounts, next(role for role in net.plan.roles if role.name == "maker")]
    books = 0
    for person in people:
        free = await ask(chain, OPTIONS_MARKET, MARKET, "freeCash", person.address)
        locked = await ask(chain, OPTIONS_MARKET, MARKET, "lockedCash", person.address)
        books += free + locked
    assert books == await ask(chain, CASH_TOKEN, CASH, "balanceOf", OPTIONS_MARKET)
    assert len(net.accounts) * USER_CASH + MAKER_CASH == books


async def ask(chain: ChainHandle, to: str, interface: Any, function: str, *arguments: Any) -> int:
    """One number from a contract."""
    data = to_hex(interface.encode_call(function, *arguments))
    (value,) = interface.decode_result(
        function, from_hex(await chain.rpc("eth_call", {"to": to, "data": data}, "latest"))
    )
    return int(value)
