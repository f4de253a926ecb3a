"""A real run judged as a stored one: twenty bundles a second, a sequencer that dies by SIGKILL, and every checker content."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.checks import (
    CHECKERS,
    CheckResult,
    RunFacts,
    Verdict,
    check_run,
    load_facts,
    observe,
    rebuilt,
    settle,
    worst,
)
from orchestrator.checks.coverage import in_flight
from orchestrator.checks.testing import altered
from orchestrator.checks.testing_breakages import BREAKAGES
from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet
from orchestrator.load.history import FILE_NAME, History, Kind, Result
from orchestrator.load.load import Load
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(90)]

BROKEN = {"a wei from nowhere", "a leg that is missing", "a slot number with two contents"}
"""What is changed in the real run: each must be seen."""
RATE = 20.0
"""Bundles per second."""
SEED = 5
USERS = "accounts: 40\nmarket: {underlying: ETH, spot: 2000, volatility: 0.6}"


def checker_of(name: str) -> Callable[[RunFacts], CheckResult]:
    """A checker by its name."""
    return next(checker.check for checker in CHECKERS if checker.name == name)


async def test_a_run_with_a_dead_sequencer_is_valid(
    module_home: Path, topology_file: Callable[..., Path], rollnet: Rollnet
) -> None:
    """Load, SIGKILL with bundles in flight, restart, drain, observe: valid, with something seen by every checker, again from the disk, and invalid once something in it is otherwise."""
    file = topology_file("checked", extra=USERS)
    async with Devnet.launch(file, state=module_home) as net:
        folder = net.directory.path
        print(f"seed {SEED}, run directory {folder}")  # noqa: T201 - pytest shows it when the test fails
        with History(folder / FILE_NAME) as history:
            async with Load(net, history, rate=RATE, seed=SEED) as load:

                async def busy() -> bool:
                    return load.in_flight >= 4

                async def warm() -> bool:
                    return (await net.sequencer.status())["ended"] > 2 * RATE

                await eventually(warm, 20, "two seconds of load")
                await eventually(busy, 20, "bundles in flight", every_s=0.001)
                await net.node("sequencer").kill()
                await net.node("sequencer").restart()
                await load.run(1.5)
                assert 0 == await load.drain(20)
                assert () == await settle(net, 20)
        observed = await observe(net)
        facts = await rebuilt(load_facts(folder), folder, live=True)

    assert () == observed.missing
    results = {one.name: one for one in check_run(facts)}
    said = {
        name: (one.counterexample, one.notes)
        for name, one in results.items()
        if one.verdict is not Verdict.VALID
    }
    assert {} == said
    assert all(one.seen > 0 for one in results.values())
    (window,) = facts.windows
    assert in_flight(facts, window.begun_ns) >= 1
    assert 40 < len(facts.bundles)
    assert {"committed", "aborted"} <= {one.outcome for one in facts.bundles}
    assert {Kind.TRANSACTION, Kind.BUNDLE} <= {
        one.kind for one in facts.operations if one.result is Result.OK
    }
    waited = [one for one in facts.bundles if one.attempts > 1]
    assert waited  # the outage is seen from the intended time on: who was refused a connection came again
    outage = (window.ended_ns or 0) - window.begun_ns
    assert max(one.latency_ns or 0 for one in waited) > outage / 2

    for breakage in (one for one in BREAKAGES if one.name in BROKEN):
        broken = checker_of(breakage.checker)(altered(facts, breakage.apply))
        assert (breakage.name, Verdict.INVALID) == (breakage.name, broken.verdict)

    again = await rollnet("check", str(folder), "--no-replay", "--json")
    assert (0, "valid") == (again.code, json.loads(again.out)["verdict"])
    assert Verdict.VALID == worst(one.verdict for one in results.values())
