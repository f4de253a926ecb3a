"""The OpenRPC document: it is the table of methods, what answers look like, and what its file says."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema  # type: ignore[import-untyped]  # no stubs in the lock
import pytest

from bridge.wire.errors import METHOD_NOT_FOUND, RpcError
from bridge.wire.keccak import keccak256, to_hex
from rollup_node.engines.options.reads.feeds import FEEDS
from rollup_node.engines.options.reads.methods import BLOCK_PLACES, METHODS
from rollup_node.engines.options.reads.openrpc import FILE, NODE, document, text
from rollup_node.engines.options.reads.portfolio import combos
from rollup_node.engines.options.reads.results import FEED_DATA, RESULTS
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS, MESSAGE_PASSER
from rollup_node.engines.options.transition.backstop import BACKSTOP
from rollup_node.engines.options.transition.testing import Desk, address, order
from rollup_node.engines.options.transition.testing_auctions import sent
from rollup_node.engines.options.transition.testing_combos import Rollups
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.gateway import Heads, route

DOLLAR, ONE = PRICE_UNIT, 10_000
ANSWERED_BY_THE_NODE = {
    "web3_clientVersion", "eth_chainId", "eth_blockNumber", "eth_syncing", "eth_accounts", "eth_gasPrice",
    "eth_maxPriorityFeePerGas", "eth_getLogs",
}  # fmt: skip
"""Methods of the engine that its node answers for it."""
NODES_OWN = {*NODE} - {"rpc.discover"}


def schema_of(part: Mapping[str, Any]) -> Any:
    """What checks values against a part of the document."""
    whole = {**part, "components": document()["components"]}
    return jsonschema.Draft7Validator(whole)


@pytest.fixture
def desk() -> Desk:
    """Trades, resting orders, a key, withdrawals of both kinds, a refusal, an account up for auction, and a vault."""
    desk = Desk()
    desk.open_market({"alice": 100_000, "bob": 100_000, "dan": 850})
    alice, bob, dan = (desk.account(name) for name in ("alice", "bob", "dan"))
    desk.block(
        desk.send("bob", "placeOrder", order(bob, 1, 240 * DOLLAR, ONE)),
        desk.send("dan", "placeOrder", order(dan, 1, 240 * DOLLAR, -ONE)),
        desk.send("alice", "placeOrder", order(alice, 1, 200 * DOLLAR, 200)),
        desk.send("alice", "registerKey", alice, address("key"), 1, 2**40),
        desk.send("bob", "withdraw", bob, address("bob"), 10**9 * DOLLAR),
        desk.send("bob", "withdraw", bob, address("bob"), DOLLAR),
        sent(desk, "alice", BACKSTOP, 70 * DOLLAR),
    )
    desk.block(desk.update(3_600 * DOLLAR))
    desk.block(desk.send("bob", "bid", bob, dan, 100_000, 10**12))
    return desk


def test_its_file_is_current() -> None:
    """``python -m rollup_node.engines.options.reads.openrpc --write`` would change nothing."""
    assert text() == (Path(__file__).parents[3] / FILE).read_text(encoding="utf-8")


def test_it_is_the_table_of_methods() -> None:
    """Every method with its parameters in order, required ones first, each with a schema that is one; and every feed."""
    told = {method["name"]: method for method in document()["methods"]}
    assert ({*METHODS} | {*NODE}, {*told}) == ({*told}, {*RESULTS})
    assert not {*METHODS} & {*NODE}
    for name, method in METHODS.items():
        expected = [(param.name, param.required) for param in method.params]
        assert expected == [(param["name"], param["required"]) for param in told[name]["params"]], name
    for method in told.values():
        for part in (*method["params"], method["result"]):
            jsonschema.Draft7Validator.check_schema(part["schema"])
        assert "by-position" == method["paramStructure"]
    assert [*FEEDS] == [*FEED_DATA] == [feed["name"] for feed in document()["x-feeds"]]


def test_a_node_answers_every_method() -> None:
    """The gateway knows each method of the engine's table, unless the node answers it itself."""
    heads = Heads(9, 0, 0)
    for name, method in METHODS.items():
        if name in ANSWERED_BY_THE_NODE:
            continue
        params = ["0x" + "11" * 32 if param.name == "hash" else "0x1" for param in method.params]
        assert route(name, params, heads, dev_methods=False, more_reads=BLOCK_PLACES).kind, name
    for name in NODES_OWN | {"options_getWeather"}:
        with pytest.raises(RpcError) as told:
            route(name, [], heads, dev_methods=False, more_reads=BLOCK_PLACES)
        assert METHOD_NOT_FOUND == told.value.code


async def test_answers_are_of_its_schemas(desk: Desk, tmp_path: Path) -> None:
    """Every method of the engine is asked with parameters that its schemas allow, and answers as its schema says; feeds too."""
    told = {method["name"]: method for method in document()["methods"]}
    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        head = await Both(desk, engine).catch_up()
        block = await engine.request("eth_getBlockByNumber", [hex(head.number - 2), True])
        steps = await engine.request("options_getSteps", ["latest"])
        questions = _questions(desk, block, steps)
        assert {*METHODS} == {*questions}
        for name, asked in questions.items():
            for params in asked:
                for param, value in zip(told[name]["params"], params, strict=False):
                    if value is not None:
                        schema_of(param["schema"]).validate(value)
                assert sum(param["required"] for param in told[name]["params"]) <= len(params), name
                schema_of(told[name]["result"]["schema"]).validate(await engine.request(name, params))
        for feed, data in FEED_DATA.items():
            for series in (1, 2) if feed in ("book", "ticker") else (desk.account("bob"),):
                params = [] if feed in ("trades", "marks") else [series]
                view = await engine.request("options_getFeed", [feed, params, 0])
                schema_of(data).validate(view["data"])
                schema_of(document()["x-notifications"][0]["params"][1]["schema"]).validate(view)


def test_locked_combos_are_of_their_schema() -> None:
    """A lock over two rollups, with its pledges; and the schema takes neither a field more nor one less."""
    rollups = Rollups(strikes=(3_000, 4_000))
    assert [] == rollups.run(rollups.locks([(901, 3_000, True, -1), (902, 4_000, True, 1)]))[1]
    schema = schema_of(RESULTS["options_getCombos"])
    for desk in rollups.desks.values():
        scene = cast("Scene", SimpleNamespace(world=desk.world))
        (told,) = combos(scene, desk.account("alice"))
        assert told["pledges"]
        schema.validate([told])
        wrong = ({**told, "weather": "1"}, {**told, "due": 1}, {k: v for k, v in told.items() if k != "due"})
        assert [False] * 3 == [schema.is_valid([one]) for one in wrong]


def _questions(desk: Desk, block: dict[str, Any], steps: list[Any]) -> dict[str, list[list[Any]]]:
    """What each method is asked."""
    alice, bob, dan = (desk.account(name) for name in ("alice", "bob", "dan"))
    number, digest, owner = block["number"], block["hash"], to_hex(address("alice"))
    hashes = [one["hash"] for one in block["transactions"]]
    passer = to_hex(MESSAGE_PASSER)
    call = {"to": to_hex(ACCOUNTS), "data": to_hex(keccak256(b"openAccount()")[:4]), "from": owner}
    view = {**call, "data": to_hex(keccak256(b"accountsOf(address)")[:4] + bytes(12) + address("alice"))}
    found: dict[str, list[list[Any]]] = {name: [[]] for name, method in METHODS.items() if not method.params}
    return found | {
        "web3_sha3": [["0x1234"]],
        "eth_feeHistory": [["0x3", "latest"], ["0x3", "latest", [50]]],
        "eth_getBlockByHash": [[digest, False], [digest, True], ["0x" + "00" * 32]],
        "eth_getBlockByNumber": [[number, True], [number], ["0xffffff"]],
        "eth_getBlockReceipts": [[number], ["0x0"]],
        "eth_getBlockTransactionCountByHash": [[digest], ["0x" + "00" * 32]],
        "eth_getBlockTransactionCountByNumber": [[number]],
        "eth_getUncleCountByBlockHash": [[digest]],
        "eth_getUncleCountByBlockNumber": [[number]],
        "eth_getTransactionByBlockHashAndIndex": [[digest, "0x0"], [digest, "0xffff"]],
        "eth_getTransactionByBlockNumberAndIndex": [[number, "0x1"], ["0x1", "0x0"]],
        "eth_getTransactionByHash": [[one] for one in hashes],
        "eth_getTransactionReceipt": [[one] for one in hashes],
        "eth_getRawTransactionByHash": [[hashes[0]], ["0x" + "00" * 32]],
        "eth_getLogs": [[{"fromBlock": "0x0"}]],
        "eth_getBalance": [[owner]],
        "eth_getTransactionCount": [[owner, "latest"]],
        "eth_getCode": [[passer], [owner]],
        "eth_getStorageAt": [[passer, "0x0"]],
        "eth_getProof": [[passer, ["0x0"], "latest"], [owner, []]],
        "eth_call": [[view], [call, "latest"]],
        "eth_estimateGas": [[call]],
        "eth_createAccessList": [[call]],
        "options_getSeries": [[None, True], ["ETH"]],
        "options_getMarks": [["ETH"], []],
        "options_getBook": [[1], [2, 3]],
        "options_getQuotes": [["ETH", "0x64"]],
        "options_getTrades": [[], [1, 5]],
        "options_getFeed": [["book", [1]], ["trades", [], 0]],
        "options_getAccounts": [[owner], ["0x" + "77" * 20]],
        "options_getOmissions": [[[{key: one[key] for key in ("raw", "root")} for one in steps]]],
        "options_getAuction": [[dan], [bob]],
        **{name: [[]] for name in (
            "options_getAuctions", "options_getBackstop", "options_getFees", "options_getBreakers",
            "options_getTotals", "options_getSteps",
        )},
        "options_getProof": [["account", alice], ["book", 99]],
        **{f"options_get{what}": [[who] for who in (alice, bob, dan)] for what in (
            "Account", "Margin", "Positions", "Combos", "Orders", "Greeks",
        )},
    }  # fmt: skip
