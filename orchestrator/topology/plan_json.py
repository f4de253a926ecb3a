"""The plan as JSON: ``plan.json`` of a run directory, and what ``rollnet topology plan`` prints.

The keys are the fields of the plan's dataclasses, so the file documents itself. The way back checks every name and type,
because a run directory may come from another version or another hand.
"""

import dataclasses
import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from orchestrator.topology.errors import UnreadablePlan, render_path, visible
from orchestrator.topology.plan import Plan

_ADAPTER = TypeAdapter(Plan)


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """The plan in JSON's own types, keys in the order of the dataclasses."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(plan)))
    return values


def plan_from_dict(values: dict[str, Any]) -> Plan:
    """The plan that :func:`plan_to_dict` wrote.

    Raises:
        UnreadablePlan: a field is missing, unknown or of another type.
    """
    try:
        # By way of JSON, whose strict mode takes lists for tuples.
        plan = _ADAPTER.validate_json(json.dumps(values), strict=True)
    except (ValidationError, TypeError, ValueError) as exc:
        raise UnreadablePlan(f"the plan can't be read: {_first_fault(exc)}", _HINT) from exc
    if plan_to_dict(plan) != values:
        raise UnreadablePlan("the plan can't be read: it holds keys that this version does not know", _HINT)
    return plan


_HINT = "run the topology again, or read it with the version that wrote it"


def _first_fault(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        fault = exc.errors(include_url=False)[0]
        return f"{render_path(fault['loc'])}: {fault['type'].replace('_', ' ')}"
    return visible(str(exc), 200)
