"""Putting the proxy between the nodes of a devnet. Pure.

Every address of another node that a node is told becomes an address of the proxy's: one port for each pair of caller and called
endpoint. What the proxy is told are the real addresses, so the placeholders only move::

    alpha:  sequencer_url = ${url:sequencer:http}   becomes   ${url:links:alpha_sequencer_http}
    links:  {source: alpha, target: sequencer, endpoint: http, port: ${port:alpha_sequencer_http}, url: ${url:sequencer:http}}

Who is outside of the devnet goes straight to the nodes: only the proxy's control endpoint is published.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from bridge.wire.configuration import VARIABLE
from orchestrator.links.rpc import READY_PATH
from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import HttpRequest, NodeSpec
from orchestrator.settlement.deployments import role_of
from orchestrator.topology.names import LINKS, RELAYER
from orchestrator.topology.plan import Plan

CONTROL = "http"
"""Name of the control endpoint."""


def through_links(specs: Sequence[NodeSpec], token: str) -> tuple[NodeSpec, ...]:
    """The same nodes, talking to one another through a node ``links``, which comes last.

    Args:
        specs: all nodes.
        token: that the proxy's control endpoint asks for.
    """
    found: dict[str, _Way] = {}
    rewritten = tuple(_rewritten(spec, {other.name: other for other in specs}, found) for spec in specs)
    ways = [found[port] for port in sorted(found)]
    return (*rewritten, _proxy(ways, token))


def links_token(plan: Plan) -> str:
    """Bearer token of the control endpoint: the same for all who have the plan, also after a restart."""
    secret = f"{role_of(plan, RELAYER).private_key}/{plan.name}/links/control"
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Way:
    """A directed link, by names."""

    source: str
    target: str
    endpoint: str
    scheme: str

    @property
    def port(self) -> str:
        """Of the proxy; names of nodes have no underscore."""
        return f"{self.source}_{self.target}_{self.endpoint}"


def _rewritten(spec: NodeSpec, specs: dict[str, NodeSpec], found: dict[str, _Way]) -> NodeSpec:
    def through(words: tuple[str, ...]) -> str:
        match words:
            case ("url", target, endpoint) if target != spec.name and target in specs:
                way = _Way(spec.name, target, endpoint, specs[target].ports.get(endpoint, "http"))
                found[way.port] = way
                return f"${{url:{LINKS}:{way.port}}}"
            case _:
                return f"${{{':'.join(words)}}}"

    return replace(
        spec,
        command=tuple(ordering.fill(word, through) for word in spec.command),
        env={key: ordering.fill(value, through) for key, value in spec.env.items()},
    )


def _proxy(ways: Sequence[_Way], token: str) -> NodeSpec:
    configuration = {
        "port": f"${{port:{CONTROL}}}",
        "token": token,
        "links": [
            {
                "source": way.source,
                "target": way.target,
                "endpoint": way.endpoint,
                "url": f"${{url:{way.target}:{way.endpoint}}}",
                "port": f"${{port:{way.port}}}",
            }
            for way in ways
        ],
    }
    return NodeSpec(
        name=LINKS,
        role=LINKS,
        command=("${python}", "-m", "orchestrator.links.node"),
        ports={CONTROL: "http", **{way.port: way.scheme for way in ways}},
        private_ports=frozenset(way.port for way in ways),
        env={VARIABLE: orjson.dumps(configuration).decode(), "PYTHONUNBUFFERED": "1"},
        readiness=HttpRequest(CONTROL, READY_PATH),
    )
