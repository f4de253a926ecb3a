"""Write a run's report into its directory: the package's only module that touches the disk."""

import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from orchestrator.report.build import build_report
from orchestrator.report.markdown import render_markdown
from orchestrator.report.model import Report, RunMeta
from orchestrator.report.to_json import report_to_json
from orchestrator.rundir import RunDirectory
from orchestrator.tracing.collect import load_traces

CPU_FACTS = Path("/proc/cpuinfo")


def write_report(run_dir: Path) -> tuple[Report, tuple[Path, Path]]:
    """Build the report of a run and write ``report.md`` and ``report.json`` into its directory.

    In the directory of a scenario's run ``report.md`` is the scenario's, and this one is ``traces.md``. Each file is replaced in one step, so a reader sees the old report or the new one. May be called again while the run goes on.

    Raises:
        NoJournalError: the directory holds no journal.
        OSError: the directory can't be written.
    """
    traces = load_traces(run_dir)
    with _collector_spared():
        report = build_report(traces, read_meta(run_dir))
    run = RunDirectory(run_dir)
    page, data = run.traces if run.scenario_report.exists() else run.report, run.report_json
    replace_file(page, render_markdown(report).encode())
    replace_file(
        data, orjson.dumps(report_to_json(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    return report, (page, data)


def read_meta(run_dir: Path) -> RunMeta:
    """What the run directory says about itself; a missing or unreadable plan leaves the directory's names.

    A report must come out of a broken run too, that is when it is needed.
    """
    resolved = run_dir.resolve()
    plan: Any = {}
    try:
        plan = orjson.loads(RunDirectory(run_dir).plan.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        plan = {}
    if not isinstance(plan, dict):
        plan = {}
    seed = plan.get("seed")
    return RunMeta(
        name=str(plan.get("name", resolved.parent.name)),
        run=resolved.name,
        seed=seed if isinstance(seed, int) else None,
        host=describe_host(),
    )


def describe_host() -> str:
    """CPU model, cores and current load, such as ``Some CPU, 2 cores, load 0.41``.

    The report is written where the nodes ran, right after they ran.
    """
    model = platform.processor() or platform.machine()
    try:
        for line in CPU_FACTS.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # other systems have no such file; the name from `platform` stands
    load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return f"{model}, {os.cpu_count()} cores{load}"


@contextmanager
def _collector_spared() -> Iterator[None]:
    """Let the cycle collector look at the graphs that come and go, not again and again at the million events that stay."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old one or the new one.

    Raises:
        OSError: the directory can't be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
