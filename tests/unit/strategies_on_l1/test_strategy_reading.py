"""What is said of strategies beforehand and read of them afterwards is what the contracts hold."""

from dataclasses import replace

import pytest

from bridge.relayer.strategies.chains import Escrow, Registry, newest
from bridge.relayer.strategies.lifecycle import Decision, Lock, State, Vote, state_of
from bridge.relayer.strategies.reasons import verdict
from bridge.wire.keccak import to_hex
from orchestrator.settlement.testing_strategies import (
    ALICE,
    ALPHA,
    BETA,
    MAKER,
    UNIT,
    USD,
    World,
    lower,
)
from orchestrator.strategies.bridge_result import Trade, trades_in
from orchestrator.strategies.bridge_terms import (
    MAX_LEGS,
    MAX_LEGS_IN_ALL,
    MAX_LOCK_S,
    MAX_PARTICIPANTS,
    Deadlines,
    Participant,
    strategy_id,
)
from orchestrator.strategies.errors import ReceiptError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_strategy_is_named_before_it_is_opened(world: World) -> None:
    """The name that is computed is the name that the registry gives, whatever it binds."""
    parts = [
        Participant("alpha", ALPHA, (0, 2), (world.buy(ALPHA), world.sell(ALPHA, 3 * UNIT, 17))),
        Participant("beta", BETA, (1,), (world.sell(BETA),)),
    ]
    strategy = await world.open([part.struct for part in parts], salt=b"\7" * 32)
    l1_id = int(await world.bridge.l1.client.call("eth_chainId"), 16)
    times = Deadlines(strategy.decide_by, strategy.refund_after)
    name = strategy_id(l1_id, world.registry.address, ALICE.address, b"\7" * 32, parts, times)
    assert strategy.digest == name
    others = [
        strategy_id(l1_id, world.registry.address, MAKER.address, b"\7" * 32, parts, times),
        strategy_id(l1_id, world.registry.address, ALICE.address, b"\x08" * 32, parts, times),
        strategy_id(l1_id, world.registry.address, ALICE.address, b"\7" * 32, parts[::-1], times),
        strategy_id(
            l1_id, world.registry.address, ALICE.address, b"\7" * 32, parts, replace(times, decide_by=1)
        ),
    ]
    assert len({name, *others}) == 1 + len(others)


async def test_the_limits_are_the_registry_s(world: World) -> None:
    """What is refused beforehand is what the contract refuses."""
    names = ("MAX_PARTICIPANTS", "MAX_LEGS", "MAX_LEGS_IN_ALL", "MAX_LOCK")
    expected = (MAX_PARTICIPANTS, MAX_LEGS, MAX_LEGS_IN_ALL, MAX_LOCK_S)
    assert expected == tuple([await world.registry.read(name) for name in names])


async def test_readings_follow_a_strategy(world: World) -> None:
    """Standing, locks and state at every step of a commit; another strategy is another one."""
    registry = Registry(world.bridge.l1.client, world.registry.address)
    strategy = await world.open()
    name = to_hex(strategy.digest)

    async def read() -> tuple[State, Decision, list[Vote], list[Lock]]:
        found = (await registry.look([name, "0x" + "ee" * 32]))[name]
        seen = [await Escrow(world.rollup(chain).chain.client).look([name]) for chain in (ALPHA, BETA)]
        locks = [each.locks[name] for each in seen]
        return state_of(found.decision, locks), found.decision, list(found.votes.values()), locks

    (standing,) = (await registry.look([name, "0x" + "ee" * 32])).values()
    assert (lower(ALICE), strategy.decide_by, strategy.refund_after, (ALPHA, BETA), [1, 1]) == (
        standing.account,
        standing.decide_by,
        standing.refund_after,
        standing.chains,
        list(standing.legs.values()),
    )
    none, yes, unlocked, locked = Vote.NONE, Vote.YES, Lock.NONE, Lock.LOCKED
    assert (State.LOCKING, Decision.NONE, [none, none], [unlocked, unlocked]) == await read()
    await world.lock(ALPHA)
    assert (State.LOCKING, Decision.NONE, [none, none], [locked, unlocked]) == await read()
    await world.lock(BETA)
    assert (State.VOTING, Decision.NONE, [none, none], [locked, locked]) == await read()
    await world.count(BETA)
    assert (State.VOTING, Decision.NONE, [none, yes], [locked, locked]) == await read()
    await world.count(ALPHA)
    assert (State.COMMITTING, Decision.COMMIT, [yes, yes], [locked, locked]) == await read()
    await world.bridge.settle()
    assert (State.COMMITTED, Decision.COMMIT, [yes, yes], [Lock.COMMITTED] * 2) == await read()
    found = verdict(await registry.history(name), standing.chains)
    assert found is not None
    assert (True, None, ()) == (found.commit, found.refused_by, found.missing)


async def test_calls_are_found_with_the_logs_that_tell_of_them(world: World) -> None:
    """Orders, and then decisions: the calls that the rollups' messengers were given, and no other strategy's."""
    registry = Registry(world.bridge.l1.client, world.registry.address)
    other = await world.open(salt=b"\1" * 32)
    strategy = await world.open()
    orders = {
        chain: world.rollup(chain).deposits[-1] for chain in (ALPHA, BETA)
    }  # raw deposits; each ends with the call
    name = to_hex(strategy.digest)
    history = await registry.history(name)
    assert ["StrategyOpened", "LegsOrdered", "LegsOrdered"] == [each.name for each in history]
    calls = await registry.calls(name, [each.transaction for each in history])
    assert [ALPHA, BETA] == [chain for chain, _ in calls]
    assert all(call.data in orders[chain] for chain, call in calls)
    assert [] == await registry.calls(to_hex(other.digest), [history[0].transaction])


async def test_trades_are_those_of_the_strategy(world: World) -> None:
    """Prices and premiums of its own legs in their order, whatever else the market did; nothing before it is committed."""
    legs = [world.buy(ALPHA, 7_777), world.sell(ALPHA, 3_333)]
    strategy = await world.open([(ALPHA, legs)])
    await world.lock(ALPHA)
    await world.market(ALPHA).send(
        ALICE.address, "trade", world.calls[ALPHA], MAKER.address, UNIT, 2**256 - 1, bytes(32)
    )
    await world.count(ALPHA)
    (receipt,) = await world.bridge.settle()
    history = await Escrow(world.rollup(ALPHA).chain.client).history(to_hex(strategy.digest))
    committed = newest(history, "LegCommitted")
    assert committed is not None
    assert receipt["transactionHash"] == committed.transaction
    paid, got = -(-51 * USD * 7_777 // 10_000), 50 * USD * 3_333 // 10_000
    assert (Trade(51 * USD, paid), Trade(50 * USD, -got)) == trades_in(receipt, strategy.digest, 2)
    for wrong in ((strategy.digest, 3), (bytes(32), 2)):
        with pytest.raises(ReceiptError):
            trades_in(receipt, *wrong)
