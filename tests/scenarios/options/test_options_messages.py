"""Messages between an EVM rollup and an options rollup over L1, by the relayer and contracts of every devnet: executed once, or refunded."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.relayer.messages.envelope import Envelope
from bridge.wire.stages import Stage
from orchestrator.verification.testing_messages import World, balance, fee_of

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SETTLED = "block_time: 500ms, settlement: {challenge_period: 1s, proposal_interval: 500ms}"
QUICK = """l1: {block_time: 400ms, confirmations: 1}
messaging: {mode: shared-sequencer, slot: 100ms, publish_every: 400ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
NO_SUCH_ROLLUP = 999_999
UNIT = 10**12
"""Wei in a unit of an options rollup's cash."""
FRIEND, STRANGER = "0x" + "d1" * 20, "0x" + "d2" * 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """An EVM and an options rollup that settle within seconds."""
    topology = topology_file(
        "letters", ("alpha", "gamma"), QUICK, alpha=f"{{{SETTLED}}}", gamma=f"{{engine: options, {SETTLED}}}"
    )
    async with launched(topology) as net:
        yield World(net, {})


async def test_messages_are_executed_once_or_refunded(world: World) -> None:
    """Both ways with value, to nowhere, and past their time: each ends in one way, and nothing is lost or made on the way, to the unit."""
    net = world.net
    alpha, gamma = net.rollup("alpha"), net.rollup("gamma")
    people = net.accounts
    lost, late, bound = [people[place].address for place in (3, 4, 5)]
    before = {
        "lost": await balance(gamma, lost),
        "late": await balance(gamma, late),
        "bound": await balance(alpha, bound),
    }
    there = await world.send("alpha", "gamma", FRIEND, value=3 * UNIT + 7, account=1)
    back = await world.send("gamma", "alpha", FRIEND, value=5 * UNIT, account=2)
    nowhere = await world.send("gamma", NO_SUCH_ROLLUP, FRIEND, value=11 * UNIT, account=3)
    # on alpha there is nobody to be called at this address; here nothing that a message may call
    uncalled = await world.send(
        "gamma", "alpha", STRANGER, value=13 * UNIT, data=b"late", valid_s=6, account=4
    )
    refused = await world.send(
        "alpha", "gamma", STRANGER, value=17 * UNIT + 1, data=b"late", valid_s=6, account=5
    )
    await world.until("executed", there, back)
    assert 3 * UNIT == await balance(gamma, FRIEND)
    assert 5 * UNIT == await balance(alpha, FRIEND)
    await world.until("refunded", nowhere, uncalled, refused)
    assert before["lost"] == await balance(gamma, lost)
    assert before["late"] == await balance(gamma, late)
    cost = await fee_of(alpha, _told(world, refused)[0].attrs["l2_tx"])
    assert before["bound"] - cost == await balance(alpha, bound)
    for address in (CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER):
        assert 0 == await balance(alpha, address)
    assert (3 * UNIT, 5 * UNIT) == (await balance(gamma, FRIEND), await balance(alpha, FRIEND))
    failed = [Stage.MESSAGE_FAILED, "message.returning", Stage.MESSAGE_REFUNDED]
    assert [Stage.MESSAGE_DEPOSITED, Stage.MESSAGE_EXECUTED] == _events(world, there)[-2:]
    assert [Stage.MESSAGE_DEPOSITED, Stage.MESSAGE_EXECUTED] == _events(world, back)[-2:]
    assert failed[1:] == _events(world, nowhere)[-2:]
    assert failed == _events(world, uncalled)[-3:]
    assert failed == _events(world, refused)[-3:]


def _told(world: World, message: Envelope) -> list[Any]:
    return [event for event in world.journal(message.hash) if event.event != "message.retried"]


def _events(world: World, message: Envelope) -> list[str]:
    return [event.event for event in _told(world, message)]
