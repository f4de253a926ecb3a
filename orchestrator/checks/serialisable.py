"""Serialisability: there is one order in which bundles and transactions could have run one after the other, on all rollups at once.

After Elle: a graph whose nodes are what took effect and whose edges say "this came before that" for every piece of state that both touched
(a sender's nonces, an account's cash or position in a series, an address's ether), in the order of each rollup's chain. Each chain alone is an
order; a cycle needs two rollups on which two bundles ran in opposite orders, and then no single order explains what happened.

The order is *strict* as well: what a client had been told before another operation began may not come after it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise

import networkx as nx

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.telling import event_of, operation, place, short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Operation, Result

NAME, OF_WHAT = "serialisable", "conflicts"

REACH = 50
"""In a component that has a cycle, conflicts with so many of the next ones are looked at for a shorter one."""
MOST_EDGES = 500
"""So many edges are tried as the one that closes a cycle."""

_State = tuple[str, ...]
"""What was touched: the rollup, and what on it."""


def check(facts: RunFacts) -> CheckResult:
    """Judge the order of everything that took effect."""
    if facts.observed is None:
        return judged(NAME, 0, OF_WHAT)
    touched: dict[_State, list[Placed]] = defaultdict(list)
    for places in facts.placed.values():
        for state in _touches(places[0]):
            touched[state].append(places[0])
    states = {
        state: sorted(places, key=lambda each: (each.block, each.index)) for state, places in touched.items()
    }
    graph: nx.DiGraph[str] = nx.DiGraph()
    seen = 0
    for state, ordered in states.items():
        for before, after in pairwise(ordered):
            seen += _unit(before) != _unit(after)
            _add(graph, state, before, after)
    found = [*_cycles(graph, states), *_told_too_early(facts, states.values())]
    notes = [f"{graph.number_of_nodes()} units of work"] if seen else []
    unknown = [f"{name} was not observed" for name in facts.unobserved]
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=unknown)


def _unit(where: Placed) -> str:
    """What a transaction belongs to: its bundle, or itself alone."""
    return where.transaction.bundle or where.transaction.hash


def _touches(where: Placed) -> Iterator[_State]:
    sent = where.transaction
    if not sent.deposit:
        yield (where.rollup, "nonce", sent.sender)
    if sent.ok and sent.value and sent.to:
        yield (where.rollup, "ether", sent.to)
    for event in sent.events:
        if event.name == "Trade":
            series = str(event.arguments["series"])
            for who in (str(event.arguments["taker"]), str(event.arguments["maker"])):
                yield (where.rollup, "cash", who)
                yield (where.rollup, "position", series, who)


def _add(graph: "nx.DiGraph[str]", state: _State, before: Placed, after: Placed) -> None:
    first, second = _unit(before), _unit(after)
    if first != second and not graph.has_edge(first, second):
        graph.add_edge(first, second, state=state, before=before, after=after)


def _cycles(graph: "nx.DiGraph[str]", states: Mapping[_State, list[Placed]]) -> Iterator[CounterExample]:
    for component in nx.strongly_connected_components(graph):
        if len(component) < 2:
            continue
        cycle = _shortest_cycle(_all_conflicts(component, states))
        lines = [f"{len(cycle)} units of work each came before the other: no single order explains it"]
        for before, after, (rollup, *what) in cycle:
            lines.append(
                f"{short(_unit(before))} before {short(_unit(after))} on {rollup} ({' '.join(map(short, what))}): "
                f"block {before.block} transaction {before.index}, block {after.block} transaction {after.index}"
            )
        yield CounterExample(tuple(lines))


def _all_conflicts(component: Collection[str], states: Mapping[_State, list[Placed]]) -> "nx.DiGraph[str]":
    """The conflicts within a component, also of those that were no neighbours: the shortest cycle may need them."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for state, ordered in states.items():
        inside = [each for each in ordered if _unit(each) in component]
        for index, before in enumerate(inside):
            for after in inside[index + 1 : index + 1 + REACH]:
                _add(graph, state, before, after)
    return graph


def _shortest_cycle(component: "nx.DiGraph[str]") -> list[tuple[Placed, Placed, _State]]:
    """A shortest cycle of a strongly connected graph, as its edges; of a large one a short cycle."""
    best: list[str] = []
    for first, second in list(component.edges)[:MOST_EDGES]:
        path = nx.shortest_path(component, second, first)
        best = path if not best or len(path) < len(best) else best
        if len(best) == 2:
            break
    edges = [component.edges[edge] for edge in pairwise([best[-1], *best])]
    return [(edge["before"], edge["after"], edge["state"]) for edge in edges]


def _told_too_early(facts: RunFacts, states: Iterable[list[Placed]]) -> Iterator[CounterExample]:
    """Of two that touched the same, the later one had been over for its client before the earlier one began."""
    owners = {leg.transaction: one for one in facts.operations for leg in one.legs}
    for ordered in states:
        over: tuple[int, Placed, Operation] | None = None
        for where in reversed(ordered):
            one = owners.get(where.transaction.hash)
            if one is None:
                continue
            if over is not None and over[0] < one.invoked_ns:
                ended, after, told = over
                first = f"{short(told.id)} was over at {when(facts, ended)}, {short(one.id)} began later, and ran before it"
                lines = (first, place(where), place(after), operation(facts, one), operation(facts, told))
                yield CounterExample(lines, (event_of(one), event_of(told)))
            if (
                one.result is Result.OK
                and one.ended_ns is not None
                and not facts.taken_back(one)  # then it ran again, and later
                and (over is None or one.ended_ns < over[0])
            ):
                over = (one.ended_ns, where, one)
