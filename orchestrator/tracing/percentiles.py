"""Percentiles that don't flatter: nearest rank on integers, guarded by sample size, with the unfinished counted.

The rules, the same for every row of every report:

- **Nearest rank.** ``p_q`` is the ``ceil(q·n)``-th smallest sample: a time that really happened, no interpolation.
- **Sample-size guard.** ``p_q`` is given only with ``n ≥ 10 / (1 - q)`` samples, else ``n/a (n=…)``. The one rule serves all:
  p50 from 20 samples, p90 from 100, p99 from 1,000. Under 20 samples even the median is noise, and the report
  lists the slowest messages one by one; minimum and maximum are always given, being facts and not estimates.
- **Censoring.** A message without an end took longer than anything measured: it is +∞, not missing. ``n`` counts it,
  and a rank that falls among the unfinished prints as ``> drain`` (it had not ended when the run was drained).

Quantiles are named in per mille (990 is p99), because ``ceil(q·n)`` in floats is off by one for some n.
Percentiles do not add: never sum the rows of a stage table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

REPORTED = (500, 900, 990)
"""The quantiles of every table, per mille."""


class Standing(StrEnum):
    """What a quantile can say."""

    MEASURED = "measured"
    TOO_FEW = "too-few"
    """Fewer samples than the guard asks for."""
    BEYOND_DRAIN = "beyond-drain"
    """More than ``1 - q`` of the messages had not ended."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """One percentile, or the reason why there is none."""

    per_mille: int
    value_ns: int | None
    """Nanoseconds; None unless measured."""
    standing: Standing
    n: int
    """Samples it stands on, the unfinished included."""

    def __str__(self) -> str:
        """As a table cell: ``12.3 ms``, ``n/a (n=42)`` or ``> drain``."""
        if self.value_ns is not None:
            return format_ms(self.value_ns)
        return "> drain" if self.standing is Standing.BEYOND_DRAIN else f"n/a (n={self.n})"


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a latency table."""

    finished: int
    unfinished: int
    """Messages still on their way when the journals ended."""
    minimum_ns: int | None
    maximum_ns: int | None
    """Longest of the finished; the unfinished took longer."""
    quantiles: tuple[Quantile, ...]
    """In the order of :data:`REPORTED`."""


def summarize(samples: Sequence[int], unfinished: int = 0) -> Summary:
    """Summarize durations in nanoseconds, in any order."""
    ordered = sorted(samples)
    return Summary(
        finished=len(ordered),
        unfinished=unfinished,
        minimum_ns=ordered[0] if ordered else None,
        maximum_ns=ordered[-1] if ordered else None,
        quantiles=tuple(quantile(ordered, per_mille, unfinished) for per_mille in REPORTED),
    )


def quantile(ordered: Sequence[int], per_mille: int, unfinished: int = 0) -> Quantile:
    """One quantile of ascending samples, of which `unfinished` more are +∞.

    Raises:
        ValueError: the quantile is not within (0, 1000) per mille, or the count is negative.
    """
    if not 0 < per_mille < 1000:
        raise ValueError(f"a quantile lies between 1 and 999 per mille, not at {per_mille}")
    if unfinished < 0:
        raise ValueError(f"{unfinished} messages can't be unfinished")
    n = len(ordered) + unfinished
    if n < samples_needed(per_mille):
        return Quantile(per_mille, None, Standing.TOO_FEW, n)
    rank = nearest_rank(n, per_mille)
    if rank > len(ordered):
        return Quantile(per_mille, None, Standing.BEYOND_DRAIN, n)
    return Quantile(per_mille, ordered[rank - 1], Standing.MEASURED, n)


def nearest_rank(n: int, per_mille: int) -> int:
    """``ceil(q·n)``, from 1, exactly."""
    return max(1, -(-n * per_mille // 1000))


def samples_needed(per_mille: int) -> int:
    """The sample-size guard: ``10 / (1 - q)``, rounded up."""
    return -(-10_000 // (1000 - per_mille))


def format_ms(duration_ns: int) -> str:
    """Milliseconds with three significant digits, as all tables print them; whole above 100 ms."""
    milliseconds = duration_ns / 1e6
    if milliseconds == 0:
        return "0 ms"
    decimals = 2
    for bound in (10, 100):
        if abs(milliseconds) >= bound:
            decimals -= 1
    if abs(milliseconds) < 1:
        decimals = 3
    return f"{milliseconds:.{decimals}f} ms"
