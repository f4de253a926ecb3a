"""Strategies over the L1 bridge, by escrow two-phase commit: who may speak and how often, and what can be opened."""

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    LEG_ESCROW,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import (
    Failed,
    inner_error,
    names,
    ours,
    theirs,
)
from bridge.wire.deposits import apply_alias, decode_deposit, encode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.genesis import USER_CASH
from orchestrator.settlement.testing_strategies import (
    ALICE,
    ALPHA,
    BETA,
    BOB,
    MAKER,
    MARGIN,
    MAX_LIMIT,
    ZERO,
    World,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_only_the_registry_orders_and_decides(world: World) -> None:
    """Neither a user, nor one with the registry's address on a rollup, nor anyone on L1 through the messenger."""
    strategy = await world.open()
    await world.lock(ALPHA)
    calls = (
        ("lockLegs", b"\1" * 32, BOB.address, 2**40, 2**41, 100_000, [world.buy(ALPHA)]),
        ("decideLegs", strategy.digest, True),
    )
    escrow, l1 = world.escrow(ALPHA), world.bridge.l1
    for function, *arguments in calls:
        for caller in (BOB.address, world.registry.address):
            await escrow.chain.fund(caller, 10**18)
            with pytest.raises(Failed, match="NotMessenger"):
                await escrow.send(caller, function, *arguments)
        data = escrow.interface.encode_call(function, *arguments)
        messenger = theirs(l1, "L1CrossDomainMessenger", world.rollup(ALPHA).messenger)
        world.bridge.note(await messenger.send(BOB.address, "sendMessage", LEG_ESCROW, data, 900_000))
        receipt = await world.bridge.derive(ALPHA)
        assert "NotRegistry" == await inner_error(escrow.chain, receipt, escrow)
    with pytest.raises(Failed, match="NotSelf"):
        await escrow.send(BOB.address, "reserveLegs", b"\1" * 32, BOB.address, 2**40, [world.buy(ALPHA)])
    assert ("NONE", "LOCKED", "NONE") == await world.state(strategy)


async def test_only_the_escrow_reserves(world: World) -> None:
    """The market's reservations can't be made, executed or released by anyone else."""
    calls = (
        ("reserve", b"\1" * 32, world.calls[ALPHA], MAKER.address, ALICE.address, 1, MAX_LIMIT),
        ("executeReserved", b"\1" * 32),
        ("releaseReserved", b"\1" * 32),
    )
    for function, *arguments in calls:
        for caller in (ALICE.address, MAKER.address, L2_CROSS_DOMAIN_MESSENGER):
            await world.rollup(ALPHA).chain.fund(caller, 10**18)
            with pytest.raises(Failed, match="NotEscrow"):
                await world.market(ALPHA).send(caller, function, *arguments)


async def test_a_reservation_ends_once(world: World) -> None:
    """Even the escrow itself can't use an id twice, nor end what isn't there."""
    chain, market = world.rollup(ALPHA).chain, world.market(ALPHA)
    await chain.fund(LEG_ESCROW, 10**18)
    reserve = ("reserve", b"\1" * 32, world.calls[ALPHA], MAKER.address, ALICE.address, 1, MAX_LIMIT)
    await market.send(LEG_ESCROW, *reserve)
    with pytest.raises(Failed, match="AlreadyReserved"):
        await market.send(LEG_ESCROW, *reserve)
    await market.send(LEG_ESCROW, "releaseReserved", b"\1" * 32)
    for function in ("releaseReserved", "executeReserved"):
        with pytest.raises(Failed, match="NotReserved"):
            await market.send(LEG_ESCROW, function, b"\1" * 32)


async def test_only_a_rollups_own_escrow_votes_for_it(world: World) -> None:
    """A direct call, and a withdrawal by anyone but the escrow, are no vote."""
    strategy = await world.open()
    with pytest.raises(Failed, match="NotMessenger"):
        await world.registry.send(ALICE.address, "vote", strategy.digest, True, b"")
    ballot = world.registry.interface.encode_call("vote", strategy.digest, True, b"")
    messenger = theirs(world.rollup(ALPHA).chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
    receipt = await messenger.send(ALICE.address, "sendMessage", world.registry.address, ballot, 900_000)
    world.bridge.note(receipt, ALPHA)
    receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
    assert "NotPeer" == await inner_error(world.bridge.l1, receipt, world.registry)
    assert "NONE" == await world.decision(strategy)


async def test_a_rollup_votes_once_and_only_where_it_takes_part(world: World) -> None:
    """A lying escrow can spoil the strategies that it is in, by its own vote, and nothing else."""
    elsewhere = await world.open([(BETA, [world.buy(BETA)])])
    here = await world.open([(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA)])])
    await world.lie(ALPHA, elsewhere, yes=True)
    receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
    assert "NoVoteExpected" == await inner_error(world.bridge.l1, receipt, world.registry)
    await world.lie(ALPHA, here, yes=True)
    assert ["Voted"] == await world.count(ALPHA)
    for yes in (True, False):
        await world.lie(ALPHA, here, yes=yes)
        receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
        assert "NoVoteExpected" == await inner_error(world.bridge.l1, receipt, world.registry)
    assert "NONE" == await world.decision(here)


async def test_a_contract_on_l1_trades_as_its_alias(world: World) -> None:
    """Whoever has the contract's address on a rollup isn't bound by what the contract opens (X12)."""
    code = artifact("Puppet").creation_code
    contract = ours(world.bridge.l1, "Puppet", await world.bridge.l1.create(BOB.address, code))
    call = world.registry.interface.encode_call(
        "open", ZERO, [(ALPHA, [world.buy(ALPHA)])], world.now + 100, world.now + 200
    )
    receipt = await contract.send(BOB.address, "act", world.registry.address, 0, call)
    world.bridge.note(receipt)
    opened = world.registry.events(receipt)[0].arguments
    alias = to_hex(apply_alias(from_hex(contract.address)))
    assert (contract.address.lower(), alias) == (opened["opener"], opened["account"])
    (event,) = await world.lock(ALPHA)
    assert ("LegRefused", alias) == (event.name, event.arguments["account"])


async def test_decisions_can_be_sent_again_and_apply_once(world: World) -> None:
    """Anyone repeats them, to all or to one; the escrows have nothing left to do."""
    strategy = await world.open()
    with pytest.raises(Failed, match="NotDecided"):
        await world.registry.send(BOB.address, "announce", strategy.digest)
    await world.bridge.settle()
    before = [await world.money(chain_id, ALICE) for chain_id in (ALPHA, BETA)]
    for function, *arguments in (("announce",), ("sendDecision", ALPHA), ("announce",)):
        world.bridge.note(await world.registry.send(BOB.address, function, strategy.digest, *arguments))
    for receipt in await world.bridge.settle():
        assert "0x1" == receipt["status"]
        assert [] == [*world.escrow(ALPHA).events(receipt), *world.market(ALPHA).events(receipt)]
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
    assert before == [await world.money(chain_id, ALICE) for chain_id in (ALPHA, BETA)]
    with pytest.raises(Failed, match="NotDecided"):
        await world.registry.send(BOB.address, "sendDecision", strategy.digest, 999)


async def test_a_decision_that_cannot_be_sent_stands(world: World) -> None:
    """A portal without room in this block delays the sending, not the decision."""
    strategy = await world.open()
    await world.lock(ALPHA)
    await world.lock(BETA)
    await world.count(ALPHA)
    receipt = await world.count_in_a_crowd(BETA)
    assert ["Voted", "Decided", "DecisionSent", "DecisionUnsent"] == names(world.registry.events(receipt))
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "LOCKED") == await world.state(strategy)
    world.bridge.note(await world.registry.send(BOB.address, "sendDecision", strategy.digest, BETA))
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)


async def test_an_order_without_gas_is_kept_and_repeated(world: World) -> None:
    """Too little gas is no vote of no: the messenger keeps the order, and anyone repeats it."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    rollup = world.rollup(ALPHA)
    deposit = decode_deposit(rollup.deposits.popleft())
    receipt = await rollup.chain.send_raw(encode_deposit(replace(deposit, gas=400_000)))
    assert [] == world.escrow(ALPHA).events(receipt)
    assert ("NONE", "NONE", "NONE") == await world.state(strategy)
    receipt = await rollup.chain.transact(BOB.address, L2_CROSS_DOMAIN_MESSENGER, deposit.data)
    assert ["LegLocked"] == names(world.escrow(ALPHA).events(receipt))


async def test_an_order_behind_its_abort_is_refused(world: World) -> None:
    """The messenger kept the order until the strategy was over: the escrow remembers, locks nothing and stays silent."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    rollup = world.rollup(ALPHA)
    deposit = decode_deposit(rollup.deposits.popleft())
    await rollup.chain.send_raw(encode_deposit(replace(deposit, gas=400_000)))
    world.wait(strategy.decide_by)
    world.bridge.note(await world.registry.send(BOB.address, "abort", strategy.digest))
    assert ["LegReleased"] == names(await world.lock(ALPHA))
    receipt = await rollup.chain.transact(BOB.address, L2_CROSS_DOMAIN_MESSENGER, deposit.data)
    assert ("0x1", []) == (receipt["status"], world.escrow(ALPHA).events(receipt))
    assert (USER_CASH, 0, 0) == await world.money(ALPHA, ALICE)


@pytest.mark.parametrize(
    ("times", "error"),
    [
        ({"decide_s": 0}, "BadTimes"),
        ({"decide_s": 100, "refund_s": 100 + MARGIN - 1}, "BadTimes"),
        ({"decide_s": 100, "refund_s": 7 * 86_400 + 1}, "BadTimes"),
    ],
)
async def test_times_must_be_in_order(world: World, times: dict[str, int], error: str) -> None:
    """The decision is due in the future, the refund a margin after it, and nothing is locked for longer than a week."""
    with pytest.raises(Failed, match=error):
        await world.open(**times)  # type: ignore[arg-type]


async def test_participants_are_rollups_with_legs_each_once(world: World) -> None:
    """Nobody, strangers, twins and the empty-handed are refused; the same strategy opens once."""
    leg = world.buy(ALPHA)
    cases: list[tuple[list[tuple[int, list[tuple[Any, ...]]]], str]] = [
        ([(999, [leg])], "UnknownRollup"),
        ([(ALPHA, [leg]), (ALPHA, [leg])], "DuplicateRollup"),
        ([(ALPHA, [])], "BadLegs"),
        ([(ALPHA, [leg] * 9)], "BadLegs"),
        ([(ALPHA, [leg] * 8)] * 4 + [(BETA, [leg])], "TooManyLegs"),
        ([(ALPHA, [leg])] * 17, "BadParticipants"),
    ]
    for participants, error in cases:
        with pytest.raises(Failed, match=error):
            await world.open(participants)
    with pytest.raises(Failed, match="BadParticipants"):
        await world.registry.send(ALICE.address, "open", ZERO, [], world.now + 100, world.now + 200)
    await world.open()
    with pytest.raises(Failed, match="AlreadyOpen"):
        await world.open()
    with pytest.raises(Failed, match="UnknownStrategy"):
        await world.registry.send(ALICE.address, "abort", ZERO)


async def test_an_id_binds_opener_legs_and_times(world: World) -> None:
    """It is the hash that an independent encoder gives, so nobody can take another's id."""
    strategy = await world.open()
    types = [
        "string",
        "uint256",
        "address",
        "address",
        "bytes32",
        "(uint64,(bytes32,address,int256,uint256)[])[]",
    ]
    values = ["STRATEGY.v1", 900, world.registry.address, ALICE.address, ZERO]
    legs = [(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA)])]
    times = [strategy.decide_by, strategy.refund_after]
    assert strategy.digest == keccak256(encode([*types, "uint64", "uint64"], [*values, legs, *times]))
    ordered = [event.arguments["legHash"] for event in world.registry.events(strategy.receipt)[1:]]
    hashes = [keccak256(encode(["(bytes32,address,int256,uint256)[]"], [part])) for _, part in legs]
    assert hashes == ordered
