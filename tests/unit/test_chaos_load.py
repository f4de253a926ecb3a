"""The load of a scenario: what can't be made is noted and told, and nobody sends on once nobody waits any more."""

import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bridge.wire.errors import PeerUnreachable
from orchestrator.load.following import Nonces
from orchestrator.load.history import FILE_NAME, History, Kind, Result, read_history
from orchestrator.load.lanes import Lane
from orchestrator.load.load import Load
from orchestrator.load.schedule import Work
from orchestrator.load.sending import submit
from orchestrator.market.board import Board
from orchestrator.market.testing import example_plan
from orchestrator.topology.sequencing import sequencing_sets


async def test_a_strategy_that_cannot_be_made_is_in_the_run_with_its_reason(tmp_path: Path) -> None:
    """A maker that quotes nothing: the operation is noted as certainly without effect, counted by its reason, and its lane stays as it was."""
    plan = example_plan(("alpha", "beta"), users=12)
    net: Any = SimpleNamespace(plan=plan, rollups={"alpha": None, "beta": None}, sequencers={}, journal=None)
    with History(tmp_path / FILE_NAME) as history:
        load = Load(net, history, rate=1.0)
        load._boards.known = {name: Board(()) for name in net.rollups}
        (one,) = sequencing_sets(plan)
        step = load._bundle(Work.STRATEGY, one)
        lane = Lane(plan.users[0], ("alpha", "beta"), {"alpha": 3, "beta": 4})
        assert Nonces.FREE is await step(lane, random.Random(1), time.monotonic_ns())
    (noted,) = read_history(tmp_path / FILE_NAME).operations
    ((reason, count),) = load.unmade.items()
    assert (Kind.BUNDLE, Result.FAIL, 1) == (noted.kind, noted.result, count)
    assert f"never sent: {reason}" == noted.reason
    assert {"alpha": 3, "beta": 4} == lane.nonces


async def test_nobody_sends_again_once_nobody_waits() -> None:
    """A drain that is cut short ends what is still being sent, however long it might have been tried."""
    tried = 0

    async def call() -> None:
        nonlocal tried
        tried += 1
        raise PeerUnreachable("it is gone")

    began = time.monotonic()
    sent = await submit(call, until=began + 60, over=lambda: tried >= 3)
    assert (False, 3, True) == (sent.acknowledged, tried, time.monotonic() - began < 30)
