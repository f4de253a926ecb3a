"""``chaos.json``: what a run found, for programs. Durations are nanoseconds."""

from dataclasses import asdict
from typing import Any

from orchestrator.chaos.explore import Explored
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.plan import plan_to_dict
from orchestrator.chaos.statistics import QUANTILES, Row, parts_of, rows_of
from orchestrator.chaos.tables import headline


def findings_to_json(found: Findings) -> dict[str, Any]:
    """The document; ``rollnet chaos run --json`` prints the same."""
    parts = parts_of(found.facts)
    return {
        "scenario": found.plan.name,
        "verdict": found.verdict.value,
        "exit_code": found.exit_code,
        "headline": headline(found),
        "run_dir": str(found.directory),
        "seed": found.plan.seed,
        "mutant": found.mutant,
        "warnings": list(found.warnings),
        "checks": [asdict(check) for check in found.checks],
        "faults": [
            {
                "name": one.fault.name,
                "kind": one.fault.kind,
                "targets": list(one.fault.strikes),
                "bit": one.bite.bit,
                "evidence": one.bite.evidence,
                "healed": one.healing.healed,
                "begun_ns": one.begun_ns,
                "healed_ns": one.healed_ns,
            }
            for one in found.struck
        ],
        "phases": [_row(row) for row in rows_of(found.facts, parts)],
        "plan": plan_to_dict(found.plan),
    }


def explored_to_json(explored: Explored) -> dict[str, Any]:
    """What ``rollnet chaos explore --json`` prints."""
    return {
        "verdict": explored.verdict.value,
        "exit_code": explored.exit_code,
        "tried": [
            {**asdict(tried), "verdict": tried.verdict.value, "faults": list(tried.faults)}
            for tried in explored.tried
        ],
        "smallest": [dict(fault) for fault in explored.smallest],
        "file": None if explored.file is None else str(explored.file),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "phase": row.part.name,
        "fault": row.part.fault,
        "kind": row.group,
        "seconds": round(row.part.seconds, 3),
        "ok": row.ok,
        "fail": row.fail,
        "info": row.info,
        "per_second": round(row.per_second, 2),
        **{
            f"p{per_mille / 10:g}_ns": found.value_ns
            for per_mille, found in zip(QUANTILES, row.quantiles, strict=True)
        },
        "worst_ns": row.worst_ns,
    }
