"""For tests of attacks on withdrawals: the crook's calls."""

from typing import Any

import pytest

from bridge.relayer.withdrawal import Inclusion, Passed, Withdrawal, storage_key
from bridge.wire import rlp
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.settlement.testing_bridge import proving
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import Scene
from orchestrator.settlement.testing_sides import Call, theirs

ZERO = "0x" + "00" * 32


def oracle(scene: Scene, function: str, *arguments: Any) -> Call:
    """A call of alpha's output oracle."""
    return theirs("L2OutputOracle", scene.alpha.where.output_oracle, function, *arguments)


async def proven(scene: Scene, found: Passed) -> None:
    """Prove one of the crowd's withdrawals against the scene's output."""
    inclusion = await scene.inclusion(found.withdrawal)
    call = proving(scene.alpha, found.withdrawal, scene.index, inclusion)
    await scene.bridge.l1.send(scene.user, call)


async def refused(scene: Scene, call: Call, match: str) -> None:
    """A transaction of the crook has no effect, for that reason."""
    with pytest.raises(Refused, match=match):
        await scene.bridge.l1.send(scene.crook, call)


def forged(withdrawal: Withdrawal) -> Inclusion:
    """A state in which a withdrawal that never happened is the only one, and the proof that it is in it."""
    path = keccak256(from_hex(storage_key(withdrawal.hash)))
    leaf = rlp.encode([b"\x20" + path, b"\1"])
    return Inclusion(OutputParts(ZERO, to_hex(keccak256(leaf)), ZERO), (leaf,))
