"""What a strategy run says when the sequencer has decided and a rollup can't show it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.wire.errors import PeerUnreachable
from orchestrator import execution
from orchestrator.execution import Execution
from orchestrator.market.testing import example_plan
from orchestrator.strategies import presets
from orchestrator.strategies.resolve import PlacedLeg, ResolvedStrategy


class Deaf:
    """A rollup that never answers."""

    async def call(self, *_: Any) -> Any:
        """No answer."""
        raise PeerUnreachable("dead")


class Decided:
    """A sequencer that has committed the bundle."""

    async def call(self, *_: Any) -> Any:
        """The status of a committed bundle of one leg."""
        return {"status": "committed", "legs": [{"rollup": "alpha", "transactionHash": "0x" + "11" * 32}]}


async def test_a_committed_bundle_stays_committed_while_its_rollup_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is durable: a missing receipt makes the legs unknown, never the outcome, and is no traceback."""
    monkeypatch.setattr(execution, "GRACE_S", 0.05)
    plan = example_plan()
    assert plan.market is not None
    leg = presets.build("vertical", plan.market).legs[0]
    placed = PlacedLeg(leg, 0, "alpha", 1, 0, b"\1" * 32, int(time.time()) + 60, 1, 1)
    resolved = ResolvedStrategy(
        presets.build("vertical", plan.market),
        "0x",
        10**9,
        (placed,),
        b"\2" * 32,
        int(time.time()) + 5,
        b"\3" * 32,
        (b"\4",),
    )
    (tmp_path / "journal").mkdir()
    running: Any = Execution(
        plan,
        tmp_path,
        {"alpha": SimpleNamespace(client=Deaf())},
        {"sequencer": SimpleNamespace(client=Decided())},
        None,
    )

    result = await running.finish(resolved)

    assert ("committed", ["unknown"]) == (result.outcome, [found.status for found in result.legs])
    assert "rollnet status" in (result.reason or "")
