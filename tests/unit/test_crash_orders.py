"""What is told of an ordered crash: only the right exit, in the right life, with the right last word counts as one."""

from dataclasses import replace

import pytest

from bridge.wire.crash_points import EXIT_CRASHED
from orchestrator.crash_orders import crash_bite
from orchestrator.runtimes.base import NodeState, NodeStatus

POINT = "sequencer.slot.decided"
CRASHED = NodeStatus("sequencer", "sequencer", NodeState.EXITED, 2, 0.0, exit_code=EXIT_CRASHED)
SAID = f'{{"event":"crash.point","point":"{POINT}","pid":7}}'
BEGINS = "--- rollnet: sequencer, boot 2 ---"


async def bite(status: NodeStatus, *lines: str) -> tuple[bool, str]:
    """What is told of a node in this state, with this log."""

    async def found() -> NodeStatus:
        return status

    async def logs(count: int) -> tuple[str, ...]:
        return lines[-count:]

    told = await crash_bite(POINT, 2, found, logs, 0.05)
    return told.bit, told.evidence


@pytest.mark.parametrize(
    "status", [CRASHED, replace(CRASHED, exit_code=None, signal="SIGKILL")], ids=["process", "container"]
)
async def test_the_right_end_is_one(status: NodeStatus) -> None:
    """Also with a line of the same process group behind it."""
    bit, evidence = await bite(status, BEGINS, "node.ready", SAID, "a child's last word")
    assert bit
    assert SAID in evidence


@pytest.mark.parametrize(
    ("status", "lines", "why"),
    [
        (replace(CRASHED, state=NodeState.READY, exit_code=None), (BEGINS,), "has not come to"),
        (replace(CRASHED, exit_code=1), (BEGINS, SAID), "exit code 1"),
        (replace(CRASHED, boot=3), (BEGINS, SAID), "is in life 3 already"),
        (CRASHED, (BEGINS, "node.ready"), "nothing of a crash"),
        (CRASHED, (SAID, BEGINS, "node.ready"), "nothing of a crash"),
        (CRASHED, (BEGINS, SAID.replace("decided", "staged")), "slot.staged"),
    ],
    ids=["alive", "failed", "another life", "silent", "said in the life before", "elsewhere"],
)
async def test_any_other_end_is_none(status: NodeStatus, lines: tuple[str, ...], why: str) -> None:
    """It did not bite, and it is said why."""
    bit, evidence = await bite(status, *lines)
    assert not bit
    assert evidence.startswith("did not bite")
    assert why in evidence
