"""pytest fixtures: a fresh devnet per test, gone afterwards.

::

    @pytest.mark.topology("topologies/pair.yaml")
    async def test_something(devnet):
        result = await devnet.run(presets.build("vertical", devnet.plan.market))
        assert result.outcome == "committed"

Needs pytest-asyncio. Nodes are processes, unless the topology or ``$ROLLNET_RUNTIME`` asks for Docker. Each devnet has a
state home of its own, so tests run side by side; when a test fails, its run directory is kept and named in the test's report.
"""

import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from orchestrator.devnet import Devnet
from orchestrator.runtimes.choice import processes_unless_said
from orchestrator.topology.load import load_topology

DEFAULT_TOPOLOGY = "topologies/pair.yaml"
_REPORTS = pytest.StashKey[dict[str, pytest.TestReport]]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "topology(path): topology file of the `devnet` fixture")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test went, for the fixture's clean-up."""
    report = yield
    item.stash.setdefault(_REPORTS, {})[report.when or ""] = report
    return report


@pytest.fixture
def devnet_home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """State home of this test's devnets; removed unless the test failed."""
    home = tmp_path / "rollnet"
    yield home
    reports = request.node.stash.get(_REPORTS, {})
    failed = any(report.failed for report in reports.values())
    if failed:
        request.node.add_report_section("teardown", "rollnet", f"run directories kept in {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)


@pytest_asyncio.fixture
async def devnet(request: pytest.FixtureRequest, devnet_home: Path) -> AsyncIterator[Devnet]:
    """A running devnet of the topology that the test's ``topology`` marker names."""
    marker = request.node.get_closest_marker("topology")
    topology = Path(marker.args[0] if marker else DEFAULT_TOPOLOGY)
    if not topology.is_absolute():
        topology = request.config.rootpath / topology
    runtime = processes_unless_said(load_topology(topology).runtime)
    async with Devnet.launch(topology, state=devnet_home, runtime=runtime) as net:
        yield net
