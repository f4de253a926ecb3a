"""Strategies over the bridge on a real devnet: four rollups, each with a sequencer of its own, and only L1 between them.

Money is read from the chains, never from a result: whatever is killed, a strategy is whole, nothing stays locked, and no cash is made or lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CASH_TOKEN, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.journal import Event
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.bridge_execution.following import View, look
from orchestrator.bridge_execution.running import follow, open_strategy, prepare
from orchestrator.chains import ChainHandle
from orchestrator.cli.testing import Rollnet, started
from orchestrator.devnet import Devnet
from orchestrator.market.genesis import MAKER_CASH, USER_CASH
from orchestrator.strategies import presets
from orchestrator.strategies.bridge_terms import BridgeStrategy
from orchestrator.strategies.catalogue import find_strategy
from orchestrator.strategies.model import ExecutionMode, Strategy
from orchestrator.strategies.result import StrategyResult
from orchestrator.strategies.sampling import with_failing_leg
from orchestrator.tracing import Outcome, analyse, load_trace
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

MARKET, CASH = artifact("OptionsMarket").interface, artifact("CashToken").interface
ROLLUPS = ("alpha", "beta", "gamma", "delta")
QUICK = "{engine: evm, block_time: 1s, settlement: {challenge_period: 1s, proposal_interval: 1s}}"
EXTRA = """\
l1: {block_time: 500ms}
messaging: {mode: l1-bridge, sequencing_window: 10s}
market: {underlying: ETH, spot: 2000, volatility: 0.6}
accounts: 12"""
WITHIN_S = 40.0
"""Anything that should happen happens sooner."""
Tell = Callable[[str], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Four rollups with a market, and no sequencer that two of them share."""
    path = topology_file("strategies", ROLLUPS, EXTRA, **dict.fromkeys(ROLLUPS, QUICK))
    async with launched(path) as running:
        yield running


@pytest.fixture
def say() -> Tell:
    """Where strategies tell of their steps: pytest shows it beside a failure."""
    return print


def condor(net: Devnet) -> Strategy:
    """A leg on each rollup."""
    assert net.plan.market is not None
    return presets.build("iron_condor", net.plan.market, quantity=0.1)


async def test_strategies_at_once_are_each_whole(net: Devnet, repository: Path, say: Tell) -> None:
    """Condors of two accounts, one that must fail, and every shipped strategy file, all together: each commits or aborts everywhere."""
    assert net.plan.market is not None
    files = sorted((repository / "topologies" / "strategies").glob("*.yaml"))
    shipped = [find_strategy(str(path), net.plan.market, (), ()) for path in files]
    strategies = [condor(net), condor(net), with_failing_leg(condor(net), 1), *shipped]
    over = {"execution": ExecutionMode.BRIDGE, "tell": say}
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(net.run(strategy, account=account, **over))
            for account, strategy in enumerate(strategies)
        ]
    results = [task.result() for task in running]
    expected = ["committed", "committed", "aborted", *["committed"] * len(shipped)]
    assert expected == [result.outcome for result in results], [result.reason for result in results]
    for account, result in enumerate(results):
        await holds_what_it_says(net, account, result)
    failed = results[2]
    assert failed.reason is not None
    assert failed.reason.startswith("leg 1 on beta: LimitExceeded(price=")
    assert ["reverted"] * 4 == [leg.status for leg in failed.legs]
    await whole(net, results)
    await nothing_is_locked(net)


async def test_a_result_says_what_it_took(net: Devnet, say: Tell) -> None:
    """Keys of a bundle's result and the bridge's own: how long how much cash was locked, the gas on L1, and the critical path from submission on."""
    result = await net.run(condor(net), account=0, tell=say)
    document = result.to_json()
    trace = await asyncio.to_thread(load_trace, net.directory.path, document["bundle_hash"])
    analysis = analyse(trace)
    assert ("committed", "bridge") == (document["outcome"], document["execution"])
    assert (Outcome.COMMITTED, (), ()) == (analysis.outcome, analysis.alarms, analysis.skews)
    assert ["bundle.submitted", "leg.executed"] == [
        analysis.segments[0].since,
        analysis.segments[-1].until,
    ]
    legs = document["legs"]
    assert all(leg["locked"]["seconds"] > 0 for leg in legs)
    assert document["locked"] == {
        "seconds": max(leg["locked"]["seconds"] for leg in legs),
        "cash": sum(leg["locked"]["cash"] for leg in legs),
    }
    for leg in legs:  # a buyer's premium, or the collateral that a writer's premium doesn't cover
        worst = leg["strike"] if leg["kind"] == "put" else 8_000_000_000 - leg["strike"]
        short = worst * leg["quantity"] // 10_000 + leg["premium"]
        assert leg["locked"]["cash"] == (leg["premium"] if leg["side"] == "buy" else short)
    opening = next(event for event in trace.events if event.event == "bundle.admitted")
    assert document["l1_gas"] > opening.attrs["gas"] > 0
    assert document["latency_ms"]["end_to_end"] == pytest.approx(
        sum(step["ms"] for step in document["critical_path"])
    )


async def test_whoever_started_it_may_go(
    net: Devnet, module_home: Path, repository: Path, rollnet: Rollnet
) -> None:
    """The command is killed as soon as the strategy is open: it ends all the same, and ``strategy status`` tells how."""
    arguments = (
        "strategy",
        "run",
        "iron_condor",
        "--set",
        "quantity=0.1",
        "--account",
        "6",
        "--net",
        net.name,
    )
    async with started(module_home, repository, *arguments) as process:
        assert process.stderr is not None
        async with asyncio.timeout(WITHIN_S):
            while "opened in L1 block" not in (line := (await process.stderr.readline()).decode()):
                assert line, "the command ended"
        process.kill()
    name = line.split()[-1]
    there = await rollnet("strategy", "status", name, "--net", net.name, "--json")
    found = (there.code, there.json["outcome"], there.json["decision"])
    assert found in {(2, "unknown", "none"), (2, "unknown", "commit"), (0, "committed", "commit")}
    ended = await rollnet("strategy", "status", name, "--net", net.name, "--wait", "--json")
    assert (0, "committed", "commit") == (ended.code, ended.json["outcome"], ended.json["decision"])
    assert [("yes", "committed")] * 4 == [(each["vote"], each["state"]) for each in ended.json["rollups"]]
    await nothing_is_locked(net)


@pytest.mark.long
async def test_wrong_questions_are_answered_in_words(net: Devnet, inside: Rollnet, rollnet: Rollnet) -> None:
    """No such strategy, no id, no such way, a bundle that cannot be, a deadline that is over: exit 2 (1 where L1 refused), and what to do next."""
    unknown = "0x" + "ab" * 32
    for arguments, code, words in (
        (("status", unknown), 2, f"rollnet bundle {unknown}"),
        (("status", "0xab"), 2, "64 hexadecimal digits"),
        (("run", "vertical", "--execution", "carrier-pigeon"), 2, "carrier-pigeon"),
        (("run", "vertical", "--execution", "bundle"), 2, "--execution bridge"),
        (("run", "vertical", "--lifetime", "0"), 2, "lifetime"),
        (("run", "vertical", "--account", "11", "--lifetime", "1"), 1, "aborted over the bridge"),
    ):
        run = rollnet if code == 1 else inside  # that one waits
        said = await run("strategy", *arguments, "--net", net.name)
        assert (code, True) == (said.code, words in said.out + said.err), (arguments, said)


@pytest.mark.long
async def test_a_dead_sequencer_takes_nothing_apart(net: Devnet, say: Tell) -> None:
    """Gamma's dies for good when one strategy has locked everywhere and before another is opened: each ends everywhere in the same way."""
    locked = await opened(net, 7, say, lifetime_s=14)
    await eventually(lambda: locks_are(net, locked, "LOCKED"), WITHIN_S, "legs locked on all rollups")
    await net.node("gamma-sequencer").kill()
    try:
        late = await opened(net, 8, say, lifetime_s=9)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(follow(net, bridged, net.accounts[account], say))
                for account, bridged in ((7, locked), (8, late))
            ]
        first, second = (task.result() for task in running)
        assert first.outcome in ("committed", "aborted"), first.reason
        assert "aborted" == second.outcome
        assert second.reason is not None
        assert "no vote of gamma had reached L1" in second.reason
        for account, result in ((7, first), (8, second)):
            await holds_what_it_says(net, account, result)
        await whole(net, [first, second])
        await nothing_is_locked(net)
        pushed = [event for event in events_of(net, late) if event.event == "bundle.pushed"]
        assert ["abort"] == [event.attrs["action"] for event in pushed if event.attrs["action"] != "send"]
    finally:
        await net.node("gamma-sequencer").restart()


@pytest.mark.long
async def test_a_killed_relayer_goes_on_where_it_was(net: Devnet, say: Tell) -> None:
    """Killed when all is locked and away beyond the deadline of one of two strategies: that one is aborted, the other commits, both once."""
    patient = await opened(net, 9, say)
    hasty = await opened(net, 10, say, lifetime_s=10)
    for bridged in (hasty, patient):
        await eventually(
            lambda bridged=bridged: locks_are(net, bridged, "LOCKED"), WITHIN_S, "legs locked on all rollups"
        )
    await net.node("relayer").kill()

    async def too_late() -> bool:
        head = await net.l1.rpc("eth_getBlockByNumber", "latest", False)
        return int(head["timestamp"], 16) >= hasty.deadlines.decide_by

    await eventually(too_late, WITHIN_S, "the deadline of the hasty one")
    await net.node("relayer").restart()
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(follow(net, bridged, net.accounts[account], say))
            for account, bridged in ((9, patient), (10, hasty))
        ]
    committed, aborted = (task.result() for task in running)
    assert ("committed", "aborted") == (committed.outcome, aborted.outcome)
    for account, result in ((9, committed), (10, aborted)):
        await holds_what_it_says(net, account, result)
    await whole(net, [committed, aborted])
    await nothing_is_locked(net)
    for bridged in (patient, hasty):
        told = [(event.event, event.leg) for event in events_of(net, bridged) if event.event in ONCE]
        assert sorted(set(told), key=str) == sorted(told, key=str)


ONCE = (
    "bundle.admitted",
    "leg.staged",
    "message.proven",
    "message.finalized",
    "bundle.decided",
    "leg.executed",
    "leg.reverted",
)
"""What happens once to each leg, and is told once however often the relayer dies."""


async def opened(net: Devnet, account: int, say: Tell, lifetime_s: int | None = None) -> BridgeStrategy:
    """A condor that L1 has opened."""
    bridged = await prepare(net, condor(net), net.accounts[account], lifetime_s=lifetime_s)
    await open_strategy(net, bridged, net.accounts[account], say)
    return bridged


async def locks_are(net: Devnet, bridged: BridgeStrategy, *states: str) -> bool:
    """Whether every rollup's escrow is in one of some states."""
    view: View = await look(net, to_hex(bridged.id), [part.chain_id for part in bridged.participants])
    return all(lock is not None and lock.name in states for lock in view.locks.values())


def events_of(net: Devnet, bridged: BridgeStrategy) -> tuple[Event, ...]:
    """What the journals say of a strategy."""
    return load_trace(net.directory.path, to_hex(bridged.id)).events


async def holds_what_it_says(net: Devnet, account: int, result: StrategyResult) -> None:
    """The chains agree with the result of an account's only strategy: its positions and cash are those of the executed legs."""
    user = net.accounts[account]
    for leg in result.legs:
        chain = net.rollup(leg.placed.rollup)
        assert leg.transaction_hash is not None
        receipt = await chain.receipt(to_hex(leg.transaction_hash))
        assert receipt is not None
        assert "0x1" == receipt["status"]
        held = await ask(chain, OPTIONS_MARKET, MARKET, "position", leg.placed.series, user.address)
        signed = leg.placed.leg.signed_quantity
        assert held == (signed if leg.status == "executed" else 0)
    for name, chain in net.rollups.items():
        own = [leg for leg in result.legs if leg.placed.rollup == name and leg.premium is not None]
        assert USER_CASH - sum(leg.premium or 0 for leg in own) == await cash_of(chain, user.address)


async def whole(net: Devnet, results: list[StrategyResult]) -> None:
    """A strategy's legs have all the same end."""
    for result in results:
        ends = {leg.status for leg in result.legs}
        assert ({"executed"} if result.outcome == "committed" else {"reverted"}) == ends
        analysis = analyse(
            await asyncio.to_thread(load_trace, net.directory.path, to_hex(result.bundle_hash))
        )
        assert (result.outcome, ()) == (analysis.outcome.value, analysis.alarms)


async def nothing_is_locked(net: Devnet) -> None:
    """On every rollup the market's tokens are its books, nobody's cash is reserved, and what genesis made is there."""
    people = [*net.accounts, net.plan.role("maker")]
    for chain in net.rollups.values():
        books = 0
        for person in people:
            assert 0 == await ask(chain, OPTIONS_MARKET, MARKET, "reservedCash", person.address)
            books += await cash_of(chain, person.address)
        assert books == await ask(chain, CASH_TOKEN, CASH, "balanceOf", OPTIONS_MARKET)
        assert len(net.accounts) * USER_CASH + MAKER_CASH == books


async def cash_of(chain: ChainHandle, address: str) -> int:
    """All cash of an account in the market, free, locked or reserved."""
    return sum(
        [
            await ask(chain, OPTIONS_MARKET, MARKET, function, address)
            for function in ("freeCash", "lockedCash", "reservedCash")
        ]
    )


async def ask(chain: ChainHandle, to: str, interface: Any, function: str, *arguments: Any) -> int:
    """One number from a contract."""
    data = to_hex(interface.encode_call(function, *arguments))
    answer = await chain.rpc("eth_call", {"to": to, "data": data}, "latest")
    (value,) = interface.decode_result(function, from_hex(answer))
    return int(value)
