"""The rules that tie fields together; each is a pure function from a spec to what breaks it.

What one field can know alone is in ``spec``. A rule names both sides, so that the user can mend either.
"""

from collections.abc import Iterator

from orchestrator.topology.durations import format_duration
from orchestrator.topology.errors import Finding, KeyPath
from orchestrator.topology.names import chain_id_of
from orchestrator.topology.spec import TopologySpec


def broken_rules(spec: TopologySpec) -> tuple[Finding, ...]:
    """Everything in the spec that fits its field but not the rest."""
    return (*_shared_chain_ids(spec), *_slower_slots(spec), *_worthless_strikes(spec))


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
