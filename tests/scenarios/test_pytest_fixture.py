"""The ``devnet`` fixture as strangers use it: a devnet per test, gone afterwards, its run directory kept when the test failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.devnet import Devnet
from orchestrator.runtimes.orphans import marked_processes
from orchestrator.strategies import presets

pytestmark = pytest.mark.process

SUITE = """
import pytest

TOPOLOGY = "{topology}"


@pytest.mark.topology(TOPOLOGY)
async def test_good(devnet):
    assert (await devnet.rollup("alpha").height()) >= 0


@pytest.mark.topology(TOPOLOGY)
async def test_bad(devnet):
    print("home", devnet.directory.path)
    assert "a stranger's" == "mistake"
"""


@pytest.mark.topology("topologies/pair.yaml")
async def test_a_strategy_runs_on_a_fresh_devnet(devnet: Devnet) -> None:
    """The documented example: marker, fixture, one strategy, committed."""
    assert devnet.plan.market is not None
    result = await devnet.run(presets.build("vertical", devnet.plan.market))
    assert ("committed", ["executed"] * 2) == (result.outcome, [leg.status for leg in result.legs])
    assert 0 < result.latency_ms["end_to_end"] < 10_000


def test_a_failing_test_keeps_its_run_directory_and_no_process(tmp_path: Path, repository: Path) -> None:
    """In a stranger's suite: the failing test's journals are there and named, the passing one's are not, and nothing runs."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_strangers.py").write_text(
        SUITE.format(topology=repository / "topologies" / "solo.yaml")
    )
    base = tmp_path / "base"
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, f"--basetemp={base}", str(tmp_path / "suite")],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "run directories kept in" in ran.stdout
    journals = {path.resolve() for path in base.glob("*/rollnet/runs/solo/*/journal/alpha.jsonl")}
    assert ["test_bad0"] == [path.relative_to(base).parts[0] for path in journals]
    assert [] == [str(process) for process in marked_processes() if process.home.startswith(str(base))]
