"""What chaos asks of nodes: a wall clock that can be set wrong, and mutants; neither without ``ROLLNET_CHAOS``."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import clock
from bridge.wire.configuration import CHAOS_VARIABLE
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import answer_one
from bridge.wire.mutants import MUTANT_VARIABLE, MUTANTS
from orchestrator.chaos.crashes import is_at_boot
from orchestrator.chaos.rules import CLOCK_ROLES
from orchestrator.nodes import node_specs
from orchestrator.topology.load import load_topology
from orchestrator.topology.resolve import make_plan

ROOT = Path(__file__).parents[2]
NODES = ("bridge", "rollup_node", "shared_sequencer")


@pytest.fixture(autouse=True)
def right_time() -> Any:
    """Clocks are right after each test."""
    yield
    clock.skew(0)


@given(offset=st.floats(-clock.MOST_S, clock.MOST_S), now=st.integers(0, 2**33))
def test_a_skewed_clock_is_wrong_by_its_offset_and_right_again(offset: float, now: int) -> None:
    """What a node believes is what the machine says plus the offset."""
    clock.skew(offset)
    assert now + offset == clock.believed(now)
    clock.skew(0)
    assert now == clock.believed(now)


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), 8 * 86400, -8 * 86400, "3", None, True])
async def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, offset: Any) -> None:
    """No number, or far too much: an error of the caller, and the clock stays right."""
    monkeypatch.setenv(CHAOS_VARIABLE, "1")
    with pytest.raises(RpcError):
        await clock.CLOCK_METHODS["rollnet_skewClock"](offset)
    assert 0 == (await clock.CLOCK_METHODS["rollnet_clock"]())["offset_s"]


async def test_no_other_devnet_has_its_clock_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable it is refused, naming what is missing; with it the answer says how wrong the clock is now."""
    monkeypatch.delenv(CHAOS_VARIABLE, raising=False)
    with pytest.raises(RpcError, match=CHAOS_VARIABLE):
        await clock.CLOCK_METHODS["rollnet_skewClock"](30)
    monkeypatch.setenv(CHAOS_VARIABLE, "1")
    assert 30 == (await clock.CLOCK_METHODS["rollnet_skewClock"](30))["offset_s"]


def test_whoever_reads_the_wall_clock_to_decide_reads_the_one_that_can_be_set() -> None:
    """In sequencer and relayer every ``time.time()`` is believed; everywhere else in nodes there is none but the journal's and the clock's own."""
    unbelieved = []
    for package in NODES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "testing" in path.name:
                continue
            tree = ast.parse(path.read_text())
            believed = {
                id(call.args[0])
                for call in ast.walk(tree)
                if isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "believed"
            }
            unbelieved += [
                str(path.relative_to(ROOT))
                for call in ast.walk(tree)
                if isinstance(call, ast.Call)
                and ast.unparse(call) == "time.time()"
                and id(call) not in believed
            ]
    assert [] == unbelieved
    assert {"sequencer", "relayer"} == set(CLOCK_ROLES)


async def test_a_request_that_fails_is_told_in_a_few_lines_without_anybodys_locals(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A full disk fails every request: pretty tracebacks would take the event loop for seconds each, and show keys."""

    async def handler(method: str, params: list[Any]) -> Any:
        private_key = "0x" + "5ec2e7" * 10
        raise OSError(28, f"no space for {method}{params}", private_key[:0])

    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendBundle", "params": []}
    answered = await answer_one(asked, handler)
    assert answered is not None
    assert "internal error" in answered["error"]["message"]
    said = capsys.readouterr().out
    assert "no space for eth_sendBundle" in said
    assert "5ec2e7" not in said
    assert said.count("\n") < 20


def test_every_mutant_is_one_rule_in_the_code() -> None:
    """Each name stands exactly once at a rule that it leaves out, and no call names another."""
    called: list[str] = []
    for package in NODES:
        for path in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Name)
                    and call.func.id == "mutant"
                ):
                    (name,) = call.args
                    assert isinstance(name, ast.Constant)
                    called.append(str(name.value))
    assert sorted(MUTANTS) == sorted(called)


@pytest.mark.parametrize(("chaos", "expected"), [("1", "True"), ("", "False")])
def test_a_mutant_needs_chaos(chaos: str, expected: str) -> None:
    """The variable alone breaks nothing."""
    program = "from bridge.wire.mutants import mutant; print(mutant('forget-waiting'))"
    environment = {MUTANT_VARIABLE: "forget-waiting", CHAOS_VARIABLE: chaos, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert expected == told.stdout.strip()


def test_nodes_of_a_devnet_are_mutants_only_when_it_is_asked_for() -> None:
    """Every node of a mutated devnet has the variable; no other devnet's has."""
    plan = make_plan(load_topology(ROOT / "topologies" / "pair.yaml"))
    mutated = node_specs(plan, "anvil", chaos=True, mutant="forget-waiting")
    assert {"forget-waiting"} == {spec.env.get(MUTANT_VARIABLE) for spec in mutated if spec.role != "links"}
    for specs in (node_specs(plan, "anvil"), node_specs(plan, "anvil", chaos=True)):
        assert not [spec.name for spec in specs if MUTANT_VARIABLE in spec.env]


def test_points_of_a_boot_are_told_from_those_of_running() -> None:
    """A boot's points are ordered by a file before a restart, the others by a call."""
    assert is_at_boot("rollup.boot.replayed")
    assert is_at_boot("sequencer.rollup.greeted")
    assert not is_at_boot("rollup.term.raised")
    assert not is_at_boot("sequencer.slot.decided")
