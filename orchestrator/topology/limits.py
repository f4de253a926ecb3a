"""What each node may use of its machine: the file's default, its role's and its own word, the nearest one first. Pure."""

from collections.abc import Mapping

from orchestrator.topology.names import L1, MAKER, RELAYER, SEQUENCER, sequencer_of
from orchestrator.topology.plan import SHARED_SEQUENCER, NodeLimits
from orchestrator.topology.spec import LimitsSpec, ResourcesSpec, TopologySpec


def roles_of_nodes(spec: TopologySpec) -> dict[str, str]:
    """The role of every node of a devnet, by the node's name."""
    shared = spec.messaging.mode == SHARED_SEQUENCER
    sequencers = [SEQUENCER] if shared else [sequencer_of(rollup) for rollup in spec.rollups]
    return {
        L1: "l1",
        **dict.fromkeys(sequencers, "sequencer"),
        **dict.fromkeys(spec.rollups, "rollup"),
        RELAYER: "relayer",
        **({MAKER: "maker"} if spec.market is not None else {}),
    }


def node_limits(spec: TopologySpec) -> tuple[NodeLimits, ...]:
    """The limits of every node that has one."""
    resources = spec.resources
    if resources is None:
        return ()
    every = {
        node: _limits_of(node, (resources, *_said(resources.roles, role), *_said(resources.nodes, node)))
        for node, role in roles_of_nodes(spec).items()
    }
    return tuple(limits for node, limits in every.items() if limits != NodeLimits(node))


def _said(limits: Mapping[str, LimitsSpec], name: str) -> tuple[LimitsSpec, ...]:
    return (limits[name],) if name in limits else ()


def _limits_of(node: str, said: tuple[ResourcesSpec | LimitsSpec, ...]) -> NodeLimits:
    """What was said last about each resource."""

    def last(resource: str) -> float | None:
        values = [getattr(one, resource) for one in said]
        return next((value for value in reversed(values) if value is not None), None)

    memory, pids = last("memory"), last("pids")
    return NodeLimits(
        node,
        memory_bytes=None if memory is None else int(memory),
        cpus=last("cpus"),
        pids=None if pids is None else int(pids),
    )
