"""A counter-example for people: what was done, what happened, what is wrong."""

from collections.abc import Sequence

from orchestrator.simulation.checks import CHECKERS, Violation
from orchestrator.simulation.facts import Facts
from orchestrator.simulation.schedule import told

_MANY = 40
"""Lines of a timeline that are shown; the end is what matters."""


def story(facts: Facts, violations: Sequence[Violation]) -> str:
    """A page of text."""
    setting = facts.schedule.setting
    lines = [
        f"{len(setting.chains)} rollups, a block of L1 every {setting.l1_block_s:g} s, window {setting.window}",
        "",
        f"what was done ({len(facts.schedule.entries)}):",
        *(f"  {entry.at:7.3f}  {told(entry)}" for entry in facts.schedule.entries),
        "",
        "what happened:",
    ]
    happened = sorted([*facts.timeline, *facts.ledger.history], key=lambda event: event[0])
    if len(happened) > _MANY:
        lines.append(f"  … {len(happened) - _MANY} lines before")
    lines += [f"  {at:7.3f}  {words}" for at, words in happened[-_MANY:]]
    lines += ["", "what is wrong:"]
    lines += [f"  {v.checker}: {v.what}" for v in violations[:5]]
    lines += [
        f"  ({checker}: {CHECKERS[checker]})" for checker in dict.fromkeys(v.checker for v in violations)
    ]
    return "\n".join(lines)
