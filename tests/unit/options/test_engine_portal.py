"""A withdrawal from an options rollup goes through the real OptimismPortal, proven by what the engine answers."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.wire.keccak import to_hex
from bridge.wire.signing import address_of
from orchestrator.settlement.geth_genesis import GENESIS_TIME
from orchestrator.settlement.testing_bridge import INTERVAL, RollupSide, attack_plan, bridge_by_hand
from orchestrator.settlement.testing_sides import theirs
from rollup_node.engines.options.engine import OptionsEngine
from rollup_node.engines.options.testing import genesis_bytes
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.testing import MARKET, Desk
from rollup_node.outputs import Outputs

pytestmark = pytest.mark.process

ETHER = 10**18
SINK = "0x" + "5e" * 20


async def test_a_deposit_comes_in_and_a_withdrawal_is_finalized_by_the_real_portal(tmp_path: Path) -> None:
    """L1's deposit is dollars on the rollup; what is withdrawn is proven against a proposed output, and paid; no more than that."""
    plan = attack_plan(("alpha",))
    async with bridge_by_hand(plan, tmp_path) as bridge:
        rollup = bridge.rollups["alpha"]
        engine = await _options_instead(rollup, tmp_path / "options")
        user = plan.users[0]
        owner = to_hex(address_of(user.private_key))
        deposit = theirs(
            "OptimismPortal", rollup.portal, "depositTransaction", owner, 5 * ETHER, 100_000, False, b"",
            value=5 * ETHER,
        )  # fmt: skip
        backed = await bridge.l1.balance(rollup.portal)
        await bridge.l1.send(user, deposit)
        (received,) = await rollup.follow()
        assert ("0x1", []) == (received["status"], rollup.left_out)
        assert 5 * ETHER == await rollup.balance(owner)

        withdraw = theirs(
            "L2ToL1MessagePasser",
            L2_TO_L1_MESSAGE_PASSER,
            "initiateWithdrawal",
            SINK,
            100_000,
            b"",
            value=2 * ETHER,
        )
        await rollup.send(user, replace(withdraw, gas=1_000_000))
        (passed,) = rollup.passed
        assert 3 * ETHER == await rollup.balance(owner)
        before = await bridge.l1.balance(SINK)
        await bridge.finish(user, rollup, passed)
        assert before + 2 * ETHER == await bridge.l1.balance(SINK)
        assert backed + 3 * ETHER == await bridge.l1.balance(rollup.portal)
        await engine.stop()


async def _options_instead(rollup: RollupSide, folder: Path) -> OptionsEngine:
    """Put an options engine in the place of the rollup's own, before its first block."""
    folder.mkdir()
    path = folder / "genesis.json"
    desk = Desk(Parameters(rollup.chain_id, {1: MARKET}))
    path.write_bytes(genesis_bytes(desk, timestamp=GENESIS_TIME))
    engine = OptionsEngine(path, folder / "engine")
    rollup._headers = [await engine.start()]
    rollup.engine = engine
    rollup.outputs = Outputs(engine, folder / "outputs.log", INTERVAL)
    return engine
