"""The comparison as rows of text: what terminal, page and Markdown share, so that they can't disagree."""

from collections.abc import Sequence
from fractions import Fraction

from orchestrator.bridging.terms import ether
from orchestrator.comparison.model import LIMIT, Comparison, Distribution, Messages, Side, StageRow, Standing
from orchestrator.report.tables import Table
from orchestrator.tracing.gas import Cost, Purpose
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import Quantile, format_ms
from orchestrator.tracing.percentiles import Standing as QuantileStanding

SHARED, BRIDGED = "shared sequencer", "L1 bridge"
"""The two ways in words, in this order."""
SHORT = ("sequencer", "bridge")
"""The same where there is little room."""
METHOD = (
    "Nearest rank on nanoseconds of the host's monotonic clock. p50 is given from 20 samples on, p95 from 200, else n/a; what did not end "
    "counts as longer than any other: > drain. Times over the bridge are when the relayer saw what happened. "
    "Percentiles of stages do not add up; means do."
)
"""How the numbers were made."""
NOTHING = "-"
SECONDS_FROM_NS = 10**9


def headline(found: Comparison) -> str:
    """The one sentence to read first."""
    if not found.both_committed:
        ends = "; ".join(
            f"{name}: {_ends(side)}" for name, side in zip((SHARED, BRIDGED), found.sides, strict=True)
        )
        return f"{found.strategy} did not commit every time: {ends}"
    times = found.slower
    several = found.bundle.strategies > 1
    runs = f"all {found.bundle.strategies} runs" if several else "it"
    said = f"{found.strategy}: {runs} committed both ways"
    if times is not None and found.bundle.median and found.bridge.median:
        said += (
            f"; {'the median' if several else 'it'} took {took(found.bundle.median.end_to_end_ns)} by the {SHARED} and "
            f"{took(found.bridge.median.end_to_end_ns)} over the {BRIDGED}, {factor(times)} times as long"
        )
    return said


def provenance(found: Comparison) -> str:
    """Where the numbers come from."""
    runs = " and ".join(f"{side.run_dir} ({side.mode})" for side in found.sides)
    return f"The runs are kept in {runs}. Host: {found.host}."


def message_verdict(found: Messages) -> str:
    """What is said of the plain messages against the topology's own waits."""
    waits = f"the topology's own waits of {took(round(found.waits_s * SECONDS_FROM_NS))}"
    limit = f"{float(LIMIT):g} times"
    if found.standing is Standing.UNKNOWN:
        n = found.ratio_per_mille.n
        counted = f"{n} messages are" if n != 1 else "one message is"
        return f"UNKNOWN: {counted} too few for a median to be held against {limit} {waits}"
    if found.ratio is None:
        return f"BEYOND: half of the messages had not arrived, so their p50 is longer than {limit} {waits}"
    word = "WITHIN" if found.standing is Standing.WITHIN else "BEYOND"
    p50 = said(found.end_to_end.p50)
    return (
        f"{word}: the messages' p50 of {p50} is {float(found.ratio):.2f} times {waits}; the mark is {limit}"
    )


def build_tables(found: Comparison) -> tuple[Table, ...]:
    """All tables that have something to say, in reading order."""
    tables = (
        _summary(found),
        _stages(found),
        _messages(found.messages),
        _waits(found.messages),
        _paid(found),
        _reasons(found),
        _alarms(found),
    )
    return tuple(table for table in tables if table.rows)


def took(duration_ns: int) -> str:
    """A time with three significant digits: milliseconds below a second, then seconds."""
    if abs(duration_ns) < SECONDS_FROM_NS:
        return format_ms(duration_ns)
    seconds = duration_ns / SECONDS_FROM_NS
    decimals = 2 - sum(abs(seconds) >= bound for bound in (10, 100))
    return f"{seconds:.{decimals}f} s"


def said(found: Quantile) -> str:
    """A quantile as a cell."""
    if found.value_ns is not None:
        return took(found.value_ns)
    return "> drain" if found.standing is QuantileStanding.BEYOND_DRAIN else "n/a"


def factor(times: Fraction) -> str:
    """A ratio with two significant digits, whole above ten."""
    return f"{float(times):.0f}" if times >= 10 else f"{float(times):.1f}"


def cash(amount: int) -> str:
    """1e-6 USD in USD."""
    return f"{amount / 1e6:,.2f}"


def _ends(side: Side) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in side.outcomes)
    return counts or "nothing was run"


def _summary(found: Comparison) -> Table:
    def row(name: str, *cells: str) -> tuple[str, ...]:
        return (name, *cells)

    rows = [
        row("strategies", *(str(side.strategies) for side in found.sides)),
        row("committed", *(str(side.count(Outcome.COMMITTED)) for side in found.sides)),
        row("end to end, p50", *(said(side.end_to_end.p50) for side in found.sides)),
        row("end to end, p95", *(said(side.end_to_end.p95) for side in found.sides)),
        row("end to end, min to max", *(_range(side.end_to_end) for side in found.sides)),
        row("L1 gas of a strategy, its own", *(_each(side, side.gas.strategies_own) for side in found.sides)),
        row(
            "L1 gas of a strategy, shared", *(_each(side, side.gas.strategies_shared) for side in found.sides)
        ),
        row("L1 gas of a message, own + shared", NOTHING, _of_message(found.bridge, found.messages)),
        row("L1 gas that served nobody", *(f"{side.gas.overhead.gas:,}" for side in found.sides)),
        row("cash of a strategy, USD", *(_cash(side.locked.cash) for side in found.sides)),
        row("cash locked, p50", *(said(side.locked.times.p50) for side in found.sides)),
        row("cash locked, min to max", *(_range(side.locked.times) for side in found.sides)),
        row("cash x time of a strategy, USD s", *(_cash_time(side) for side in found.sides)),
        row("all the work took", *(f"{side.worked_s:.1f} s" for side in found.sides)),
        row("devnet ready after", *(f"{side.ready_s:.1f} s" for side in found.sides)),
    ]
    return Table("Side by side", ("what", SHARED, BRIDGED), tuple(rows))


def _range(found: Distribution) -> str:
    if found.minimum_ns is None or found.maximum_ns is None:
        return NOTHING
    if found.finished == 1:
        return took(found.minimum_ns)
    return f"{took(found.minimum_ns)} to {took(found.maximum_ns)}"


def _each(side: Side, cost: Cost) -> str:
    return f"{cost.gas // side.strategies:,}" if side.strategies else NOTHING


def _of_message(side: Side, found: Messages | None) -> str:
    if found is None:
        return NOTHING
    own, shared = side.gas.messages_own.gas, side.gas.messages_shared.gas
    return f"{own // found.count:,} + {shared // found.count:,}"


def _cash(amount: int | None) -> str:
    return NOTHING if amount is None else cash(amount)


def _cash_time(side: Side) -> str:
    if side.locked.cash_ns is None:
        return NOTHING
    dollars = side.locked.cash_ns / 1e6 / SECONDS_FROM_NS
    return f"{'at most ' * side.locked.bound}{dollars:,.2f}"


def _stages(found: Comparison) -> Table:
    """Every stage that either way has, in the order of the longer one."""
    bundle, bridge = ({row.stage: row for row in side.stages} for side in found.sides)
    order = _merged([row.stage for row in found.bridge.stages], [row.stage for row in found.bundle.stages])
    rows = [
        (_stage(bundle.get(stage), bridge.get(stage)), *_three(bundle.get(stage)), *_three(bridge.get(stage)))
        for stage in order
    ]
    rows.append(("end to end", *_times(found.bundle.end_to_end), *_times(found.bridge.end_to_end)))
    columns = ("stage", *(f"{way} {what}" for way in SHORT for what in ("p50", "p95", "max")))
    return Table("A strategy by stage", columns, tuple(rows))


def _merged(longer: Sequence[str], shorter: Sequence[str]) -> list[str]:
    """Both sequences in one, each in its own order."""
    merged = list(longer)
    place = 0
    for stage in shorter:
        if stage in merged:
            place = merged.index(stage) + 1
        else:
            merged.insert(place, stage)
            place += 1
    return merged


def _stage(*rows: StageRow | None) -> str:
    known = [row for row in rows if row is not None]
    return known[0].stage + ("" if all(row.on_the_way for row in known) else " (after the end)")


def _three(row: StageRow | None) -> tuple[str, str, str]:
    return (NOTHING, NOTHING, NOTHING) if row is None else _times(row.times)


def _times(found: Distribution) -> tuple[str, str, str]:
    longest = NOTHING if found.maximum_ns is None else took(found.maximum_ns)
    return said(found.p50), said(found.p95), "> drain" if found.unfinished else longest


def _messages(found: Messages | None) -> Table:
    columns = ("stage", "n", "unfinished", "p50", "p95", "min", "max")
    if found is None:
        return Table("", columns, ())
    rows = [(_stage(row), *_row(row.times)) for row in found.stages]
    rows.append(("end to end", *_row(found.end_to_end)))
    ends = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes)
    return Table(f"Plain messages over the {BRIDGED} by stage ({ends})", columns, tuple(rows))


def _row(found: Distribution) -> tuple[str, ...]:
    bounds = (found.minimum_ns, found.maximum_ns)
    return (
        str(found.finished),
        str(found.unfinished),
        said(found.p50),
        said(found.p95),
        *(NOTHING if bound is None else took(bound) for bound in bounds),
    )


def _waits(found: Messages | None) -> Table:
    columns = ("until", "at most", "because of")
    if found is None:
        return Table("", columns, ())
    rows = [(wait.until, f"{wait.seconds:.2f} s", wait.why) for wait in found.waits]
    rows.append(("all waits", f"{found.waits_s:.2f} s", ""))
    return Table("What the topology itself makes a message wait for", columns, tuple(rows))


def _paid(found: Comparison) -> Table:
    sides = [{row.purpose: row for row in side.gas.rows} for side in found.sides]
    rows = []
    for purpose in Purpose:
        if any(purpose in side for side in sides):
            cells: list[str] = []
            for side in sides:
                row = side.get(purpose)
                cells += [NOTHING] * 3 if row is None else _payment(row.transactions, row.cost)
            rows.append((str(purpose), *cells))
    totals = (sum((row.cost for row in side.gas.rows), Cost()) for side in found.sides)
    counts = (sum(row.transactions for row in side.gas.rows) for side in found.sides)
    if rows:
        rows.append(("all", *(cell for pair in zip(counts, totals, strict=True) for cell in _payment(*pair))))
    columns = ("purpose", *(f"{way} {what}" for way in SHORT for what in ("tx", "gas", "ETH")))
    return Table("Paid on L1 in the whole run", columns, tuple(rows))


def _payment(transactions: int, cost: Cost) -> list[str]:
    return [f"{transactions:,}", f"{cost.gas:,}", f"{float(ether(cost.wei)):.6f}"]


def _reasons(found: Comparison) -> Table:
    rows = [
        (way, reason, str(count))
        for way, side in zip((SHARED, BRIDGED), found.sides, strict=True)
        for reason, count in side.reasons
    ]
    return Table("Why strategies did not commit", ("way", "reason", "strategies"), tuple(rows))


def _alarms(found: Comparison) -> Table:
    rows = [
        (way, alarm)
        for way, side in zip((SHARED, BRIDGED), found.sides, strict=True)
        for alarm in side.alarms
    ]
    return Table("‼ The journals contradict themselves", ("way", "what"), tuple(rows))
