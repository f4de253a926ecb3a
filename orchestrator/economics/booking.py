"""From what was earned and paid to a statement. Pure; decimals are exact, nothing is rounded."""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext

from orchestrator.economics.allocation import split
from orchestrator.economics.model import EXACT, Earned, Paid, Purpose, Row, Statement, total_of

WEI_PER_ETHER = 10**18


def book(
    devnet: str, spot: float | None, l1_block: int, earned: Sequence[Earned], paid: Sequence[Paid]
) -> Statement:
    """The statement of a devnet.

    Args:
        devnet: its name.
        spot: dollars for an ether; None: there is no market, and nothing is earned in dollars.
        l1_block: up to which L1 was read.
        earned: by each rollup.
        paid: by the operator.
    """
    price = None if spot is None else Decimal(repr(spot))
    with localcontext(EXACT):
        rows = tuple(_row(one, price, paid) for one in earned)
        total = _total(rows, paid)
    return Statement(
        devnet=devnet,
        currency="ETH" if price is None else "USD",
        spot=price,
        l1_block=l1_block,
        rows=rows,
        total=total,
        gas={purpose: sum(one.gas for one in paid if one.purpose is purpose) for purpose in Purpose},
        failed=sum(not one.succeeded for one in paid),
    )


def _row(earned: Earned, price: Decimal | None, paid: Iterable[Paid]) -> Row:
    mine = [one for one in paid if earned.rollup in one.weights]
    costs = {
        purpose: sum(split(one.wei, one.weights)[earned.rollup] for one in mine if one.purpose is purpose)
        for purpose in Purpose
    }
    rate = Decimal(1) if earned.dollars or price is None else price
    kinds = {kind: amount * rate / earned.unit for kind, amount in earned.kinds.items()}
    ether = Decimal(1) if price is None else price
    row = Row(
        name=earned.rollup,
        engine=earned.engine,
        kinds=kinds,
        insurance=earned.insurance * rate / earned.unit,
        batches=costs[Purpose.BATCH] * ether / WEI_PER_ETHER,
        proposals=costs[Purpose.PROPOSAL] * ether / WEI_PER_ETHER,
        subsidy=Decimal(0),
        count={
            purpose: sum(one.purpose is purpose and _concerns(one, earned.rollup) for one in mine)
            for purpose in Purpose
        },
        block=earned.block,
    )
    return _subsidised(row)


def _concerns(paid: Paid, rollup: str) -> bool:
    return bool(paid.weights[rollup]) or not any(paid.weights.values())


def _subsidised(row: Row) -> Row:
    return Row(
        row.name, row.engine, row.kinds, row.insurance, row.batches, row.proposals, max(Decimal(0), -row.result),
        row.count, row.block,
    )  # fmt: skip


def _total(rows: Sequence[Row], paid: Sequence[Paid]) -> Row:
    """Of all; its subsidy is the sum of theirs: what one rollup earns doesn't pay for another."""
    kinds: dict[str, Decimal] = {}
    for row in rows:
        for kind, amount in row.kinds.items():
            kinds[kind] = kinds.get(kind, Decimal(0)) + amount
    return Row(
        name="total",
        engine="",
        kinds=kinds,
        insurance=total_of(row.insurance for row in rows),
        batches=total_of(row.batches for row in rows),
        proposals=total_of(row.proposals for row in rows),
        subsidy=total_of(row.subsidy for row in rows),
        count={purpose: sum(one.purpose is purpose for one in paid) for purpose in Purpose},
    )
