"""Crash points: the table and the code name the same ones, arming is exact, and a crash ends the process on the spot, once."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import orjson
import pytest

from bridge.wire import crash_points
from bridge.wire.configuration import CHAOS_VARIABLE
from bridge.wire.crash_points import (
    CRASH_EVENT,
    CRASH_FILE,
    CRASH_POINTS,
    CRASH_VARIABLE,
    DONE_FILE,
    EXIT_CRASHED,
    CrashPoint,
    UnknownCrashPoint,
    arm,
    arm_at_boot,
    armed,
    crash_order,
    crash_point,
    crash_within,
    reset,
)
from bridge.wire.errors import METHOD_NOT_SUPPORTED, RpcError
from orchestrator.cli.testing import within
from orchestrator.crash_reference import REFERENCE_FILE, crash_points_page

SOURCES = ("bridge", "rollup_node", "shared_sequencer")
POINT, OTHER = "sequencer.slot.staged", "sequencer.slot.decided"
CHAOS = {CHAOS_VARIABLE: "1"}


class Crashed(Exception):  # noqa: N818 - stands for the end of a process
    """Instead of an exit."""


@pytest.fixture(autouse=True)
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Crashes raise, and are listed; nothing stays armed."""
    found: list[str] = []

    def crash(point: CrashPoint) -> None:
        found.append(point.name)
        raise Crashed(point.name)

    monkeypatch.setattr(crash_points, "on_crash", crash)
    yield found
    reset()


@cache
def calls(root: Path) -> tuple[tuple[Path, int, str], ...]:
    """Every call of a crash point in nodes' code: file, line, and the point, which is a literal."""
    found = []
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            if path.name == "crash_points.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                    "crash_point",
                    "crash_within",
                ):
                    name = node.args[0]
                    assert isinstance(name, ast.Constant), f"{path}:{node.lineno} names no literal"
                    found.append((path.relative_to(root), node.lineno, str(name.value)))
    return tuple(found)


def test_the_table_and_the_code_name_the_same_points(repository: Path) -> None:
    """Each call names its point literally, each point of the table is called at one place, and no other is."""
    assert sorted(CRASH_POINTS) == sorted(name for _, _, name in calls(repository))


def test_the_table_says_where_each_point_is(repository: Path) -> None:
    """The place of a row is the module, and the function within it, that has the call."""
    found = {}
    for path, line, name in calls(repository):
        tree = ast.parse((repository / path).read_text())
        around = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.lineno <= line <= (node.end_lineno or 0)
        ]
        found[name] = ".".join([*path.with_suffix("").parts, *around])
    assert {name: point.place for name, point in CRASH_POINTS.items()} == found


def test_only_nodes_of_a_points_roles_can_pass_it(repository: Path) -> None:
    """A point lies in the package of its role; what both rollup nodes and the relayer pass lies in what they share."""
    homes: dict[tuple[str, ...], str] = {
        ("sequencer",): "shared_sequencer",
        ("rollup",): "rollup_node",
        ("relayer",): "bridge/relayer",
    }
    for path, line, name in calls(repository):
        home = homes.get(CRASH_POINTS[name].roles, "bridge/l1")
        assert str(path).startswith(home), f"{name} in {path}:{line}"


def test_only_rollups_with_a_points_engine_can_pass_it(repository: Path) -> None:
    """A point lies in the package of its engine; outside of them only what a node does for EVM users alone has one."""
    homes = {
        name: path.parts[2]
        for path, _, name in calls(repository)
        if path.is_relative_to("rollup_node/engines")
    }
    assert {"evm", "options"} == set(homes.values())
    assert homes | {"rollup.control.done": "evm"} == {
        name: point.engine for name, point in CRASH_POINTS.items() if point.engine
    }


def test_the_reference_page_is_that_of_the_table(repository: Path) -> None:
    """Whoever changes the table runs ``python -m orchestrator.crash_reference``."""
    assert crash_points_page() == (repository / REFERENCE_FILE).read_text()


async def test_the_command_lists_the_table(tmp_path: Path) -> None:
    """As JSON all of it; as text each name with what must hold; those of one role on request, and no role that has none."""
    listed = await within(tmp_path, "chaos", "points", "--json")
    assert orjson.loads(orjson.dumps(list(CRASH_POINTS.values()))) == listed.json
    text = (await within(tmp_path, "chaos", "points", "--role", "relayer")).out
    shown = [point for point in CRASH_POINTS.values() if "relayer" in point.roles]
    assert all(point.name in text and point.holds in text for point in shown)
    assert "sequencer.wal" not in text
    text = (await within(tmp_path, "chaos", "points", "--role", "rollup")).out
    parts = re.split(r"^(\w.*)\n", text, flags=re.MULTILINE)[1:]
    told = {name: title for title, part in zip(parts[::2], parts[1::2], strict=True) for name in part.split()}
    for engine, point in (("evm", "rollup.engine.mined"), ("options", "options.archive.torn")):
        assert f"{engine} rollup" == told[point]
    assert "rollup" == told["rollup.block.torn"]
    assert 2 == (await within(tmp_path, "chaos", "points", "--role", "maker")).code


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_counted_passage_crashes_and_no_other(crashes: list[str], count: int) -> None:
    """Passages before it, passages of other points, and those after it do nothing."""
    crash_point(POINT)
    arm(POINT, count)
    for _ in range(count - 1):
        crash_point(POINT)
        crash_point(OTHER)
    assert [] == crashes
    with pytest.raises(Crashed):
        crash_point(POINT)
    crash_point(POINT)
    assert [POINT] == crashes
    assert {} == armed()


def test_a_write_is_torn_in_its_middle() -> None:
    """Unarmed nothing is written; armed the first half is, before the crash."""
    written: list[bytes] = []
    crash_within("sequencer.wal.torn", written.append, b"abcdefg")
    assert [] == written
    arm("sequencer.wal.torn")
    with pytest.raises(Crashed):
        crash_within("sequencer.wal.torn", written.append, b"abcdefg")
    assert [b"abc"] == written


@pytest.mark.parametrize(
    ("name", "count"), [("sequencer.slot.nowhere", 1), (POINT, 0), (POINT, -1), (POINT, True)]
)
def test_what_cannot_be_armed_is_refused(name: str, count: int) -> None:
    """Unknown names and counts that are none; nothing is armed then."""
    with pytest.raises(UnknownCrashPoint):
        arm(name, count)
    assert {} == armed()


async def test_an_order_needs_a_devnet_of_chaos_and_a_node_of_its_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused without the variable, at the wrong role or engine, for an unknown point; armed otherwise."""
    monkeypatch.delenv(CHAOS_VARIABLE, raising=False)
    with pytest.raises(RpcError, match="takes no crash orders") as refused:
        await crash_order("sequencer")(POINT)
    assert METHOD_NOT_SUPPORTED == refused.value.code
    monkeypatch.setenv(CHAOS_VARIABLE, "1")
    for role, point, count, said in (
        ("rollup", POINT, 1, "is a point of sequencer nodes, this is a rollup"),
        ("sequencer", "nowhere", 1, "no crash point"),
        ("sequencer", POINT, "2", "whole number"),
        (
            "options rollup",
            "rollup.engine.mining",
            1,
            "is a point of evm rollup nodes, this is an options rollup",
        ),
        (
            "options rollup",
            "rollup.control.done",
            1,
            "is a point of evm rollup nodes, this is an options rollup",
        ),
        ("options rollup", POINT, 1, "is a point of sequencer nodes, this is an options rollup"),
        (
            "evm rollup",
            "options.archive.torn",
            1,
            "is a point of options rollup nodes, this is an evm rollup",
        ),
        ("relayer", "options.archive.torn", 1, "is a point of options rollup nodes, this is a relayer"),
    ):
        with pytest.raises(RpcError, match=said):
            await crash_order(*reversed(role.split()))(point, count)
    assert {} == armed()
    assert {"point": POINT, "count": 2} == await crash_order("sequencer")(POINT, 2)
    assert {POINT: 2} == armed()
    for engine, point in (("evm", "rollup.engine.mined"), ("options", "options.archive.torn")):
        for met in (point, "rollup.block.torn", "account.sent"):
            assert {"point": met, "count": 1} == await crash_order("rollup", engine)(met)


def test_the_file_counts_once(tmp_path: Path) -> None:
    """It is gone before what it orders can happen, so that the next life starts."""
    (tmp_path / CRASH_FILE).write_text(f"{POINT}:2\n")
    arm_at_boot(tmp_path, CHAOS)
    assert {POINT: 2} == armed()
    assert [] == list(tmp_path.iterdir())
    reset()
    arm_at_boot(tmp_path, CHAOS)
    assert {} == armed()


def test_the_variable_counts_until_it_was_carried_out(tmp_path: Path) -> None:
    """A life that ends otherwise leaves the order standing; one that crashes by it, and only that, uses it up."""
    order = {**CHAOS, CRASH_VARIABLE: POINT}
    for _ in range(2):
        arm_at_boot(tmp_path, order)
        assert {POINT: 1} == armed()
    with pytest.raises(Crashed):
        crash_point(POINT)
    assert POINT == (tmp_path / DONE_FILE).read_text()
    arm_at_boot(tmp_path, order)
    assert {} == armed()
    arm_at_boot(tmp_path, {**CHAOS, CRASH_VARIABLE: OTHER})
    assert {OTHER: 1} == armed()


@pytest.mark.parametrize("text", ["nowhere", f"{POINT}:", f"{POINT}:0", f"{POINT}:-1", f"{POINT}:x"])
def test_a_wrong_order_at_boot_stops_the_node(tmp_path: Path, text: str) -> None:
    """Whoever asked for a fault that can't be must not believe that it was injected."""
    with pytest.raises(SystemExit):
        arm_at_boot(tmp_path, {**CHAOS, CRASH_VARIABLE: text})
    (tmp_path / CRASH_FILE).write_text(text)
    with pytest.raises(SystemExit):
        arm_at_boot(tmp_path, CHAOS)


def test_a_node_that_is_not_for_chaos_says_so(tmp_path: Path) -> None:
    """An order of either form stops it."""
    with pytest.raises(SystemExit, match=CHAOS_VARIABLE):
        arm_at_boot(tmp_path, {CRASH_VARIABLE: POINT})
    (tmp_path / CRASH_FILE).write_text(POINT)
    with pytest.raises(SystemExit, match=CHAOS_VARIABLE):
        arm_at_boot(tmp_path, {})


DYING = """
import atexit, sys
from pathlib import Path
from bridge.wire.crash_points import arm_at_boot, crash_point
atexit.register(print, "clean-up ran")
arm_at_boot(Path(sys.argv[1]))
with open(sys.argv[1] + "/unflushed", "w") as file:
    file.write("in a buffer")
    try:
        crash_point("sequencer.slot.staged")
    finally:
        print("finally ran")
"""


def test_a_crash_is_the_end_on_the_spot(tmp_path: Path) -> None:
    """Exit code 137, one line that names the point, no handler, no ``finally``, no flush; the next life is as if nothing was ordered."""
    environment = {**CHAOS, CRASH_VARIABLE: POINT, "PATH": "/usr/bin"}

    def life() -> "subprocess.CompletedProcess[bytes]":
        command = (sys.executable, "-c", DYING, str(tmp_path))
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30)

    first, second = life(), life()
    assert (EXIT_CRASHED, b"") == (first.returncode, first.stdout)
    assert {"event": CRASH_EVENT, "point": POINT} == {
        name: value for name, value in orjson.loads(first.stderr).items() if name in ("event", "point")
    }
    assert 0 == second.returncode
    assert b"finally ran\nclean-up ran\n" == second.stdout
