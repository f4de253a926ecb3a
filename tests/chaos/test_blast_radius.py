"""One rollup frozen: the others go on, having waited for it once and briefly; what needs it expires with a reason, and all is well once it thaws."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.keccak import from_hex
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.waiting import eventually
from shared_sequencer.rollups import PING_AFTER_SECONDS, PING_SECONDS, STAGE_SECONDS

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

ONCE_S = PING_AFTER_SECONDS + PING_SECONDS
"""What a frozen rollup may cost the others in all, seconds."""
SLACK_S = 1.0
"""What a busy machine may add, seconds."""
NAMES = ("alpha", "beta", "gamma")
SLOTS = "messaging: {mode: shared-sequencer, slot: 100ms}"
BUSY = "{engine: evm, block_time: 500ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Three rollups."""
    file = topology_file("blast", rollups=NAMES, extra=SLOTS, **dict.fromkeys(NAMES, BUSY))
    async with launched(file) as running:
        yield running


async def states(net: Devnet) -> dict[str, str]:
    """How the sequencer sees its rollups."""
    return {name: rollup["state"] for name, rollup in (await net.sequencer.status())["rollups"].items()}


async def test_a_frozen_rollup_stops_only_what_touches_it(net: Devnet, signed: Callable[..., str]) -> None:
    """Bundles over the other two commit quickly; one that waits for the frozen rollup expires, naming it; new ones are refused, naming it."""
    alpha, beta, gamma = (net.rollup(name) for name in NAMES)
    user, other = net.accounts[0], net.accounts[1]
    waiting = await net.sequencer.send_bundle(
        # nonce 1 on gamma waits, so that it is admitted and still undecided when gamma freezes
        [from_hex(signed(user, alpha, 0)), from_hex(signed(user, gamma, 1))],
        int(time.time()) + 5,
        bytes(32),
    )
    await net.node("gamma").pause()
    waits = []
    for nonce in range(12):
        began = time.monotonic()
        bundle = await net.sequencer.send_bundle(
            [from_hex(signed(other, alpha, nonce)), from_hex(signed(other, beta, nonce))],
            int(time.time()) + 10,
            bytes(32),
        )
        status = await net.sequencer.rpc("rollnet_waitForEnd", bundle, 10.0)
        assert "committed" == status["status"]
        waits.append(time.monotonic() - began)
    usual = sorted(waits)[len(waits) // 2]
    assert sum(wait - usual for wait in waits if wait > usual) < ONCE_S + SLACK_S, waits
    assert max(waits) < STAGE_SECONDS - 2, waits

    async def noticed() -> bool:
        return "down" == (await states(net))["gamma"]

    await eventually(noticed, 10, "the sequencer to leave gamma out")
    with pytest.raises(RollnetError, match="gamma does not take part"):
        await net.sequencer.send_bundle(
            [from_hex(signed(other, alpha, 12)), from_hex(signed(other, gamma, 0))],
            int(time.time()) + 5,
            bytes(32),
        )
    ended = await net.sequencer.rpc("rollnet_waitForEnd", waiting, 20.0)
    assert "expired" == ended["status"]
    assert "leg 1: rollup gamma was down until the deadline" in ended["reason"]["message"]
    assert "0x0" == await alpha.rpc("eth_getTransactionCount", user.address, "latest")
    await net.node("gamma").resume()

    async def back() -> bool:
        return {"up"} == set((await states(net)).values())

    await eventually(back, 10, "gamma in the slots again")
    assert "0x0" == await gamma.rpc("eth_getTransactionCount", user.address, "latest")
    again = await net.sequencer.send_bundle(
        [from_hex(signed(user, alpha, 0)), from_hex(signed(user, gamma, 0))], int(time.time()) + 10, bytes(32)
    )
    assert "committed" == (await net.sequencer.rpc("rollnet_waitForEnd", again, 10.0))["status"]
