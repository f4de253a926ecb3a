"""Strategies in words, for people: what one is, how a run ended, how far one is."""

from typing import Any

from rich.table import Table

from orchestrator.cli.output import err, out
from orchestrator.market.units import QUANTITY_SCALE

STYLES = {"committed": "green", "aborted": "yellow", "unknown": "red", "partial": "red"}


def print_status(document: dict[str, Any]) -> None:
    """What the chains say of a strategy over the bridge."""
    state = document["state"] or "not known: a rollup does not answer"
    out.print(f"{document['strategy']}: {state}", style=STYLES[document["outcome"]], soft_wrap=True)
    if document["reason"]:
        out.print(f"  reason: {document['reason']}", markup=False, soft_wrap=True)
    table = Table("rollup", "legs", "vote on L1", "block", "transaction or reason")
    for each in document["rollups"]:
        table.add_row(
            each["rollup"],
            each["state"] or "no answer",
            each["vote"],
            str(each["block"] or ""),
            each["reason"] or each["tx_hash"] or "",
        )
    out.print(table)
    if document["outcome"] == "unknown":
        left, refund = document["decide_by"] - document["now"], document["refund_after"] - document["now"]
        due = f"aborted unless decided in {left} s" if left > 0 else "due to be decided"
        decided = f"decided: {document['decision']}" if document["decision"] != "none" else due
        out.print(f"  {decided}; legs can be taken back {f'in {refund} s' if refund > 0 else 'now'}")
        err.print(f"  ask again: rollnet strategy status {document['strategy']} --net {document['net']}")


def _print_payoffs(document: dict[str, Any]) -> None:
    """What a strategy comes to: pay-off less premium and, where it ran, fees, as maximum loss and gain count them."""
    paid = document["net_premium"] + (document.get("fees") or 0)
    table = Table("settlement price", "pay-off", "profit")
    for row in document["payoffs"]:
        table.add_row(_usd(row["price"]), _usd(row["payoff"]), _usd(row["payoff"] - paid))
    out.print(table)


def _usd(amount: int | None) -> str:
    return "" if amount is None else f"{amount / 1e6:,.2f}"


def print_explained(explained: dict[str, Any]) -> None:
    """Legs, model prices, and what a strategy can win and lose."""
    table = Table(
        "leg", "rollup", "side", "kind", "strike", "quantity", "model price", title=explained["name"]
    )
    for index, leg in enumerate(explained["legs"]):
        quantity = f"{leg['quantity'] / 1e4:g}"
        table.add_row(
            str(index),
            leg["rollup"],
            leg["side"],
            leg["kind"],
            _usd(leg["strike"]),
            quantity,
            _usd(leg["model_price"]),
        )
    out.print(table)
    out.print(explained["summary"], markup=False)
    out.print(
        f"model premium {_usd(explained['net_premium'])}  max loss {_usd(explained['max_loss'])}"
        f"  max gain {_usd(explained['max_gain'])} USD"
    )
    _print_payoffs(explained)
    if "margin" in explained:
        _print_margin(explained["margin"])


def _print_margin(margin: dict[str, Any]) -> None:
    """Netted, separate and locked side by side, and what each rollup has of it."""
    table = Table("rollup", "engine", "legs", "separate", "locked", "EVM asks", title="own cash, USD")
    for row in margin["rollups"]:
        legs = ", ".join(map(str, row["legs"]))
        figures = (_usd(row[name]) for name in ("separate", "locked", "collateral"))
        table.add_row(row["rollup"], row["engine"], legs, *figures)
    out.print(table)
    times = f" ({margin['ratio']:.1f} times)" if margin["ratio"] is not None else ""
    locked = "never: it has no maximum loss" if margin["locked"] is None else _usd(margin["locked"])
    out.print(f"netted {_usd(margin['netted'])}  separate {_usd(margin['separate'])}{times}  locked {locked}")
    if margin["locked"] is not None and not margin["lockable"]:
        out.print(
            "these rollups can't lock it: that takes options rollups under one sequencer; figures are by their rules",
            style="yellow",
            soft_wrap=True,
        )


def print_result(document: dict[str, Any]) -> None:
    """How a run ended, and what it paid."""
    over = " over the bridge" if document["execution"] == "bridge" else ""
    out.print(f"{document['strategy']}: {document['outcome']}{over}", style=STYLES[document["outcome"]])
    if document["reason"]:
        out.print(f"  reason: {document['reason']}", markup=False)
    if document["legs"]:
        table = Table("leg", "rollup", "side", "kind", "strike", "status", "premium")
        for index, leg in enumerate(document["legs"]):
            premium = _usd(leg["premium"])
            table.add_row(
                str(index),
                leg["rollup"],
                leg["side"],
                leg["kind"],
                _usd(leg["strike"]),
                leg["status"],
                premium,
            )
        out.print(table)
    if document["payoffs"]:
        fees = f"  fees {_usd(document['fees'])} USD" if document["fees"] else ""
        out.print(
            f"  net premium {_usd(document['net_premium'])}  max loss {_usd(document['max_loss'])}"
            f"  max gain {_usd(document['max_gain'])} USD{fees}"
        )
        if (document["above_cap"] or 0) < 0:
            units = -document["above_cap"] / QUANTITY_SCALE
            out.print(
                f"  above the price cap it loses {units:g} USD more per USD: options rollups don't cap settlement prices",
                style="yellow",
                soft_wrap=True,
            )
        _print_payoffs(document)
    if document["locked"]:
        locked = document["locked"]
        out.print(f"  locked {_usd(locked['cash'])} USD for up to {locked['seconds']:.1f} s")
    if document["l1_gas"]:
        out.print(f"  {document['l1_gas']:,} gas on L1")
    if "end_to_end" in document["latency_ms"]:
        out.print(f"  end to end {document['latency_ms']['end_to_end']:.0f} ms")
    if document["bundle_hash"]:
        err.print(f"  trace it: rollnet trace {document['bundle_hash']}")
