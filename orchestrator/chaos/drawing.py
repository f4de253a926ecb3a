"""Drawing schedules: one seed, one scenario file. Pure.

A schedule is written as a file says it, so that one that fails can be kept, read, changed and run again with ``rollnet chaos run``. Faults that
end or freeze nodes follow one another: two at once would hide whether each bit. For the same reason a link or a clock is left alone while a node of
it is down, and a link while something else is wrong with it. Whatever is not in each other's way comes at any time.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.ground import Ground

LONGEST = 6
"""Faults in one schedule."""
WINDOW_S = 8.0
"""Faults begin within so many seconds after the baseline."""
LONGEST_S, LEAST_S = 3.0, 2.0
"""Longest time for which a fault lasts, and the shortest for one of links: somebody must call meanwhile."""
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
    "market": {"underlying": "ETH", "spot": 2000, "volatility": 0.6},
}
"""What is broken unless somebody names another devnet; its users trade, so that some bundles have a leg that must fail."""


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
            # a schedule is judged as it came, with work in the hands of a sequencer that dies or without
            "coverage": {"in_flight": 0},
            "recovery": {"first_commit_within": "20s", "backlog_drained_within": "45s"},
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
    claims: list[_Claim] = []
    faults: list[dict[str, Any]] = []
    for number in range(1, rng.randint(1, LONGEST) + 1):
        begins, lasts = rng.uniform(0.0, WINDOW_S), rng.uniform(0.3, LONGEST_S)
        kind = rng.choice([*_OF_NODES, *_OF_OTHERS])
        if kind in _ON_LINKS:
            lasts = max(lasts, LEAST_S)
        fault = {"name": f"{number} {kind}", "when": {}, "fault": kind}
        fault |= (_OF_NODES | _OF_OTHERS)[kind](rng, ground, _seconds(lasts))
        claim = _claim(fault, max(begins, free) if kind in _OF_NODES else begins, lasts + GAP_S)
        while ends := [other.ends for other in claims if claim.clashes(other)]:
            claim = replace(claim, begins=max(ends), ends=max(ends) + lasts + GAP_S)
        claims.append(claim)
        if kind in _OF_NODES:
            free = claim.ends
        faults.append(fault | {"when": {"after": _seconds(claim.begins)}})
    return tuple(faults)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a fault needs for itself, and when."""

    begins: float
    ends: float
    needs: frozenset[str]
    """Nodes that must run for it to be seen."""
    breaks: frozenset[str]
    """Nodes that do not run because of it."""
    link: frozenset[str]
    """Both ends of the link that it is on; none if it is on none."""

    def clashes(self, other: "_Claim") -> bool:
        """Whether two faults would hide one another."""
        meanwhile = self.begins < other.ends and other.begins < self.ends
        same = bool(self.link) and self.link == other.link
        return meanwhile and (same or bool(self.breaks & other.needs) or bool(other.breaks & self.needs))


def _claim(fault: Mapping[str, Any], begins: float, lasts: float) -> _Claim:
    nodes = frozenset({fault["target"]} if "target" in fault else ())
    link = frozenset(end for one in fault.get("links", ()) for end in one.values())
    breaks = nodes if fault["fault"] in _OF_NODES else frozenset()
    return _Claim(begins, begins + lasts, nodes | link, breaks, link)


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
    target = rng.choice(ground.of_role(role))
    engine = ground.engine_of(target)
    met = [point for point in CRASH_POINTS.values() if point.is_passed_by(role, engine)]
    return {
        "target": target,
        "point": rng.choice([point.name for point in met if _busy(point.when)]),
        "count": rng.choice([1, 1, 2, 5]),
        "within": "8s",
        "restart_after": lasts,
    }


def _links(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    """Makers say little, and rollups among themselves too: a fault of their links would seldom bite."""
    makers, rollups = {*ground.of_role("maker")}, {*ground.of_role("rollup")}
    busy = [link for link in ground.links if not makers & set(link) and not set(link) <= rollups]
    source, destination = rng.choice(busy)
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
    """Only on links that carry every slot: elsewhere a fault that is meant for messages would mostly meet none."""
    sequencer = rng.choice(ground.of_role("sequencer"))
    called = [
        callee
        for caller, callee in ground.links
        if caller == sequencer and callee in ground.of_role("rollup")
    ]
    return {
        "links": [{"from": sequencer, "to": rng.choice(called)}],
        "for": lasts,
        "probability": rng.choice([0.1, 0.3, 1.0]),
    }


def _drop(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    return {**_messages(rng, ground, lasts), "lost": rng.choice(["request", "answer"])}


def _skew(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    """A clock that is fast takes the chains' time with it, and they keep it: by more than bundles may wait, none would commit for as long."""
    toward = rng.choice(["past", "future"])
    return {
        "target": rng.choice(ground.of_role("sequencer")),
        "offset": f"{rng.choice([2, 10, 60] if toward == 'past' else [2, 5, 10])}s",
        "toward": toward,
        "for": lasts,
    }


def _reorganised(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    del ground, lasts
    return {"depth": rng.randint(1, 3)}


def _stalled(rng: random.Random, ground: Ground, lasts: str) -> dict[str, Any]:
    del rng, ground
    return {"for": lasts}


_ON_LINKS = frozenset({"partition", "delay", "throttle", "drop", "duplicate", "reorder"})


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
