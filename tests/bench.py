"""What good looks like, in numbers: ``make bench``. Ratios side by side in one run; never a timed test.

Prints one row per mark of the design with what was measured on this machine now, and writes ``bench.json``. Latencies come from
the journals of an open-loop run: the schedule is fixed beforehand and a bundle's latency counts from when it was due, so a
stall shows in every bundle that was due during it.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bench_options

from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.stages import Stage
from orchestrator.chains import ChainReads
from orchestrator.devnet import Devnet
from orchestrator.node_handles import LocalNodes
from orchestrator.runtimes.docker.testing import REQUIRE_VARIABLE
from orchestrator.strategies import presets
from orchestrator.strategies.resolve import ResolvedStrategy, resolve
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.tracing import Outcome, analyse, load_traces
from orchestrator.tracing.percentiles import summarize
from orchestrator.waiting import eventually

ROOT = Path(__file__).parents[1]
QUAD = ROOT / "topologies" / "condor-quad.yaml"
RATE = 20.0
"""Bundles per second."""
BUNDLES = 1_200
"""Enough for a p99."""
UPS = 5
READS = 3_000
CALLS = 4_000
"""Of each kind, one after the other, on a link and past it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured mark."""

    what: str
    measured: str
    first_mark: str
    aim: str
    reached: bool


class PlannedReads:
    """Boards read once, nonces counted here: signs a whole schedule without asking the chain again."""

    def __init__(self, reads: ChainReads) -> None:
        self._reads = reads
        self._boards: dict[tuple[str, str, bytes], bytes] = {}
        self._nonces: dict[tuple[str, str], int] = {}

    async def nonce(self, rollup: str, address: str) -> int:
        """The next one of this schedule."""
        key = (rollup, address)
        if key not in self._nonces:
            self._nonces[key] = await self._reads.nonce(rollup, address)
        self._nonces[key] += 1
        return self._nonces[key] - 1

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """The first answer, again and again."""
        key = (rollup, to, data)
        if key not in self._boards:
            self._boards[key] = await self._reads.call(rollup, to, data)
        return self._boards[key]

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """What options rollups answer, as it is."""
        return await self._reads.ask(rollup, method, *params)


def main() -> None:
    """Measure everything and print the table."""
    rows = [*options_engine(), *bring_up_and_down(), *on_docker()]
    plan = make_plan(load_topology(QUAD))
    for slot_s, marks in ((0.2, ((200, 400), (120, 230))), (0.02, ((80, 200), (30, 60)))):
        quick = replace(plan, messaging=replace(plan.messaging, slot_s=slot_s))
        rows += asyncio.run(latency(quick, marks))
    rows += asyncio.run(steady(plan))
    rows += asyncio.run(over_a_link())
    for row in rows:
        flag = "reached" if row.reached else "MISSED "
        print(f"{flag}  {row.what:66} {row.measured:>16}   first mark {row.first_mark:>9}, aim {row.aim}")
    (ROOT / "build").mkdir(exist_ok=True)
    found = [{name: getattr(row, name) for name in Row.__slots__} for row in rows]
    (ROOT / "build" / "bench.json").write_text(json.dumps(found, indent=2) + "\n")


def options_engine() -> list[Row]:
    """The options engine alone: seconds of one core's time, each the best of its rounds, without nodes and network."""
    book = bench_options.book_operations()
    trades, known, both = bench_options.margined_trades()
    liquidation_ms = bench_options.liquidation_ms()
    scan_ms, greeks_ms = bench_options.scan_ms(), bench_options.greeks_ms()
    margins, pair_us, hash_us = (
        bench_options.margins_us(), bench_options.black76_us(), bench_options.keccak_us()[0]
    )  # fmt: skip
    undo_us, book_ms, state_ms = (
        bench_options.book_undo_us(), bench_options.book_root_ms(), bench_options.state_root_ms()
    )  # fmt: skip

    def per_s(what: str, measured: float, first: int, aim: int) -> Row:
        return Row(what, f"{measured:,.0f}/s", f"{first:,}/s", f"{aim:,}/s", measured >= first)

    def at_most(what: str, measured: float, unit: str, first: float, aim: float) -> Row:
        return Row(what, f"{measured:.2f} {unit}", f"{first:g} {unit}", f"{aim:g} {unit}", measured <= first)

    return [
        per_s(
            f"book operations, a block can be undone (50,000 changes: {book.many_blocks:,.0f}/s; "
            f"Python's own collector: {book.default:,.0f}/s)",
            book.block, 900_000, 1_000_000,
        ),
        Row(
            "book operations, as a share of a bare SortedDict without checks, accounts, undo",
            f"{book.block / book.bare:.2f}",
            "0.8",
            "0.9",
            book.block >= 0.8 * book.bare,
        ),
        per_s(
            f"margined trades: a signed order takes one that rests (one signed just before: {both:,.0f}/s)",
            trades, 5_000, 12_000,
        ),
        per_s("margined trades, signatures recovered before (a later round of staging)", known, 5_000, 12_000),
        *(
            at_most(
                f"who is liquidated of 10,000 {mode.name.lower()} accounts, 500 changed since (all new: {one.cold:.1f} ms)",
                one.steady, "ms", first, 10,
            )
            for (mode, one), first in zip(sorted(liquidation_ms.items()), (15, 12), strict=True)
        ),
        at_most("margin of 10,000 accounts in 64 series, the scan by itself", scan_ms, "ms", 15, 10),
        at_most("price and five Greeks of 100,000 options", greeks_ms, "ms", 20, 10),
        at_most(f"portfolio margin of 16 positions (4: {margins[4]:.1f}, 32: {margins[32]:.1f} µs)", margins[16], "µs", 25, 15),
        at_most("integer Black-76: call, put, delta", pair_us, "µs", 20, 15),
        at_most("keccak-256 of 64 bytes", hash_us, "µs", 1.5, 0.8),
        at_most("taking one change of the book back", undo_us, "µs", 2, 1),
        at_most("roots of a book of 10,000 orders, 1,000 changed", book_ms, "ms", 20, 10),
        at_most("root of 10,000 accounts, 100 changed", state_ms, "ms", 5, 2),
    ]  # fmt: skip


def bring_up_and_down(runtime: str = "process", first_s: float = 3.0, aim_s: float = 1.5) -> list[Row]:
    """The command line's own ``up --detach`` and ``down``, as a user waits for them.

    Args:
        runtime: where nodes run.
        first_s: the first mark of ``up``, seconds.
        aim_s: its aim.
    """
    ready, waited, down = [], [], []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(UPS):
            try:
                began = time.monotonic()
                said = _rollnet(home, "up", str(QUAD), "--runtime", runtime, "--detach")
                waited.append(time.monotonic() - began)
                ready.append(said["ready_s"])
            finally:
                began = time.monotonic()
                said = _rollnet(home, "down", QUAD.stem)
            down.append(time.monotonic() - began)
            assert said["left_behind"] == []
    up_s, whole_s, down_s = (statistics.median(times) for times in (ready, waited, down))
    best_s, marks = min(ready), (f"{first_s:g} s", f"{aim_s:g} s")
    where = "" if runtime == "process" else f" on {runtime}"
    return [
        Row(
            f"up{where} to all-ready (L1, 4 rollups, sequencer, maker), median of {UPS}, least {best_s:.2f} s",
            f"{up_s:.2f} s",
            *marks,
            up_s <= first_s,
        ),
        Row(
            f"the same{where}, from the shell's prompt to its return",
            f"{whole_s:.2f} s",
            *marks,
            whole_s <= first_s,
        ),
        Row(
            f"down{where}, nothing left behind, from prompt to return, median of {UPS}, least {min(down):.2f} s",
            f"{down_s:.2f} s",
            "2 s",
            "1 s",
            down_s <= 2,
        ),
    ]


def on_docker() -> list[Row]:
    """The same with containers, the image built beforehand; without an engine no rows, and why, or an error where CI requires one."""
    with tempfile.TemporaryDirectory() as home:
        try:
            _rollnet(home, "image", "build")
        except subprocess.CalledProcessError as exc:
            if os.environ.get(REQUIRE_VARIABLE) == "1":
                raise
            print(f"skipped  up and down on docker: {json.loads(exc.stdout)['error']['message']}")
            return []
    return bring_up_and_down("docker", 8, 4)


def _rollnet(home: str, *command: str) -> dict[str, Any]:
    """The JSON document of a command that ends well; what it says to humans is shown if it does not."""
    program = str(Path(sys.executable).with_name("rollnet"))
    done = subprocess.run(
        [program, *command, "--json"],
        env={**os.environ, "ROLLNET_HOME": home},
        check=False,
        capture_output=True,
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)
        done.check_returncode()
    document: dict[str, Any] = json.loads(done.stdout)
    return document


async def latency(plan: Plan, marks: tuple[tuple[int, int], tuple[int, int]]) -> list[Row]:
    """Four-leg condors at a fixed rate, open loop, from due to all legs executed."""
    with tempfile.TemporaryDirectory() as home:
        async with Devnet.launch(plan, state=Path(home), runtime="process") as net:
            schedule = await _signed(net)
            await _offer(net, schedule)
            await eventually(lambda: _drained(net), 60, "the last bundle's end")
            found = summarize(*await asyncio.to_thread(_end_to_end, net.directory.path))
    (p50, *_, p99), what = (
        found.quantiles,
        f"condor, due → 4 legs executed, {plan.messaging.slot_s * 1e3:g} ms slots, {RATE:g}/s",
    )
    (first50, first99), (aim50, aim99) = marks
    reached = (p50.value_ns or 1 << 62) <= first50 * 1e6 and (p99.value_ns or 1 << 62) <= first99 * 1e6
    return [
        Row(f"{what}, p50 / p99", f"{p50} / {p99}", f"{first50}/{first99} ms", f"{aim50}/{aim99} ms", reached)
    ]


async def steady(plan: Plan) -> list[Row]:
    """Memory per rollup after some work, and reads through a rollup node against its bare engine."""
    with tempfile.TemporaryDirectory() as home:
        async with Devnet.launch(plan, state=Path(home), runtime="process") as net:
            for resolved in await _signed(net, 200):
                await net.execution.submit(resolved)
            await eventually(lambda: _drained(net), 60, "the last bundle's end")
            assert isinstance(net.nodes, LocalNodes)
            pids = {status.name: status.pid for status in net.nodes.runtime.status()}
            memory = max(_resident(pids[name]) for name in net.rollups)
            alpha = net.rollup("alpha")
            bare = net.nodes.runtime.endpoint("alpha", "engine")
            rates = [(await _reads(alpha.http), await _reads(bare)) for _ in range(3)]
            share = statistics.median(node / engine for node, engine in rates)
    return [
        Row(
            "memory per rollup (node + engine), the largest of four",
            f"{memory:.0f} MB",
            "150 MB",
            "90 MB",
            memory <= 150,
        ),
        Row(
            "eth_getBalance through the node, as a share of bare anvil",
            f"{share:.2f}",
            "0.4",
            "0.7",
            share >= 0.4,
        ),
    ]


async def over_a_link() -> list[Row]:
    """What the link proxy costs a call between nodes: in turns on a link to a rollup node and straight to it, on a quiet devnet."""
    pair = replace(make_plan(load_topology(ROOT / "topologies" / "pair.yaml")), market=None)
    with tempfile.TemporaryDirectory() as home:
        async with Devnet.launch(pair, state=Path(home), runtime="process", chaos=True) as net:
            assert isinstance(net.nodes, LocalNodes)
            link = net.nodes.runtime.endpoint("links", "relayer_alpha_http")
            straight = net.rollup("alpha").http
            async with Client(link) as over, Client(straight) as past:
                took: dict[Client, list[float]] = {past: [], over: []}
                for _ in range(CALLS):
                    for client, seconds in took.items():
                        began = time.perf_counter()
                        await client.call("eth_chainId")
                        seconds.append(time.perf_counter() - began)
            rates = [(await _reads(link), await _reads(straight)) for _ in range(3)]
    (past50, past99), (over50, over99) = (
        (statistics.median(seconds) * 1e3, statistics.quantiles(seconds, n=100)[98] * 1e3)
        for seconds in (took[past], took[over])
    )
    share = statistics.median(linked / bare for linked, bare in rates)
    return [
        Row(
            f"a call over a link, p50 added (p99 {over99:.2f} ms, without {past99:.2f} ms)",
            f"{over50 - past50:.2f} ms",
            "0.3 ms",
            "0.15 ms",
            over50 - past50 <= 0.3,
        ),
        Row(
            "eth_getBalance over a link, 16 in flight, as a share of without",
            f"{share:.2f}",
            "0.5",
            "0.8",
            share >= 0.5,
        ),
    ]


async def _signed(net: Devnet, count: int = BUNDLES) -> list[ResolvedStrategy]:
    assert net.plan.market is not None
    condor = presets.build("iron_condor", net.plan.market, quantity=0.01)
    access = PlannedReads(ChainReads(net.rollups))
    deadline = int(time.time()) + 600
    users = net.plan.users
    return [
        await resolve(
            condor,
            net.plan,
            users[index % len(users)],
            access,
            max_timestamp=deadline,
            salt=index.to_bytes(32, "big"),
        )
        for index in range(count)
    ]


async def _offer(net: Devnet, schedule: list[ResolvedStrategy]) -> None:
    """Send every bundle when it is due, whatever became of the ones before."""
    start = time.monotonic() + 0.5

    async def one(index: int, resolved: ResolvedStrategy) -> None:
        due = start + index / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        event = net.journal.emit(
            Stage.SUBMITTED, bundle_id=to_hex(resolved.bundle_hash), legs=4, intended_ns=int(due * 1e9)
        )
        await net.sequencer.send_bundle(resolved.transactions, resolved.max_timestamp, resolved.salt, event)

    async with asyncio.TaskGroup() as tasks:
        for index, resolved in enumerate(schedule):
            tasks.create_task(one(index, resolved))


async def _drained(net: Devnet) -> bool:
    status: Mapping[str, int] = await net.sequencer.status()
    return status["waiting"] == 0


def _end_to_end(run_dir: Path) -> tuple[list[int], int]:
    found = [analyse(trace) for trace in load_traces(run_dir).traces.values() if trace.kind == "bundle"]
    done = [
        one.end_to_end_ns
        for one in found
        if one.outcome is Outcome.COMMITTED and one.end_to_end_ns is not None
    ]
    return done, len(found) - len(done)


async def _reads(url: str) -> float:
    """Reads per second with 16 in flight."""
    call = ("eth_getBalance", ["0x" + "11" * 20, "latest"])
    async with Client(url) as client:
        began = time.monotonic()

        async def some() -> None:
            for _ in range(READS // 16):
                await client.call(call[0], *call[1])

        async with asyncio.TaskGroup() as tasks:
            for _ in range(16):
                tasks.create_task(some())
        return READS / (time.monotonic() - began)


def _resident(pid: int | None) -> float:
    """Megabytes of a process and its children."""
    assert pid is not None
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    line = next(
        row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024 + sum(_resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
