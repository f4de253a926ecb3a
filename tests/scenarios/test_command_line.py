"""The command line as scripts see it: exit codes, JSON documents, words instead of tracebacks, and nothing left behind."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import typer
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.cli.testing import COMMAND_S, Rollnet, Said, started
from orchestrator.registry import Registry
from orchestrator.runtimes.orphans import marked_processes
from orchestrator.runtimes.takedown import take_down

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

NET = "cli"


def left(home: Path) -> list[str]:
    """Processes and registrations of a state home."""
    processes = [str(process) for process in marked_processes() if process.home == str(home)]
    return processes + [entry.name for entry in Registry(home).entries()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def described(rollnet: Rollnet, module_home: Path) -> AsyncIterator[dict[str, Any]]:
    """A devnet in the background, and what ``up --detach --json`` said of it."""
    said = await rollnet("up", "topologies/pair.yaml", "--name", NET, "--detach", "--json")
    try:
        assert 0 == said.code, said
        yield said.json
    finally:
        await take_down(Registry(module_home), NET)


async def test_up_describes_the_devnet(described: dict[str, Any]) -> None:
    """The document has exactly the promised keys, and the run directory holds the same document."""
    assert {"name", "run_dir", "ready_s", "runtime", "endpoints", "accounts"} == set(described)
    endpoints = described["endpoints"]
    assert {"l1", "sequencer", "sequencers", "relayer", "rollups"} == set(endpoints)
    assert ({"http", "ws"}, {"http"}) == (set(endpoints["l1"]), set(endpoints["sequencer"]))
    assert {"sequencer": endpoints["sequencer"]} == endpoints["sequencers"]
    assert {name: {"chain_id", "engine", "http", "ws"} for name in ("alpha", "beta")} == {
        name: set(rollup) for name, rollup in endpoints["rollups"].items()
    }
    assert {"address", "private_key"} == set(described["accounts"][0])
    assert NET == described["name"]
    assert described == orjson.loads((Path(described["run_dir"]) / "devnet.json").read_bytes())


async def traced_to_its_end(inside: Rollnet, digest: str) -> Said:
    """The trace of a message once nothing of it is awaited any more: publication follows the decision by a block of L1."""
    async with asyncio.timeout(COMMAND_S):
        while (said := await inside("trace", digest, "--json")).code == 0 and said.json["awaited"]:
            pass
    return said


async def test_a_committed_strategy_and_its_trace(
    described: dict[str, Any], rollnet: Rollnet, inside: Rollnet
) -> None:
    """Exit 0; the hash, a beginning of it and ``bundle`` all lead to the same message; an unknown one is an error in words."""
    said = await rollnet("strategy", "run", "vertical", "--set", "quantity=0.5", "--json")
    assert (0, "committed") == (said.code, said.json["outcome"]), said
    assert ["executed"] * 2 == [leg["status"] for leg in said.json["legs"]]
    digest = said.json["bundle_hash"]
    whole = await traced_to_its_end(inside, digest)
    short = await inside("trace", digest[:10], "--json")
    bundle = await inside("bundle", digest, "--json")
    unknown = await inside("trace", "0x" + "12" * 32, "--json")
    human = await rollnet("trace", digest)
    gone = await inside("bundle", "0x" + "12" * 32, "--json")
    assert (0, 0, 0, 0) == (whole.code, short.code, bundle.code, human.code)
    assert whole.json == short.json
    assert ("committed", digest) == (bundle.json["status"], bundle.json["hash"])
    assert digest[:10] in human.out
    assert (2, {"error"}) == (unknown.code, set(unknown.json))
    assert (1, True) == (gone.code, "never acknowledged" in gone.json["error"]["message"])


async def test_an_aborted_strategy_says_which_leg_and_why(
    described: dict[str, Any], rollnet: Rollnet
) -> None:
    """Exit 1 with the decoded revert; nothing executed."""
    said = await rollnet("strategy", "run", "vertical", "--limit", "0=0.01", "--account", "1", "--json")
    assert (1, "aborted") == (said.code, said.json["outcome"]), said
    assert said.json["reason"].startswith("leg 0 on alpha: LimitExceeded(")
    assert ["reverted"] * 2 == [leg["status"] for leg in said.json["legs"]]


async def test_strategy_files_run(described: dict[str, Any], rollnet: Rollnet, repository: Path) -> None:
    """Every strategy file that we ship commits on the quick-start devnet."""
    files = sorted((repository / "topologies" / "strategies").glob("*.yaml"))
    assert files
    results = await asyncio.gather(
        *(
            rollnet("strategy", "run", str(file), "--account", str(2 + index), "--json")
            for index, file in enumerate(files)
        )
    )
    assert [(0, "committed")] * len(files) == [(said.code, said.json["outcome"]) for said in results]


async def test_nodes_are_operated_by_name(
    described: dict[str, Any], rollnet: Rollnet, inside: Rollnet
) -> None:
    """kill, restart, pause and resume answer with the new state, ``status`` and ``logs`` show it, a typo gets a suggestion."""
    states = []
    for operation, node in (("pause", "beta"), ("resume", "beta"), ("kill", "beta"), ("restart", "beta")):
        said = await rollnet("node", operation, node, "--json")
        assert 0 == said.code, said
        assert {"node", "operation", "state", "boot", "pid", "container"} == set(said.json)
        states.append((said.json["state"], said.json["boot"]))
    assert [("paused", 1), ("ready", 1), ("killed", 1), ("ready", 2)] == states
    status = await inside("status", NET, "--json")
    logs = await inside("logs", "beta", "--json")
    typo = await inside("node", "kill", "betta", "--json")
    (devnet,) = status.json["devnets"]
    assert {"l1": 1, "sequencer": 1, "alpha": 1, "beta": 2, "relayer": 1, "maker": 1} == {
        node["name"]: node["boot"] for node in devnet["nodes"]
    }
    assert ("running", {"ready"}) == (devnet["state"], {node["state"] for node in devnet["nodes"]})
    assert any("node.ready" in line for line in logs.json["lines"])
    assert (1, True) == (typo.code, "did you mean 'beta'?" in typo.json["error"]["hint"])


async def test_without_a_sequencer_the_end_is_unknown(described: dict[str, Any], rollnet: Rollnet) -> None:
    """Exit 2, said as such, while the sequencer is dead; after its restart the same command commits."""
    assert 0 == (await rollnet("node", "kill", "sequencer")).code
    try:
        said = await rollnet("strategy", "run", "straddle", "--json")
    finally:
        assert 0 == (await rollnet("node", "restart", "sequencer")).code
    assert (2, "unknown") == (said.code, said.json["outcome"]), said
    again = await rollnet("strategy", "run", "straddle", "--json")
    assert (0, "committed") == (again.code, again.json["outcome"]), again


async def test_wrong_names_get_hints(described: dict[str, Any], rollnet: Rollnet, inside: Rollnet) -> None:
    """Unknown nets, presets, parameters, accounts and files end with a sentence and what there is instead."""
    wrong = {
        ("strategy", "run", "vertical", "--net", "nope"): (1, "running: cli"),
        ("strategy", "run", "verticle"): (2, "vertical"),
        ("strategy", "run", "vertical", "--set", "with=1"): (2, "width"),
        ("strategy", "run", "vertical", "--account", "999"): (2, "accounts go from 0"),
        ("status", "nope"): (1, "cli"),
        ("report", "nope"): (1, "rollnet status"),
        ("logs", "nope"): (1, "alpha"),
        ("up", "topologies/nope.yaml", "--detach"): (2, "no such file"),
        ("up", "topologies/pair.yaml", "--name", NET, "--detach"): (1, "rollnet down cli"),
        ("up", "topologies/pair.yaml", "--name", NET): (1, "rollnet down cli"),
    }
    for arguments, (code, words) in wrong.items():
        run = rollnet if arguments[0] == "up" else inside
        said = await run(*arguments)
        assert (code, True) == (said.code, words in said.err), (arguments, said)


async def test_two_devnets_side_by_side(
    described: dict[str, Any], rollnet: Rollnet, topology_file: Callable[..., Path]
) -> None:
    """A second one is independent, and says that it holds no limits; without --net a command asks which; down takes what was named."""
    limited = topology_file("limited", ("alpha",), "resources: {memory: 1GiB, nodes: {l1: {cpus: 1}}}")
    other = await rollnet("up", str(limited), "--name", "other", "--detach", "--json")
    assert 0 == other.code, other
    assert {
        "kind": "process",
        "why": "$ROLLNET_RUNTIME asks for it",
        "limits_not_held": ["l1", "sequencer", "alpha", "relayer"],
    } == other.json["runtime"]
    assert (1, 1) == (other.err.count("runtime: process, "), other.err.count("limits are not held"))
    which, status = await asyncio.gather(rollnet("strategy", "run", "vertical"), rollnet("status", "--json"))
    assert (1, True) == (which.code, "--net" in which.err)
    assert {NET, "other"} == {devnet["name"] for devnet in status.json["devnets"]}
    down = await rollnet("down", "other", "--json")
    assert {"name": "other", "was_running": True, "left_behind": []} == down.json
    assert 0 == (await rollnet("strategy", "run", "strangle", "--account", "6")).code


async def test_report_and_down_twice(described: dict[str, Any], rollnet: Rollnet, module_home: Path) -> None:
    """A report while it runs and one after; down leaves nothing and may be said again, with the name and without."""
    running = await rollnet("report", NET, "--json")
    assert (0, 0) == (running.code, running.json["violations_total"])
    downs = [await rollnet(*command, "--json") for command in (("down", NET), ("down", NET), ("down",))]
    assert [(0, [])] * 3 == [(said.code, said.json["left_behind"]) for said in downs]
    assert [True, False, False] == [said.json["was_running"] for said in downs]
    assert [] == left(module_home)
    finished = await rollnet("report", described["run_dir"], "--json")
    assert running.json["outcomes"] == finished.json["outcomes"]
    assert (Path(described["run_dir"]) / "report.md").stat().st_size > 0
    assert 0 == (await rollnet("report", "pair", "--json")).code


async def test_gc_after_a_supervisor_was_killed(rollnet: Rollnet, module_home: Path) -> None:
    """kill -9 of the supervisor takes its nodes along; status says crashed, gc sweeps, the name is free again."""
    assert 0 == (await rollnet("up", "topologies/solo.yaml", "--detach")).code
    entry = Registry(module_home).find("solo")
    assert entry is not None
    os.kill(entry.supervisor.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        # the guard is no child of ours: its work can only be watched
        while any(process.home == str(module_home) for process in marked_processes()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    status = await rollnet("status", "--json")
    assert ["crashed"] == [devnet["state"] for devnet in status.json["devnets"]]
    asked = await rollnet("node", "kill", "alpha", "--net", "solo")
    assert (1, True) == (asked.code, "rollnet gc" in asked.err)
    swept = await rollnet("gc", "--json")
    assert ["solo"] == swept.json["devnets"]
    assert [] == left(module_home)


@pytest.mark.parametrize("after", ["0.35", "0.6", "1.0", "ready"])
async def test_interrupting_up_leaves_nothing(after: str, module_home: Path, repository: Path) -> None:
    """Ctrl-C at any moment of ``up``, also while nodes are starting: it ends by itself, quickly, and nothing is left."""
    async with started(module_home, repository, "up", "topologies/solo.yaml", "--json") as process:
        assert process.stdout is not None
        if after == "ready":
            assert "solo" == orjson.loads(await process.stdout.readline())["name"]
        else:
            await asyncio.sleep(float(after))  # the moment is the test
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            _, err = await process.communicate()
    assert "Traceback" not in err.decode()
    assert process.returncode in ((0, 130) if after == "ready" else (130, -signal.SIGINT)), err.decode()
    assert [] == left(module_home)


async def test_a_broken_topology_lists_everything_and_starts_nothing(
    rollnet: Rollnet, inside: Rollnet, module_home: Path, tmp_path: Path
) -> None:
    """validate and up report every problem with its line, exit 2, and no run directory is made."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: Broken!\nrollups:\n  alpha: {engin: evm}\nl1: {block_time: 5}\nslots: 3\n")
    runs = sorted((module_home / "runs").glob("*/*"))
    validate = await inside("topology", "validate", str(broken), "topologies/pair.yaml", "--json")
    up, detached = await asyncio.gather(
        rollnet("up", str(broken)), rollnet("up", str(broken), "--detach", "--json")
    )
    assert (2, 2, 2) == (validate.code, up.code, detached.code)
    files = validate.json["files"]
    assert [False, True] == [file["valid"] for file in files]
    assert [1, 3, 4, 5] == sorted(problem["line"] for problem in files[0]["problems"])
    for said in (up.err, detached.err):
        assert 4 == len(re.findall(r"broken\.yaml:\d+:\d+:", said)), said
    assert runs == sorted((module_home / "runs").glob("*/*"))


async def test_every_command_explains_itself() -> None:
    """--help works for every command in the tree, and every one that does something shows an example."""
    runner = CliRunner()
    tree: Any = typer.main.get_command(app)
    seen = []

    def explain(command: Any, path: list[str]) -> None:
        said = runner.invoke(app, [*path, "--help"], prog_name="rollnet")
        assert 0 == said.exit_code, (path, said.output)
        members = command.list_commands(None) if hasattr(command, "list_commands") else []
        assert members or "Example: rollnet" in " ".join(said.output.split()), path
        seen.append(" ".join(path))
        for name in members:
            explain(command.get_command(None, name), [*path, name])

    explain(tree, [])
    assert {"", "up", "node kill", "strategy run", "topology validate", "gc"} <= set(seen)
