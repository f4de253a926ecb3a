"""The rules that tie fields together; each is a pure function from a spec to what breaks it.

What one field can know alone is in ``spec``. A rule names both sides, so that the user can mend either.
"""

import difflib
from collections.abc import Iterator

from orchestrator.topology.accounts import index_of
from orchestrator.topology.durations import format_duration
from orchestrator.topology.errors import Finding, KeyPath, shown
from orchestrator.topology.limits import roles_of_nodes
from orchestrator.topology.names import chain_id_of, sequencer_of
from orchestrator.topology.plan import L1_BRIDGE, SHARED_SEQUENCER
from orchestrator.topology.spec import MAX_SERIES, OPTIONS, TopologySpec
from orchestrator.topology.strikes import strikes_of
from orchestrator.topology.timing import block_time, sequencing_window, shortest_window

_SEQUENCERS_END = sequencer_of("")


def broken_rules(spec: TopologySpec) -> tuple[Finding, ...]:
    """Everything in the spec that fits its field but not the rest."""
    rules = (
        _shared_chain_ids,
        _shared_node_names,
        _shared_keys,
        _slower_slots,
        _rare_proposals,
        _closing_windows,
        _mixed_data_availability,
        _worthless_strikes,
        _options_of_others,
        _options_alone,
        _few_signers,
        _rising_auctions,
        _limits_of_nobody,
    )
    return tuple(finding for rule in rules for finding in rule(spec))


def chain_ids(spec: TopologySpec) -> dict[str, int]:
    """The chain id of each rollup by name: its own, or the hash of its name."""
    return {
        name: chain_id_of(name) if rollup.chain_id is None else rollup.chain_id
        for name, rollup in spec.rollups.items()
    }


def _shared_chain_ids(spec: TopologySpec) -> Iterator[Finding]:
    """Two chains with one id would accept each other's transactions."""
    owners = {spec.l1.chain_id: "l1"}
    for name, chain_id in chain_ids(spec).items():
        owner = owners.setdefault(chain_id, name)
        if owner == name:
            continue
        message = f"chain id {chain_id} is already taken by {owner}"
        needs = (_chain_id_path(owner),)
        if spec.rollups[name].chain_id is None:
            hint = "set chain_id to choose another"
            yield Finding(("rollups", name), message, hint, at_key=True, needs=needs)
        else:
            yield Finding(_chain_id_path(name), message, "choose another, or remove it", needs=needs)


def _chain_id_path(node: str) -> KeyPath:
    return ("l1", "chain_id") if node == "l1" else ("rollups", node, "chain_id")


def _slower_slots(spec: TopologySpec) -> Iterator[Finding]:
    """Nothing that slots carry can be promised faster than a slot."""
    slot = spec.messaging.slot
    timed: list[tuple[KeyPath, float | None]] = [
        (("messaging", "publish_every"), spec.messaging.publish_every)
    ]
    timed += [(("rollups", name, "block_time"), rollup.block_time) for name, rollup in spec.rollups.items()]
    for path, seconds in timed:
        if seconds is not None and seconds < slot:
            message = f"{format_duration(seconds)} is shorter than messaging.slot ({format_duration(slot)})"
            yield Finding(
                path,
                message,
                f"at least {format_duration(slot)}, or a shorter slot",
                needs=(("messaging", "slot"),),
            )


def _shared_node_names(spec: TopologySpec) -> Iterator[Finding]:
    """A rollup's own sequencer is a node, and no rollup may carry its name."""
    if spec.messaging.mode != L1_BRIDGE:
        return
    for name in spec.rollups:
        taken = sequencer_of(name)
        if taken in spec.rollups:
            yield Finding(
                ("rollups", taken),
                f"the name {taken} is taken by the sequencer of {name}",
                f"for example {name}-other",
                at_key=True,
                needs=(("rollups", name), ("messaging", "mode")),
            )


def _shared_keys(spec: TopologySpec) -> Iterator[Finding]:
    """Keys follow from 31 bits of a hash of the name; two processes with one key would take each other's nonces."""
    owners: dict[int, str] = {}
    for name in spec.rollups:
        owner = owners.setdefault(index_of(name), name)
        if owner != name:
            yield Finding(
                ("rollups", name),
                f"the name {name} gives the same keys as {owner}, by a rare accident of hashing",
                "choose another name",
                at_key=True,
                needs=(("rollups", owner),),
            )


def _rare_proposals(spec: TopologySpec) -> Iterator[Finding]:
    """There is nothing to propose between two blocks."""
    for name, rollup in spec.rollups.items():
        interval, block = rollup.settlement.proposal_interval, block_time(spec, rollup)
        if interval is not None and interval < block:
            yield Finding(
                ("rollups", name, "settlement", "proposal_interval"),
                f"{format_duration(interval)} is shorter than the rollup's block_time ({format_duration(block)})",
                f"at least {format_duration(block)}, or a shorter block_time",
                needs=(("rollups", name, "block_time"), ("messaging", "slot")),
            )


def _closing_windows(spec: TopologySpec) -> Iterator[Finding]:
    """In a window shorter than a batch needs to reach the L1, a healthy sequencer would be replaced for ever."""
    wanted, shortest = spec.messaging.sequencing_window, shortest_window(spec)
    if wanted is not None and sequencing_window(spec) < shortest:
        least = format_duration(shortest * spec.l1.block_time)
        yield Finding(
            ("messaging", "sequencing_window"),
            f"{format_duration(wanted)} is too short for a batch to reach the L1 in: it needs {shortest} L1 blocks ({least})",
            f"at least {least}, or a shorter publish_every, or fewer l1.confirmations",
            needs=(
                ("messaging", "publish_every"),
                ("messaging", "slot"),
                ("l1", "block_time"),
                ("l1", "confirmations"),
            ),
        )


def _mixed_data_availability(spec: TopologySpec) -> Iterator[Finding]:
    """A shared sequencer posts one superbatch for all its rollups, in one way."""
    if spec.messaging.mode != SHARED_SEQUENCER:
        return
    first, *others = spec.rollups.items()
    for name, rollup in others:
        if rollup.data_availability != first[1].data_availability:
            yield Finding(
                ("rollups", name, "data_availability"),
                f"is {rollup.data_availability}, but {first[0]} says {first[1].data_availability}, and a shared sequencer posts "
                "all rollups together",
                "say the same on every rollup, or choose messaging: {mode: l1-bridge}",
                needs=(("rollups", first[0], "data_availability"), ("messaging", "mode")),
            )


def _worthless_strikes(spec: TopologySpec) -> Iterator[Finding]:
    """A call struck at the cap or above can never pay."""
    market = spec.market
    if market is None or market.strikes is None:
        return
    cap = market.spot * market.price_cap
    for index, strike in enumerate(market.strikes):
        if strike >= cap:
            message = (
                f"{strike:.15g} is not below the price cap of {cap:.15g} ({market.price_cap:.15g} times spot)"
            )
            yield Finding(
                ("market", "strikes", index),
                message,
                "lower the strike or raise price_cap",
                needs=(("market", "price_cap"),),
            )


def _options_of_others(spec: TopologySpec) -> Iterator[Finding]:
    """What an EVM rollup has no use for, and what an options rollup doesn't have."""
    for name, rollup in spec.rollups.items():
        engine: KeyPath = ("rollups", name, "engine")
        if rollup.engine != OPTIONS and rollup.options is not None:
            yield Finding(
                ("rollups", name, "options"),
                f"the engine of {name} is {rollup.engine}, which has no such options",
                "remove it, or say engine: options",
                at_key=True,
                needs=(engine,),
            )
        if rollup.engine == OPTIONS and rollup.dev_methods:
            yield Finding(
                ("rollups", name, "dev_methods"),
                "the options engine has no control methods",
                "remove it",
                needs=(engine,),
            )


def _options_alone(spec: TopologySpec) -> Iterator[Finding]:
    """An options rollup trades the topology's market, and holds only so much of one."""
    users = [name for name, rollup in spec.rollups.items() if rollup.engine == OPTIONS]
    if not users:
        return
    market, first = spec.market, users[0]
    engine: KeyPath = ("rollups", first, "engine")
    if market is None:
        message = f"{' and '.join(users)} trade{'s' if len(users) == 1 else ''} the topology's market, and there is none"
        hint = "add market: {underlying: ETH, spot: 2000, volatility: 0.6}"
        required: tuple[KeyPath, ...] = (
            ("market", "underlying"),
            ("market", "spot"),
            ("market", "volatility"),
        )
        yield Finding(engine, message, hint, needs=required)
        return
    series = 2 * len(strikes_of(market)) * len(market.expiries)
    if series > MAX_SERIES:
        yield Finding(
            ("market",),
            f"lists {series} series, calls and puts of each strike and expiry, and {first}, an options rollup, holds {MAX_SERIES}",
            "name fewer strikes or expiries",
            at_key=True,
            needs=(engine, ("market", "strikes"), ("market", "expiries")),
        )
    if market.rate < 0:
        yield Finding(
            ("market", "rate"),
            f"{market.rate:.15g} is below zero, and {first}, an options rollup, takes no discount above one",
            "use 0 or more",
            needs=(engine,),
        )


def _few_signers(spec: TopologySpec) -> Iterator[Finding]:
    """An update that needs more signatures than there are keys never comes."""
    for name, rollup in spec.rollups.items():
        oracle = rollup.options.oracle if rollup.options is not None else None
        if oracle is not None and oracle.needed is not None and oracle.needed > oracle.signers:
            place: KeyPath = ("rollups", name, "options", "oracle")
            yield Finding(
                (*place, "needed"),
                f"{oracle.needed} signatures are needed, and there are {oracle.signers} signers",
                f"at most {oracle.signers}, or more signers",
                needs=((*place, "signers"),),
            )


def _rising_auctions(spec: TopologySpec) -> Iterator[Finding]:
    """The price of an auction only falls."""
    for name, rollup in spec.rollups.items():
        said = rollup.options.liquidation if rollup.options is not None else None
        if said is not None and said.middle > said.start:
            place: KeyPath = ("rollups", name, "options", "liquidation")
            yield Finding(
                (*place, "middle"),
                f"an auction that begins at {said.start:.15g} of the value can't fall to {said.middle:.15g} of it",
                f"at most {said.start:.15g}, or a higher start",
                needs=((*place, "start"),),
            )


def _limits_of_nobody(spec: TopologySpec) -> Iterator[Finding]:
    """A limit that no node has would be silently ignored."""
    if spec.resources is None:
        return
    roles = roles_of_nodes(spec)
    needs: tuple[KeyPath, ...] = (("rollups",), ("messaging", "mode"), ("market",))
    for role in spec.resources.roles:
        if role not in roles.values():
            path: KeyPath = ("resources", "roles", role)
            yield Finding(path, f"this devnet has no {role}", "remove it", at_key=True, needs=needs)
    for name in spec.resources.nodes:
        if name not in roles:
            near = difflib.get_close_matches(name[:64], roles, n=1)
            yield Finding(
                ("resources", "nodes", name),
                f"no node is called {shown(name)}",
                f"did you mean {near[0]}?" if near else f"the nodes are: {', '.join(roles)}",
                at_key=True,
                needs=(*needs, ("rollups", name), ("rollups", name.removesuffix(_SEQUENCERS_END))),
            )
