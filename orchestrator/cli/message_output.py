"""Messages between rollups as people and programs read them."""

import time
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from bridge.relayer.messages.envelope import address_in
from bridge.relayer.messages.lifecycle import State
from bridge.relayer.messages.sightings import Sign
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.bridging.terms import DOLLAR, ETHER, booked, coin_of, ether
from orchestrator.cli.bridge import print_outcome
from orchestrator.cli.output import err, out, say_json
from orchestrator.messaging.logs import Found
from orchestrator.messaging.reading import HASH_DIGITS, Seen
from orchestrator.messaging.sending import Followed
from orchestrator.messaging.terms import Outcome, age, described
from orchestrator.topology.hd_keys import checksum_address
from orchestrator.topology.plan import Plan

WIDE = 120
"""Columns of a terminal that has room for whole hashes."""
SHORT_DIGITS = 18
"""Characters of a hash where there is no room; `message status` takes them."""
COLOURS = {"executed": "green", "refunded": "red", "failed": "red"}


def _sent_json(found: Found, plan: Plan) -> dict[str, Any]:
    """What is so from the start."""
    envelope = found.sent.envelope
    return {
        "hash": found.hash,
        "source": found.source,
        "destination": found.destination,
        "destination_chain_id": envelope.destination,
        "from": _address(envelope.sender),
        "to": _address(envelope.target),
        "value": ether(envelope.value),
        "value_wei": str(envelope.value),
        "currency": coin_of(plan, found.source).symbol,
        "booked": booked(plan, found.source, found.destination or "", envelope.value) or None,
        "data_bytes": len(envelope.data),
        "gas_limit": envelope.gas_limit,
        "valid_until": envelope.valid_until,
        "sent_at": found.time,
        "l2_transaction": found.sent.transaction,
        "l2_block": found.sent.block,
    }


def listed_json(found: Found, state: State | None, plan: Plan) -> dict[str, Any]:
    """One of what ``message list`` prints for programs."""
    return {**_sent_json(found, plan), "state": state.value if state else None}


def followed_json(followed: Followed, plan: Plan, net: str) -> dict[str, Any]:
    """What ``message send`` and ``message status`` print for programs."""
    found, seen = followed.found, followed.seen
    over = followed.outcome in (Outcome.EXECUTED, Outcome.REFUNDED)
    return {
        "kind": "message",
        "outcome": followed.outcome.value,
        **_sent_json(found, plan),
        "data": to_hex(found.sent.envelope.data),
        "state": seen.state.value if seen else None,
        "withdrawal": seen.withdrawal if seen else None,
        "withdrawal_state": seen.carrier.value if seen else None,
        "l1_transaction": _transaction(seen, Sign.ROUTED, Sign.RETURNED),
        "destination_transaction": _transaction(seen, Sign.EXECUTED, Sign.FAILED, Sign.LATE),
        "refund_transaction": _transaction(seen, Sign.REFUNDED),
        "reached": list(followed.reached),
        "stages": dict(followed.stages),
        "reason": followed.reason,
        "ask_again": None if over else f"rollnet message status {found.hash} --wait --net {net}",
    }


def _transaction(seen: Seen | None, *signs: Sign) -> str | None:
    """The last transaction that did one of these."""
    sighting = seen.sighting(*signs) if seen else None
    return sighting.transaction if sighting else None


def _address(word: str) -> str:
    """An account as people write it; one that isn't the EVM's as it is."""
    found = address_in(word)
    return checksum_address(from_hex(found, 20)) if found else word


def say_message(document: dict[str, Any], *, as_json: bool) -> None:
    """Print what a command on one message came to."""
    if as_json:
        say_json(document)
        return
    goal = document["destination"] or f"chain {document['destination_chain_id']}"
    carries = _carries(document)
    if document["booked"] and int(document["value_wei"]):
        carries += f", there {document['booked']}"
    state = "" if document["state"] in (None, document["outcome"]) else f", {document['state']}"
    print_outcome(f"message from {document['source']} to {goal} with {carries}", document, state)
    out.print(f"  hash {document['hash']}", soft_wrap=True)
    out.print(f"  reached {', '.join(document['reached']) or 'nothing yet'}", soft_wrap=True)
    for where, key in (
        (f"sent on {document['source']}", "l2_transaction"),
        ("withdrawal", "withdrawal"),
        ("L1 transaction", "l1_transaction"),
        (
            f"executed on {goal}" if document["state"] == State.EXECUTED else f"failed on {goal}",
            "destination_transaction",
        ),
        (f"refunded on {document['source']}", "refund_transaction"),
    ):
        if document[key]:
            out.print(f"  {where} {document[key]}", soft_wrap=True)
    if document["ask_again"]:
        out.print(f"  ask again: {document['ask_again']}", soft_wrap=True)


def _carries(document: dict[str, Any]) -> str:
    coin = DOLLAR if document["currency"] == DOLLAR.symbol else ETHER
    return described(int(document["value_wei"]), document["data_bytes"], coin)


def print_messages(document: dict[str, Any]) -> None:
    """Print a table of messages, as wide as there is room."""
    messages: Sequence[dict[str, Any]] = document["messages"]
    for trouble in document["trouble"]:
        err.print(f"not known of all: {trouble}", style="yellow", markup=False)
    if not messages:
        out.print("no such messages; send one: rollnet message send alpha beta --value 1")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("age", justify="right", no_wrap=True)
    for name in ("from", "to", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("carries", overflow="fold")
    table.add_column("message", no_wrap=True)
    now, digits = int(time.time()), HASH_DIGITS if out.width >= WIDE else SHORT_DIGITS
    for each in messages:
        state = each["state"] or "not known"
        colour = COLOURS.get(state, "yellow")
        table.add_row(
            age(now - each["sent_at"]),
            escape(each["source"]),
            escape(each["destination"] or str(each["destination_chain_id"])),
            f"[{colour}]{state}[/{colour}]",
            _carries(each),
            each["hash"] if digits == HASH_DIGITS else f"{each['hash'][:digits]}…",
        )
    out.print(table)
    if document["matching"] > len(messages):
        out.print(f"{len(messages)} of {document['matching']:,}; more with --limit", soft_wrap=True)
