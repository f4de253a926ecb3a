"""What the relayer does for messages, on real chains driven by hand: every step is taken by the contracts, and every message comes to an end.

Messengers come to hold calls because the contract that they call refuses for a while, as the router does when a portal's gas is used up.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.l1.errors import WouldRevert
from bridge.relayer.errors import InVain
from bridge.relayer.messages.envelope import envelope_of
from bridge.relayer.messages.facts import Asked, Chains, RollupEnds, gather
from bridge.relayer.messages.lifecycle import (
    Done,
    Export,
    Facts,
    Hop,
    RedeliverOnL2,
    Replay,
    ReplayOnL1,
    State,
    Wait,
    judge,
)
from bridge.relayer.messages.sightings import Sign
from bridge.wire.jsonrpc import Client
from orchestrator.settlement.testing_hand import OWN, Hand, as_at_first, hand_world, handed, refusing
from orchestrator.settlement.testing_messages import (
    ACCEPT,
    ETHER,
    FRIEND,
    NO_SUCH_ROLLUP,
    REFUSE,
    STRANGER,
    USER,
    Message,
    World,
)
from orchestrator.settlement.testing_spending import spent
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests."""
    async with hand_world(tmp_path_factory.mktemp("steps")) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def hand(made: World, tmp_path: Path) -> AsyncIterator[Hand]:
    """A relayer on chains that are as they were at first."""
    async with as_at_first(made), contextlib.AsyncExitStack() as stack:
        yield await handed(made, tmp_path, stack)


async def test_a_forward_that_l1_could_not_make_is_replayed_there(hand: Hand) -> None:
    """The router refused, the messenger holds the call and its value; the relayer makes it go on, and the message is executed."""
    world = hand.world
    message = await world.send(value=3 * ETHER)
    async with refusing(world.bridge.l1, world.router.address):
        await world.bridge.finalize(*world.source.withdrawals)
    state, step, facts = await hand.judged(message)
    assert (State.SENT, [Hop.FORWARD]) == (state, [call.hop for call in facts.held])
    assert isinstance(step, ReplayOnL1)
    async with refusing(world.bridge.l1, world.router.address):
        with pytest.raises(WouldRevert):
            await hand.take(message, step)
    await hand.advance(message, ReplayOnL1)
    assert State.FORWARDED is (await hand.judged(message))[0]
    await world.bridge.settle()
    assert (State.EXECUTED, Done()) == (await hand.judged(message))[:2]


async def test_a_delivery_that_the_rollup_could_not_take_is_made_again(hand: Hand) -> None:
    """The destination's messenger holds the deposit's call, with its value; a try that would fail again is not paid for."""
    world = hand.world
    message = await world.send(value=ETHER)
    async with refusing(world.destination.chain):
        await world.cross()
    state, step, _ = await hand.judged(message)
    assert State.FORWARDED is state
    assert isinstance(step, RedeliverOnL2)
    async with refusing(world.destination.chain):
        with pytest.raises(WouldRevert):
            await hand.take(message, step)
    await hand.advance(message, RedeliverOnL2)
    assert State.EXECUTED is (await hand.judged(message))[0]
    done = await spent(world.destination.chain.client, OWN)
    assert [("relayMessage", True)] == [(each.what, each.success) for each in done]


async def test_a_replay_that_was_in_vain_is_done_again_and_no_third_time(hand: Hand) -> None:
    """The call fails again between estimate and block: paid for, told, and the next try is another transaction; after its success there is none."""
    world = hand.world
    message = await world.send(value=ETHER)
    async with refusing(world.destination.chain):
        await world.cross()
    _, step, _ = await hand.judged(message)
    assert isinstance(step, RedeliverOnL2)
    client = world.destination.chain.client
    trying = asyncio.create_task(hand.steps.take(envelope_of(message.envelope), step))

    async def waits() -> bool:
        return int((await client.call("txpool_status"))["pending"], 16) > 0

    await eventually(waits, 10, "the transaction to be sent", every_s=0.01)
    async with refusing(world.destination.chain):
        await hand.seal()
    with pytest.raises(InVain):
        await trying
    assert State.FORWARDED is (await hand.judged(message))[0]
    await hand.take(message, step)
    await hand.take(message, step)
    assert State.EXECUTED is (await hand.judged(message))[0]
    assert [("relayMessage", True)] * 2 == [(each.what, each.success) for each in await spent(client, OWN)]


async def test_a_message_that_failed_is_replayed_by_the_mailbox(hand: Hand) -> None:
    """Not before the target takes it, and then once."""
    world = hand.world
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    await world.cross()
    state, step, _ = await hand.judged(message)
    assert (State.FAILED, Replay()) == (state, step)
    with pytest.raises(WouldRevert, match="ReplayFailed"):
        await hand.take(message, Replay())
    await world.puppet.send(USER, "feel", ACCEPT)
    await hand.advance(message, Replay)
    assert State.EXECUTED is (await hand.judged(message))[0]
    assert ETHER == await world.destination.chain.balance(world.puppet.address)


@pytest.mark.parametrize("hop", [Hop.RETURN, Hop.REFUND])
async def test_what_expired_comes_back_whatever_messenger_holds_it(hand: Hand, hop: Hop) -> None:
    """Exported once; on its way back L1's, or the source's, messenger has to be helped; the sender has its value again."""
    world = hand.world
    await world.puppet.send(USER, "feel", REFUSE)
    message = await world.send(value=ETHER)
    await world.cross()
    world.wait(message.envelope[8] + 1)
    assert isinstance((await hand.judged(message))[1], Replay)  # the rollup has no block of that time yet
    await world.destination.chain.fund(STRANGER, ETHER)
    await world.puppet.send(USER, "feel", ACCEPT)
    state, step, _ = await hand.judged(message)
    assert (State.EXPIRED, Export()) == (state, step)
    await hand.advance(message, Export)
    assert State.RETURNING is (await hand.judged(message))[0]
    before = await world.source.chain.balance(USER)
    if hop is Hop.RETURN:
        async with refusing(world.bridge.l1, world.router.address):
            await world.bridge.settle()
        await hand.advance(message, ReplayOnL1)
        await world.bridge.settle()
    else:
        async with refusing(world.source.chain):
            await world.bridge.settle()
        await hand.advance(message, RedeliverOnL2)
    assert (State.REFUNDED, Done()) == (await hand.judged(message))[:2]
    assert before + ETHER == await world.source.chain.balance(USER)
    assert 0 == await world.puppet.read("calls")


async def test_a_paused_messenger_is_waited_for(hand: Hand) -> None:
    """While the guardian has stopped L1's messengers nothing is replayed there."""
    world = hand.world
    message = await world.send()
    async with refusing(world.bridge.l1, world.router.address):
        await world.bridge.settle()
    _, step, facts = await hand.judged(message)
    assert isinstance(step, ReplayOnL1)
    paused = Facts(facts.outgoing, facts.route, facts.incoming, facts.clock, True, facts.held)
    assert isinstance(judge(message.envelope[8], paused)[1], Wait)


async def test_a_chain_that_is_away_hides_only_its_own_messages(hand: Hand) -> None:
    """Messages of the others are judged all the same; what is wrong is said."""
    world = hand.world
    message = await world.send(FRIEND, b"")
    envelope = envelope_of(message.envelope)
    lost = Client("http://127.0.0.1:1")
    rollups = dict(hand.steps.chains.rollups)
    rollups[world.destination.chain_id] = RollupEnds(lost, rollups[world.destination.chain_id].messenger)
    chains = Chains(hand.steps.chains.l1, hand.steps.chains.router, rollups)
    elsewhere = await world.send(FRIEND, b"", to=NO_SUCH_ROLLUP)
    other = envelope_of(elsewhere.envelope)
    gathered = await gather(chains, [Asked(envelope), Asked(other)])
    assert {other.hash} == set(gathered.facts)
    assert 1 == len(gathered.trouble)
    assert str(world.destination.chain_id) in gathered.trouble[0]
    await lost.close()


@pytest.mark.parametrize("seed", range(4))
async def test_over_any_misfortune_every_message_ends_once(hand: Hand, seed: int) -> None:
    """Random messages, moods, refusals and time: what the rule says is always taken, and in the end all are executed or refunded."""
    world, chance = hand.world, random.Random(seed)
    messages: list[Message] = []
    for _ in range(70):
        await misfortune(hand, chance, messages)
    await world.puppet.send(USER, "feel", ACCEPT)
    for _ in range(20):
        await world.bridge.settle()
        world.wait(world.now + 50)
        for message in messages:
            await act(hand, message)
    states = [(await hand.judged(message))[0] for message in messages]
    assert {State.EXECUTED, State.REFUNDED} >= set(states)
    executed = [message for message, state in zip(messages, states, strict=True) if state is State.EXECUTED]
    assert len(executed) == await world.puppet.read("calls")
    total = sum(message.envelope[6] for message in executed)
    assert total == await world.destination.chain.balance(world.puppet.address)
    for mailbox in (world.inbox, world.outbox):
        assert 0 == await mailbox.chain.balance(CROSS_ROLLUP_MAILBOX)
        assert 0 == await mailbox.chain.balance(L2_CROSS_DOMAIN_MESSENGER)
    for client in (world.bridge.l1.client, *(each.chain.client for each in hand.rollups)):
        assert [] == [each for each in await spent(client, OWN) if not each.success]
    for message, state in zip(messages, states, strict=True):
        signs = {each.sign for each in hand.seen(envelope_of(message.envelope))}
        ends = (state is State.EXECUTED, state is State.REFUNDED)
        assert ends == (Sign.EXECUTED in signs, Sign.REFUNDED in signs)


async def misfortune(hand: Hand, chance: random.Random, messages: list[Message]) -> None:
    """Something happens to somebody."""
    world = hand.world
    rollup = chance.choice((world.source, world.destination))
    refused = chance.random() < 0.4
    match chance.choice(("send", "feel", "finalize", "finalize", "derive", "derive", "wait", "act", "act")):
        case "send" if len(messages) < 8:
            to = NO_SUCH_ROLLUP if chance.random() < 0.2 else None
            value, valid_s = chance.choice((0, 1, ETHER)), chance.choice((30, 400))
            messages.append(await world.send(value=value, to=to, valid_s=valid_s))
        case "feel":
            await world.puppet.send(USER, "feel", chance.choice((ACCEPT, REFUSE)))
        case "finalize" if rollup.withdrawals:
            away = refusing(world.bridge.l1, world.router.address) if refused else contextlib.nullcontext()
            async with away:
                await world.bridge.finalize(rollup.withdrawals[0])
        case "derive" if rollup.deposits:
            async with refusing(rollup.chain) if refused else contextlib.nullcontext():
                await world.bridge.derive(rollup.chain_id)
        case "wait":
            world.wait(world.now + chance.randrange(60))
        case "act" if messages:
            await act(hand, chance.choice(messages))


async def act(hand: Hand, message: Message) -> None:
    """Do what is to be done about a message, unless its target would refuse again."""
    _, step, _ = await hand.judged(message)
    if isinstance(step, Wait | Done):
        return
    with contextlib.suppress(WouldRevert):
        await hand.advance(message, type(step))
