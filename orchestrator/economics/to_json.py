"""The machine contract of ``rollnet economics --json``; keys are only ever added. Amounts are exact decimals, as text. Pure."""

from decimal import Decimal
from typing import Any

from orchestrator.economics.model import Purpose, Row, Statement

SCHEMA = 1
"""Raised when a key changes its meaning."""


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """One document."""
    return {
        "schema": SCHEMA,
        "devnet": statement.devnet,
        "currency": statement.currency,
        "spot": None if statement.spot is None else _text(statement.spot),
        "l1_block": statement.l1_block,
        "l1_gas": {purpose.value: statement.gas[purpose] for purpose in Purpose},
        "l1_failed": statement.failed,
        "rollups": {row.name: _row(row) for row in statement.rows},
        "total": _row(statement.total),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "engine": row.engine or None,
        "block": row.block,
        "fees": {
            "kinds": {kind: _text(amount) for kind, amount in row.kinds.items()},
            "groups": {group.value: _text(amount) for group, amount in row.groups.items()},
            "insurance": _text(row.insurance),
            "sequencer": _text(row.fees),
        },
        "l1_cost": {
            "batches": _text(row.batches),
            "proposals": _text(row.proposals),
            "total": _text(row.cost),
            "transactions": {purpose.value: row.count.get(purpose, 0) for purpose in Purpose},
        },
        "subsidy": _text(row.subsidy),
        "profit_and_loss": _text(row.result),
    }


def _text(amount: Decimal) -> str:
    """Without an exponent, and without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
