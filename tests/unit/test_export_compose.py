"""The compose file: it says what the nodes are told, and is read alike by everybody; no engine is needed."""

import re
import socket
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.configuration import VARIABLE
from orchestrator.cli.testing import within
from orchestrator.export.compose import MARK, ComposeExport, published_nodes
from orchestrator.export.write import FIRST_PORT, NotExported, export_compose
from orchestrator.export.yaml_text import block
from orchestrator.nodes import node_specs
from orchestrator.runtimes.docker.image.contents import ANVIL
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import TopologySpec

NAMES = st.lists(
    st.sampled_from(["alpha", "beta", "no", "on", "y", "true", "null", "a-b", "x1"]),
    min_size=1,
    max_size=4,
    unique=True,
)
MARKET = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}
IMAGE = "rollnet:0123456789ab"


def plan_of(*rollups: str, **fields: Any) -> Plan:
    """A plan with two accounts."""
    content = {"name": "x", "rollups": {name: {} for name in rollups}, "accounts": 2, "market": MARKET}
    return make_plan(TopologySpec.model_validate({**content, **fields}))


def export_of(plan: Plan) -> ComposeExport:
    """With ports from 9000 on."""
    ports = {node: 9000 + index for index, node in enumerate(published_nodes(plan))}
    return ComposeExport(plan, IMAGE, ports, "", "compose.yaml")


def told(service: dict[str, Any]) -> dict[str, Any]:
    """What a service's node reads, after compose has replaced what it replaces."""
    text = service["environment"][VARIABLE]
    assert "$" not in text.replace("$$", "")
    configuration: dict[str, Any] = orjson.loads(text.replace("$$", "$"))
    return configuration


@settings(deadline=None, max_examples=40)
@given(NAMES, st.sampled_from(["shared-sequencer", "l1-bridge"]))
def test_services_are_the_nodes(names: list[str], mode: str) -> None:
    """One service for each node, told what the runtime tells it; addresses are names on the fabric and ports inside."""
    plan = plan_of(*names, messaging={"mode": mode})
    export = export_of(plan)
    services = yaml.safe_load(export.text())["services"]
    specs = {spec.name: spec for spec in node_specs(plan, ANVIL)}
    assert list(specs) == list(services)
    inside = {
        (name, port): 8545 + index for name, spec in specs.items() for index, port in enumerate(spec.ports)
    }
    for name, spec in specs.items():

        def filled(found: re.Match[str], own: str = name) -> str:
            match found[1].split(":"):
                case ["url", node, port]:
                    return f"http://{node}.fabric:{inside[node, port]}"
                case ["port", port]:
                    return str(inside[own, port])
                case [word]:
                    return {"data": "/rollnet/data", "run": "/rollnet/run"}[word]
            raise AssertionError(found[0])

        expected = orjson.loads(re.sub(r"\$\{([^}]+)\}", filled, spec.env[VARIABLE]))
        service = services[name]
        assert expected == told(service)
        assert [f"{name}.fabric"] == service["networks"]["fabric"]["aliases"]
        assert ["python3", *spec.command[1:]] == service["command"]
        assert [f"127.0.0.1:{export.ports[name]}:{inside[name, 'http']}"] == service["ports"]
        assert "CMD" == service["healthcheck"]["test"][0]


@settings(deadline=None, max_examples=20)
@given(NAMES)
def test_every_service_has_its_walls(names: list[str]) -> None:
    """Read-only, without rights, as nobody, with capped logs, an init, and storage that no other service writes."""
    document = yaml.safe_load(export_of(plan_of(*names)).text())
    stores = []
    for service in document["services"].values():
        assert (IMAGE, True, True, ["ALL"], ["no-new-privileges:true"]) == tuple(
            service[key] for key in ("image", "init", "read_only", "cap_drop", "security_opt")
        )
        assert not {"user", "privileged", "network_mode", "cap_add", "container_name"} & service.keys()
        assert {"max-size", "max-file"} == service["logging"]["options"].keys()
        mounts = dict(one.split(":")[1::-1] for one in service["volumes"])
        assert ("./genesis", "journal") == (mounts["/rollnet/run/genesis"], mounts["/rollnet/run/journal"])
        stores.append(mounts["/rollnet/data"])
    assert {*stores, "journal"} == document["volumes"].keys()
    assert len(stores) == len(set(stores))
    networks = document["networks"]
    assert (True, "false") == (
        networks["fabric"]["internal"],
        networks["control"]["driver_opts"]["com.docker.network.bridge.enable_icc"],
    )


def test_limits_are_said() -> None:
    """Memory without swap, processors and processes; nothing where the topology says nothing."""
    plan = plan_of("alpha", resources={"nodes": {"alpha": {"memory": "1GiB", "cpus": 1.5, "pids": 99}}})
    services = yaml.safe_load(export_of(plan).text())["services"]
    limits = {"mem_limit": 2**30, "memswap_limit": 2**30, "cpus": 1.5, "pids_limit": 99}
    assert limits == {key: services["alpha"][key] for key in limits}
    assert not limits.keys() & services["l1"].keys()


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\t\u00e9\u4e2d"))
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=5)
SCALARS = TEXTS | st.integers() | st.floats(0.05, 1024) | st.sampled_from(["no", "1:30", "0777", "<<", "~"])
CONTENT = st.recursive(
    st.dictionaries(KEYS, SCALARS | st.booleans() | st.lists(SCALARS, max_size=3)),
    lambda inner: st.dictionaries(KEYS, inner | SCALARS, max_size=4),
    max_leaves=8,
)


@given(CONTENT)
def test_yaml_is_read_as_it_was_meant(content: dict[str, Any]) -> None:
    """Whatever keys and values are called, PyYAML, which compose 1 reads with, gives them back."""
    assert content == (yaml.safe_load("\n".join(block(content))) or {})


async def test_a_file_or_a_folder(tmp_path: Path) -> None:
    """A folder holds everything; a file has its own folder beside it; nodes, who are nobody here, can read what they need."""
    plan = plan_of("alpha")
    for output, file, folder, seen in (
        ("out", "out/compose.yaml", "out", "./genesis"),
        ("net.yaml", "net.yaml", "net", "./net/genesis"),
    ):
        exported = await export_compose(plan, tmp_path / output)
        assert (tmp_path / file, tmp_path / folder) == (exported.file, exported.folder)
        services = yaml.safe_load(exported.file.read_text())["services"]
        assert f"{seen}:/rollnet/run/genesis:ro" in services["l1"]["volumes"]
        for path in (exported.folder / "genesis").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert {"l1.json", "alpha.json"} == {path.name for path in (exported.folder / "genesis").iterdir()}


async def test_only_exports_are_written_over(tmp_path: Path) -> None:
    """An earlier export is replaced; a file of somebody else is left as it was, and so is a folder in a file's place."""
    plan = plan_of("alpha")
    first = await export_compose(plan, tmp_path / "net.yaml", first_port=20_000)
    second = await export_compose(plan, tmp_path / "net.yaml", first_port=30_000)
    assert first.file == second.file
    assert second.file.read_text().startswith(MARK)
    assert "127.0.0.1:30000:" in second.file.read_text()
    foreign = tmp_path / "mine.yaml"
    foreign.write_text("services: {}\n")
    with pytest.raises(NotExported, match=r"mine\.yaml is there already"):
        await export_compose(plan, foreign)
    assert "services: {}\n" == foreign.read_text()
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(NotExported, match="taken"):
        await export_compose(plan, tmp_path / "taken")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(NotExported, match=r"folder\.yaml"):
        await export_compose(plan, tmp_path / "folder.yaml")


async def test_ports_are_free_ones_in_a_row(tmp_path: Path) -> None:
    """A port that somebody listens on is passed over; ports that were asked for are taken as they are; impossible ones are refused."""
    plan = plan_of("alpha")
    first = (await export_compose(plan, tmp_path)).export.ports
    begin = next(iter(first.values()))
    assert begin >= FIRST_PORT
    with socket.create_server(("127.0.0.1", begin + 2)):
        passed = list((await export_compose(plan, tmp_path)).export.ports.values())
        asked = list((await export_compose(plan, tmp_path, begin)).export.ports.values())
    count = len(first)
    assert begin + 2 not in passed
    assert list(range(passed[0], passed[0] + count)) == passed
    assert list(range(begin, begin + count)) == asked
    for impossible in (0, -5, 65_535):
        with pytest.raises(NotExported, match="first-port"):
            await export_compose(plan, tmp_path, impossible)


async def test_the_command(tmp_path: Path, repository: Path) -> None:
    """``export compose --json`` names the file, every endpoint as `up` does, and the accounts; mistakes exit with 2."""
    topology = str(repository / "topologies" / "bridge-pair.yaml")
    said = await within(tmp_path, "export", "compose", topology, "--output", str(tmp_path / "o"), "--json")
    assert 0 == said.code, said
    assert {"alpha-sequencer", "beta-sequencer"} == said.json["endpoints"]["sequencers"].keys()
    assert {"alpha", "beta"} == said.json["endpoints"]["rollups"].keys()
    text = Path(said.json["file"]).read_text()
    for found in said.json["endpoints"]["rollups"].values():
        assert found["http"].removeprefix("http://") in text
    wrong = await within(tmp_path, "export", "compose", str(tmp_path / "nothing.yaml"), "--json")
    assert (2, True) == (wrong.code, "no such file" in wrong.json["error"]["message"])
