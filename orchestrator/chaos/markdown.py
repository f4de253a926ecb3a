"""``report.md``: the verdict first, then what it rests on; fits the summary of a CI job (1,024 KiB).

The picture of latency over time lies beside it as a file: a job summary shows no files, and whoever opens the run directory or an artifact of it
sees both.
"""

from orchestrator.chaos.counterexamples import drawn_counterexample
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.tables import METHOD, build_tables, headline
from orchestrator.checks import CheckResult
from orchestrator.report.markdown import cell, render_table

DATA = "chaos.json"
PICTURE = "latency.svg"
"""Beside the page."""


def render_markdown(found: Findings) -> str:
    """The whole page."""
    plan = found.plan
    mutant = f", mutant `{cell(found.mutant)}`" if found.mutant else ""
    parts = [
        f"# rollnet chaos: {cell(plan.name)}",
        f"**{cell(headline(found))}**",
        f"Topology {cell(plan.devnet.name)} on {plan.runtime}, seed {plan.seed}{mutant}, {plan.rate:g} bundles/s.",
    ]
    parts += [f"**Warning:** {cell(warning)}" for warning in found.warnings]
    parts += [_counterexample(found, check) for check in found.checks if check.counterexample is not None]
    if found.facts.operations:
        parts.append(f"## Latency over time\n\n![latency over time, faults shaded]({PICTURE})")
    for table in build_tables(found):
        drawn = render_table(table, DATA)
        parts.append(_folded(table.title, drawn) if table.folded else f"## {cell(table.title)}\n\n{drawn}")
    parts.append(
        f"{METHOD} Run directory `{cell(str(found.directory))}`; judge it again with `rollnet check`."
    )
    return "\n\n".join(parts) + "\n"


def _counterexample(found: Findings, check: CheckResult) -> str:
    assert check.counterexample is not None, "asked for by the caller"
    lines = "\n".join(line.replace("```", "'''") for line in check.counterexample.lines)
    parts = [f"## Counter-example: {cell(check.name)}", f"```text\n{lines}\n```"]
    drawing = drawn_counterexample(found.facts, check.counterexample)
    if drawing:
        parts.append(f"```mermaid\n{drawing}```")
    return "\n\n".join(parts)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{cell(title)}</summary>\n\n{content}\n\n</details>"
