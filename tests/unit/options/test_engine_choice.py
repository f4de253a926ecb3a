"""A rollup's kind says which engine it has, and a node pays for that one alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from rollup_node.engines.choice import AnvilPlace, open_engine
from rollup_node.engines.options.testing import genesis_bytes
from rollup_node.engines.options.transition.testing import START, Desk


async def test_an_options_rollup_needs_nothing_but_its_genesis(tmp_path: Path) -> None:
    """No binary and no port: it starts, and ends when it is told to."""
    path = tmp_path / "genesis.json"
    path.write_bytes(genesis_bytes(Desk()))
    engine = open_engine("options", path, tmp_path, AnvilPlace("/no/such/binary", 0, 901, 0))
    head = await engine.start()
    assert (0, START) == (head.number, head.timestamp)
    await engine.stop()
    assert 0 == await engine.ended()


@pytest.mark.parametrize("module", ["rollup_node.engines.choice", "rollup_node.engines.evm"])
def test_nodes_of_evm_rollups_load_nothing_of_the_options_engine(module: str) -> None:
    """What it stands on takes a tenth of a second to load."""
    program = f"import sys, {module}; print([name for name in ('numpy', 'sortedcontainers') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "[]" == run.stdout.strip()
