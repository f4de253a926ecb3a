"""The rules about a scenario's load and about what it expects: what nobody could do, and what nobody could say whether it is so. Pure."""

from collections.abc import Iterator

from orchestrator.chaos.fault_spec import EVENTS
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.rules import unknown_name
from orchestrator.chaos.spec import ExpectSpec, LoadSpec
from orchestrator.checks import CHECKERS
from orchestrator.checks.blast_radius import NAME as BLAST_RADIUS
from orchestrator.checks.coverage import WORDS
from orchestrator.checks.recovery import NAME as RECOVERY
from orchestrator.load.lanes import LEAST_USERS
from orchestrator.load.schedule import BUNDLES, Work
from orchestrator.topology.errors import Finding, KeyPath, shown
from orchestrator.topology.names import MAKER
from orchestrator.topology.wording import nearest

OPERATIONS = tuple(map(str, Work))
"""Kinds of work that a load does."""
INVARIANTS = tuple(checker.name for checker in CHECKERS)
"""Checkers by name."""
MOST_LISTED = 24
"""Words that a hint lists."""


def broken_expectations(load: LoadSpec, expect: ExpectSpec, ground: Ground | None) -> Iterator[Finding]:
    """What the scenario expects, and nobody can say whether it is so."""
    yield from _mix(load, ground)
    yield from _names(expect, ground)
    if ground is not None and len(ground.plan.users) < LEAST_USERS:
        yield Finding(
            ("topology", "accounts"),
            f"a load needs {LEAST_USERS} accounts at least, and the topology has {len(ground.plan.users)}",
            f"write accounts: {LEAST_USERS} or more; thirty or so keep a load of 20 bundles a second from waiting",
        )


def _names(expect: ExpectSpec, ground: Ground | None) -> Iterator[Finding]:
    for index, name in enumerate(expect.invariants if isinstance(expect.invariants, tuple) else ()):
        if name not in INVARIANTS:
            yield _no_such(name, INVARIANTS, ("expect", "invariants", index), "there is no checker")
    for name in expect.coverage:
        if name not in WORDS and name not in EVENTS:
            yield _no_such(
                name, (*WORDS, *EVENTS), ("expect", "coverage", name), "nobody counts", at_key=True
            )
    for index, name in enumerate((expect.blast_radius or ()) if ground is not None else ()):
        assert ground is not None, "there are none without it"
        if name not in ground.roles:
            yield unknown_name(name, tuple(ground.roles), ("expect", "blast_radius", index), "node")
        elif ground.roles[name] == MAKER:
            yield Finding(
                ("expect", "blast_radius", index),
                f"nobody looks at {name} while a run lasts, so nobody can say that it went on",
                f"remove it; looked at are {', '.join(n for n, role in ground.roles.items() if role != MAKER)}",
            )
    yield from _unjudged(expect)


def _unjudged(expect: ExpectSpec) -> Iterator[Finding]:
    """What the scenario expects, and its own list of checkers leaves unasked."""
    if expect.invariants == "all":
        return
    said = {
        (RECOVERY, ("recovery", "first_commit_within")): expect.recovery.model_fields_set,
        (BLAST_RADIUS, ("blast_radius",)): expect.model_fields_set,
        (BLAST_RADIUS, ("silence",)): expect.model_fields_set,
    }
    for (checker, place), given in said.items():
        if place[-1] in given and checker not in expect.invariants:
            yield Finding(
                ("expect", *place),
                f"`{checker}` judges it, and is not among the invariants",
                f"add `{checker}` to invariants, or remove this",
            )


def _mix(load: LoadSpec, ground: Ground | None) -> Iterator[Finding]:
    """Without bundles a devnet is never steady, and nobody sees it recover: both are told by bundles that commit."""
    if load.mix is None:
        return
    for kind in load.mix:
        if kind not in OPERATIONS:
            yield _no_such(kind, OPERATIONS, ("load", "mix", kind), "users do no operation", at_key=True)
    sent = {kind for kind, weight in load.mix.items() if weight}
    if not sent:
        yield Finding(("load", "mix"), "every weight is 0", "give one that is not")
    elif not sent & set(BUNDLES) and sent <= set(OPERATIONS):
        yield Finding(
            ("load", "mix"),
            "there are no bundles in it, and the steady state waits for some that commit",
            f"add {' or '.join(BUNDLES)}",
        )
    if ground is not None and Work.STRATEGY in sent and ground.plan.market is None:
        yield Finding(
            ("load", "mix", str(Work.STRATEGY)),
            "strategies trade on a market, and the topology has none",
            "add market to the topology, or write transfers instead",
        )


def _no_such(word: str, known: tuple[str, ...], path: KeyPath, what: str, *, at_key: bool = False) -> Finding:
    meant = nearest(word, list(known))
    some = ", ".join(known[:MOST_LISTED]) + (", …" if len(known) > MOST_LISTED else "")
    hint = f"did you mean {meant}?" if meant else f"there are {some}"
    return Finding(path, f"{what} {shown(word)}", hint, at_key)
