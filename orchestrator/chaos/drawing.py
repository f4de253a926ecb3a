"""Drawing schedules: one seed, one scenario file. Pure.

A schedule is written as a file says it, so that one that fails can be kept, read, changed and run again with ``rollnet chaos run``. Faults that
end or freeze nodes follow one another: two at once would hide whether each bit. Faults of links, of L1 and of clocks come at any time.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.ground import Ground

LONGEST = 6
"""Faults in one schedule."""
WINDOW_S = 8.0
"""Faults begin within so many seconds after the baseline."""
GAP_S = 1.0
"""Between two faults of nodes, seconds: so long a node is given to be itself again."""
BUSY = ("each slot", "each block", "each group of records", "each item that is sent", "each superbatch")
"""What the table of crash points says of those that a busy devnet passes all the time; nobody waits for others here."""
RARE = "each block that is due"

Schedule = Sequence[Mapping[str, Any]]
"""Faults, as a scenario file says them."""

TOPOLOGY: Mapping[str, Any] = {
    "name": "explore",
    "seed": 7,
    "accounts": 30,
    "l1": {"block_time": "1s"},
    "rollups": {"alpha": {}, "beta": {}, "gamma": {}},
    "messaging": {"mode": "shared-sequencer", "slot": "100ms"},
}
"""What is broken unless somebody names another devnet."""


def scenario(seed: int, topology: str | Mapping[str, Any], schedule: Schedule, rate: float) -> dict[str, Any]:
    """A scenario file around a schedule.

    Args:
        seed: of the run.
        topology: path of a file, or a topology itself.
        schedule: at least one fault.
        rate: bundles per second.
    """
    return {
        "name": f"explore-{seed}",
        "topology": topology,
        "seed": seed,
        "load": {"rate": rate},
        "steady_state": {"bundles_committed": 3},
        "baseline": "1s",
        "schedule": [dict(fault) for fault in schedule],
        "settle": {"quiet": "1s", "drain_within": "60s"},
        "expect": {
            "recovery": {"first_commit_within": "30s", "backlog_drained_within": "60s"},
            "silence": "20s",
        },
    }


def draw(seed: int, ground: Ground) -> tuple[dict[str, Any], ...]:
    """The schedule of a seed: the same for the same devnet.

    Args:
        seed: any.
        ground: names and links of the devnet.
    """
    rng = random.Random(f"explore/{seed}")
    free = 0.0
    faults: list[dict[str, Any]] = []
    for number in range(1, rng.randint(1, LONGEST) + 1):
        begins, lasts = rng.uniform(0.0, WINDOW_S), rng.uniform(0.3, 2.5)
        kind = rng.choice([*_OF_NODES, *_OF_OTHERS])
        if kind in _OF_NODES:
            begins = max(begins, free)
            free = begins + lasts + GAP_S
        fault = {"name": f"{number} {kind}", "when": {"after": _seconds(begins)}, "fault": kind}
        faults.append(fault | (_OF_NODES | _OF_OTHERS)[kind](rng, ground, _seconds(lasts)))
    return tuple(faults)


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f}ms"


def _ended(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {"target": rng.choice(_breakable(ground)), "restart_after": lasts}


def _restarted(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    del lasts
    return {"target": rng.choice(_breakable(ground))}


def _lasting(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {"target": rng.choice(_breakable(ground)), "for": lasts}


def _crash(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    role = rng.choice([role for role in ("sequencer", "rollup") if ground.of_role(role)])
    points = [point.name for point in CRASH_POINTS.values() if role in point.roles and _busy(point.when)]
    return {
        "target": rng.choice(ground.of_role(role)),
        "point": rng.choice(points),
        "count": rng.choice([1, 1, 2, 5]),
        "within": "8s",
        "restart_after": lasts,
    }


def _links(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    quiet = ground.of_role("maker")  # it says little, and a fault of its links would seldom bite
    source, destination = rng.choice([link for link in ground.links if not set(link) & set(quiet)])
    return {
        "links": [{"from": source, "to": destination}],
        "direction": rng.choice(["to", "both"]),
        "for": lasts,
    }


def _partition(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_links(rng, ground, lasts), "mode": rng.choice(["blackhole", "reset"])}


def _delay(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_links(rng, ground, lasts), "latency": f"{rng.choice([5, 50, 300])}ms"}


def _throttle(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_links(rng, ground, lasts), "rate": rng.choice([5_000, 50_000])}


def _messages(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_links(rng, ground, lasts), "probability": rng.choice([0.1, 0.3, 1.0])}


def _drop(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_messages(rng, ground, lasts), "lost": rng.choice(["request", "answer"])}


def _skew(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {
        "target": rng.choice(ground.of_role("sequencer")),
        "offset": f"{rng.choice([2, 10, 60])}s",
        "toward": rng.choice(["past", "future"]),
        "for": lasts,
    }


def _reorganised(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    del ground, lasts
    return {"depth": rng.randint(1, 3)}


def _stalled(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    del rng, ground
    return {"for": lasts}


def _breakable(ground: Ground) -> tuple[str, ...]:
    """Nodes whose death the users' work can tell of."""
    return tuple(name for role in ("sequencer", "rollup", "relayer") for name in ground.of_role(role))


def _busy(when: str) -> bool:
    return when.startswith(BUSY) and not when.startswith(RARE)


Draw = Callable[[random.Random, Ground, str], dict[str, Any]]

_OF_NODES: dict[str, Draw] = {
    "kill": _ended,
    "stop": _ended,
    "restart": _restarted,
    "pause": _lasting,
    "crash_at": _crash,
}
_OF_OTHERS: dict[str, Draw] = {
    "partition": _partition,
    "delay": _delay,
    "throttle": _throttle,
    "drop": _drop,
    "duplicate": _messages,
    "reorder": _messages,
    "clock_skew": _skew,
    "l1_stall": _stalled,
    "l1_reorg": _reorganised,
}
