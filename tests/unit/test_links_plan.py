"""The proxy between the nodes: every call passes over a link of its own, and the links lead where the calls led."""

import re
import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.configuration import CHAOS_VARIABLE, VARIABLE
from orchestrator.links.node import Config
from orchestrator.links.plan import links_token
from orchestrator.nodes import node_specs
from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import NodeSpec
from orchestrator.topology.names import LINKS, RESERVED_NAMES
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import TopologySpec

MARKET = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}
NAMES = st.lists(
    st.from_regex(r"[a-z]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True).filter(
        lambda n: n not in RESERVED_NAMES
    ),
    min_size=1,
    max_size=5,
    unique=True,
)
FOUND = re.compile(r"\$\{url:([^:}]+):([^}]+)\}")


def plan_of(mode: str, *rollups: str) -> Plan:
    """A plan with a market."""
    content: dict[str, Any] = {"name": "x", "rollups": {name: {} for name in rollups}, "accounts": 1}
    return make_plan(TopologySpec.model_validate({**content, "messaging": {"mode": mode}, "market": MARKET}))


def links_of(proxy: NodeSpec) -> list[dict[str, str]]:
    """What the proxy is told of its links."""
    links: list[dict[str, str]] = orjson.loads(proxy.env[VARIABLE])["links"]
    return links


@settings(max_examples=30)
@given(st.sampled_from(["shared-sequencer", "l1-bridge"]), NAMES)
def test_every_call_goes_over_its_own_link(mode: str, names: list[str]) -> None:
    """Following the links gives back what nodes are told without the proxy, and each link has one caller and one endpoint."""
    plan = plan_of(mode, *names)
    plain = {spec.name: spec for spec in node_specs(plan, "anvil")}
    *nodes, proxy = node_specs(plan, "anvil", chaos=True)
    ordering.check([*nodes, proxy])
    leads = {link["port"].removeprefix("${port:").removesuffix("}"): link for link in links_of(proxy)}
    assert list(plain) == [spec.name for spec in nodes]
    used: set[str] = set()
    for spec in nodes:

        def followed(match: re.Match[str], caller: str = spec.name) -> str:
            if caller == match[1]:
                return match[0]  # its own address is no link
            assert LINKS == match[1], "nobody calls past the proxy"
            link = leads[match[2]]
            assert caller == link["source"]
            assert f"${{url:{link['target']}:{link['endpoint']}}}" == link["url"]
            used.add(match[2])
            return link["url"]

        env = {key: FOUND.sub(followed, value) for key, value in spec.env.items()}
        assert {**plain[spec.name].env, CHAOS_VARIABLE: "1"} == env
        assert plain[spec.name].command == spec.command
    assert set(leads) == used
    assert {*leads, "http"} == set(proxy.ports)
    assert frozenset(leads) == proxy.private_ports, "only the control endpoint is published"


def test_without_chaos_there_is_no_proxy() -> None:
    """Nothing changes for anybody who did not ask."""
    specs = node_specs(plan_of("shared-sequencer", "alpha"), "anvil")
    assert LINKS not in {spec.name for spec in specs}
    assert [] == [spec.name for spec in specs if LINKS in "".join(spec.env.values())]


def test_the_program_reads_what_it_is_told() -> None:
    """Ports come as text; what is no configuration is refused."""
    plan = plan_of("shared-sequencer", "alpha")
    proxy = node_specs(plan, "anvil", chaos=True)[-1]
    text = FOUND.sub("http://127.0.0.1:1", re.sub(r"\$\{port:[^}]+\}", "2", proxy.env[VARIABLE]))
    config = Config.parse(orjson.loads(text))
    assert links_token(plan) == config.token
    assert {2} == {config.port, *(link.port for link in config.links)}
    names = {"alpha→sequencer:http", "sequencer→alpha:control", "maker→alpha:http", "relayer→alpha:http"}
    names |= {f"{name}→l1:http" for name in ("alpha", "sequencer", "relayer")}
    assert names == {link.name for link in config.links}
    with pytest.raises(ValueError, match="no configuration"):
        Config.parse({"port": 1, "links": [{}]})


def test_the_program_starts_fast() -> None:
    """It imports nothing that takes long, so that it listens before others call."""
    heavy = ("web3", "pydantic", "eth_account", "networkx", "docker", "typer", "orchestrator.settlement")
    code = f"import sys, orchestrator.links.node; print([name for name in {heavy!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "[]" == said.strip()
