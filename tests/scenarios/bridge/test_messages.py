"""Messages between rollups over L1 on a real devnet: executed once or refunded, to the wei, whatever happens to the relayer."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.relayer.messages.envelope import Envelope
from bridge.wire.errors import RpcError
from bridge.wire.stages import Stage
from orchestrator.reorganisation import reorganise
from orchestrator.settlement.testing_spending import Spent
from orchestrator.verification.testing_messages import (
    ACCEPT,
    REFUSE,
    WITHIN_S,
    World,
    balance,
    fee_of,
    receipt_of,
    spending,
    world_of,
)
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SETTLED = "{block_time: 500ms, settlement: {challenge_period: 1s, proposal_interval: 500ms}}"
QUICK = "l1: {block_time: 400ms, confirmations: 1}\nmessaging: {mode: %s, slot: 100ms, publish_every: 400ms}"
NO_SUCH_ROLLUP = 999_999
ORDER = [
    Stage.MESSAGE_SENT,
    Stage.MESSAGE_BATCHED,
    Stage.MESSAGE_PROPOSED,
    Stage.MESSAGE_PROVEN,
    Stage.MESSAGE_FINALIZED,
    Stage.MESSAGE_DEPOSITED,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """Two rollups of a shared sequencer that settle within seconds."""
    extra = QUICK % "shared-sequencer"
    async with launched(topology_file("messages", extra=extra, alpha=SETTLED, beta=SETTLED)) as net:
        yield await world_of(net)


async def test_value_is_delivered_once_and_every_stage_is_told(world: World) -> None:
    """To the wei, with each stage once, in order, each caused by the one before; and what the relayer paid is told."""
    target = "0x" + "d1" * 20
    message = await world.send("alpha", "beta", target, value=12_345, account=1)
    await world.until("executed", message)
    assert 12_345 == await balance(world.net.rollup("beta"), target)
    told = world.journal(message.hash)
    assert [*ORDER, Stage.MESSAGE_EXECUTED] == [event.event for event in told]
    for before, after in pairwise(told):
        assert before.id in after.cause
    finalized, deposited, executed = told[-3:]
    assert finalized.attrs["l1_tx"] == deposited.attrs["l1_tx"]
    assert finalized.attrs["gas"] > 100_000
    assert ("alpha", "beta") == (deposited.attrs["rollup"], executed.attrs["rollup"])
    receipt = await receipt_of(world.net.rollup("beta"), executed.attrs["l2_tx"])
    assert int(receipt["blockNumber"], 16) == executed.attrs["block"]
    status = (await world.net.relayer.client.call("rollnet_status"))["rollups"]["alpha"]
    assert 1 <= status["messages"]["executed"]


async def test_a_message_whose_target_refuses_is_replayed_when_it_takes_calls(world: World) -> None:
    """Failed first and kept; once the cause is gone the relayer's own replay executes it, paid once and told."""
    await world.feel("beta", REFUSE)
    message = await world.send("alpha", "beta", world.puppets["beta"], value=7, data=b"ping")
    await world.until("failed", message)
    before = await world.calls("beta")
    await world.feel("beta", ACCEPT)
    await world.until("executed", message)
    assert before + 1 == await world.calls("beta")
    told = [event for event in world.journal(message.hash) if event.event != "message.retried"]
    assert [*ORDER, Stage.MESSAGE_FAILED, Stage.MESSAGE_EXECUTED] == [event.event for event in told]
    assert "relayer" == told[-1].attrs["by"]
    assert told[-1].attrs["gas"] > 30_000
    assert [Spent("replay", message.hash, True)] == (await spending(world))["beta"]


async def test_an_expired_message_is_refunded_to_the_wei(world: World) -> None:
    """Refused until its time is over, it is exported once and comes back; its sender has paid for sending it and nothing else."""
    await world.feel("beta", REFUSE)
    alpha, user = world.net.rollup("alpha"), world.net.accounts[2]
    before, calls = await balance(alpha, user.address), await world.calls("beta")
    value = 3 * 10**18 + 1
    message = await world.send(
        "alpha", "beta", world.puppets["beta"], value=value, data=b"late", valid_s=5, account=2
    )
    await world.until("refunded", message)
    cost = await fee_of(alpha, world.journal(message.hash)[0].attrs["l2_tx"])
    assert before - cost == await balance(alpha, user.address)
    assert calls == await world.calls("beta")
    told = [e.event for e in world.journal(message.hash) if e.event != "message.retried"]
    assert [*ORDER, Stage.MESSAGE_FAILED, "message.returning", Stage.MESSAGE_REFUNDED] == told
    done = (await spending(world))["beta"]
    assert [Spent("exportUndelivered", message.hash, True)] == [e for e in done if e.about == message.hash]
    for rollup in ("alpha", "beta"):
        assert 0 == await balance(world.net.rollup(rollup), CROSS_ROLLUP_MAILBOX)


async def test_a_message_to_nowhere_comes_back(world: World) -> None:
    """The router turns it round on L1; the sender is refunded without waiting for any expiry."""
    beta, user = world.net.rollup("beta"), world.net.accounts[3]
    before = await balance(beta, user.address)
    message = await world.send("beta", NO_SUCH_ROLLUP, "0x" + "d2" * 20, value=10**18, account=3)
    await world.until("refunded", message)
    cost = await fee_of(beta, world.journal(message.hash)[0].attrs["l2_tx"])
    assert before - cost == await balance(beta, user.address)
    told = [event.event for event in world.journal(message.hash)]
    assert [*ORDER[:-1], "message.returning", Stage.MESSAGE_REFUNDED] == told


async def test_killed_again_and_again_it_loses_nothing_and_pays_for_nothing_twice(world: World) -> None:
    """Two dozen messages both ways, some that fail at first, while the relayer is killed: each is executed once, each step paid once."""
    chance, net, relayer = random.Random(5), world.net, world.net.node("relayer")
    messages: list[Envelope] = []
    before = {name: await world.calls(name) for name in net.rollups}

    async def sending(source: str, destination: str, account: int) -> None:
        for number in range(6):
            target, data = (
                (world.puppets[destination], b"count") if number % 2 else (f"0x{account:02x}{'ee' * 19}", b"")
            )
            messages.append(
                await world.send(source, destination, target, value=number, data=data, account=account)
            )

    for name in net.rollups:
        await world.feel(name, REFUSE)
    ways = [("alpha", "beta", 6), ("beta", "alpha", 7), ("alpha", "beta", 8), ("beta", "alpha", 9)]
    async with asyncio.TaskGroup() as tasks:
        for way in ways:
            tasks.create_task(sending(*way))
        for _ in range(8):
            await asyncio.sleep(chance.random() * chance.choice((0.1, 0.8, 1.6)))
            await relayer.kill()
            await relayer.restart()
        for name in net.rollups:
            await world.feel(name, ACCEPT)
        await asyncio.sleep(chance.random())
        await relayer.kill()
        await relayer.restart()
    assert 24 == len(messages)
    await world.until("executed", *messages)
    assert {name: count + 6 for name, count in before.items()} == {
        name: await world.calls(name) for name in net.rollups
    }
    for message in messages:
        told = Counter(event.event for event in world.journal(message.hash))
        assert {*ORDER, Stage.MESSAGE_EXECUTED} <= told.keys()
    everything = [each for found in (await spending(world)).values() for each in found]
    assert [] == [each for each in everything if not each.success]
    assert [] == [each for each, count in Counter(everything).items() if count > 1]
    for message in messages:
        assert not {Spent("exportUndelivered", message.hash, True)} & set(everything)


async def test_an_l1_reorganisation_takes_no_message_and_doubles_none(world: World) -> None:
    """L1 forgets some blocks while messages are between any two stages: all are executed once, and L1 holds each step once."""
    net, target = world.net, "0x" + "d7" * 20
    messages = [await world.send("beta", "alpha", target, value=1 + n, account=4) for n in range(6)]
    height = await net.l1.height()

    async def grown() -> bool:
        return await net.l1.height() >= height + 7

    await eventually(grown, WITHIN_S, "L1 to grow")
    await reorganise(net.l1, 6, net.plan.l1.block_time_s)
    await world.until("executed", *messages)
    assert sum(message.value for message in messages) == await balance(net.rollup("alpha"), target)
    # Another output in the place of one that is gone takes another proof; a withdrawal's end is one.
    done = Counter(each for each in (await spending(world))["l1"] if each.what.startswith("finalize"))
    assert [] == [each for each, count in done.items() if each.success and count > 1]


async def test_messages_are_listed_by_what_they_are(world: World) -> None:
    """Both kinds, by every filter; a message's withdrawal says what it carries; nonsense is refused in words."""
    ask = world.net.relayer.client.call
    await world.until("refunded", await world.send("alpha", NO_SUCH_ROLLUP, "0x" + "d8" * 20, account=3))
    messages = await ask("rollnet_messages", {"kind": "message", "rollup": "alpha"})
    assert {"alpha"} == {each["rollup"] for each in messages}
    states = Counter(each["state"] for each in messages)
    counted = (await ask("rollnet_status"))["rollups"]["alpha"]["messages"]
    assert states == Counter({state: count for state, count in counted.items() if state != "dead" and count})
    refunded = await ask("rollnet_messages", {"kind": "message", "state": "refunded"})
    assert {"refunded"} == {each["state"] for each in refunded}
    one = messages[0]
    withdrawal = await ask("rollnet_message", one["withdrawal"])
    assert ("withdrawal", {"message": one["hash"]}) == (withdrawal["kind"], withdrawal["carries"])
    assert one == await ask("rollnet_message", one["hash"], "alpha")
    for filters in (
        {"kind": "vote"},
        {"kind": 5},
        {"kind": "message", "state": "proven"},
        {"state": "executed"},
    ):
        with pytest.raises(RpcError, match="kind"):
            await ask("rollnet_messages", filters)
    with pytest.raises(RpcError, match="nothing to try again"):
        await ask("rollnet_retry", one["hash"])


async def test_without_a_shared_sequencer_it_is_the_same(
    launched: Any, topology_file: Callable[..., Path]
) -> None:
    """Each rollup with a sequencer of its own: executed, replayed and refunded as before."""
    extra = QUICK % "l1-bridge"
    async with launched(topology_file("apart", extra=extra, alpha=SETTLED, beta=SETTLED)) as net:
        world = await world_of(net)
        await world.feel("beta", REFUSE)
        puppet, user = world.puppets["beta"], net.accounts[2]
        replayed = await world.send("alpha", "beta", puppet, data=b"ping", account=1)
        late = await world.send("alpha", "beta", puppet, value=5, data=b"late", valid_s=5, account=2)
        plain = await world.send("beta", "alpha", "0x" + "d9" * 20, value=3, account=3)
        before = await balance(net.rollup("alpha"), user.address)
        await world.until("executed", plain)
        await world.until("refunded", late)
        await world.until("failed", replayed)
        await world.feel("beta", ACCEPT)
        await world.until("executed", replayed)
        assert before + 5 == await balance(net.rollup("alpha"), user.address)
        assert 1 == await world.calls("beta")
