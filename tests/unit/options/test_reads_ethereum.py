"""What Ethereum's tools read of an options rollup, checked by their own code: hashes, tries, filters, proofs, reverts."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_abi.abi import decode
from eth_utils import keccak
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import ContractCustomError

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.artifacts import artifact
from bridge.relayer.errors import NotPassed
from bridge.relayer.lifecycle import Output
from bridge.relayer.prover import inclusion
from bridge.relayer.withdrawal import PASSED_TOPIC, passed
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.server import serve
from orchestrator.runtimes.ports import PortReservations
from rollup_node.engines.options.reads.accounts import withdrawable
from rollup_node.engines.options.reads.bridge import BRIDGE_VIEWS
from rollup_node.engines.options.reads.views import VIEWS
from rollup_node.engines.options.state.trie import Trie, ordered_root, verify
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS, EXCHANGE
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.testing import Desk, address, call_data, order
from rollup_node.engines.options.travel import KEPT
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.outputs import read_output

DOLLAR = PRICE_UNIT
ALICE = AsyncWeb3.to_checksum_address(address("alice"))
ON_ACCOUNTS = to_hex(ACCOUNTS)
PASSER = AsyncWeb3.to_checksum_address(L2_TO_L1_MESSAGE_PASSER)


@pytest.fixture
def desk() -> Desk:
    """Trades, a refusal, an action, and three withdrawals in different blocks."""
    desk = Desk()
    series, _ = desk.open_market({"alice": 10_000, "bob": 10_000})
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, series, 240 * DOLLAR, 500)),
        desk.send("bob", "placeOrder", order(bob, series, 240 * DOLLAR, -300)),
        desk.send("bob", "withdraw", bob, address("bob"), 10**9 * DOLLAR),
        desk.act("carol", ("alice", alice, 1, "cancelAll", (alice, 0))),
    )
    for dollars in (1, 2, 3):
        desk.block(desk.send("bob", "withdraw", bob, address("bob"), dollars * DOLLAR))
    return desk


@contextlib.asynccontextmanager
async def served(folder: Path, desk: Desk) -> AsyncIterator[tuple[str, Any]]:
    """An engine that executed the desk's blocks, and its address."""
    async with options_engine(folder, desk) as engine:
        await engine.start()
        await Both(desk, engine).catch_up()
        with PortReservations() as ports:
            port = ports.reserve()
            async with serve(engine.request, port):
                yield f"http://127.0.0.1:{port}", engine


def _header(block: Any) -> bytes:
    """A header's RLP, made of JSON by another implementation."""
    hashes = (
        "parentHash",
        "sha3Uncles",
        "miner",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
        "logsBloom",
    )
    numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
    fields: list[Any] = [HexBytes(block[name]) for name in hashes] + [block[name] for name in numbers]
    last = [HexBytes(block[name]) for name in ("mixHash", "nonce")]
    encoded = rlp.encode([*fields, HexBytes(block.get("extraData", b"")), *last, block["baseFeePerGas"]])
    return bytes(encoded)


def _receipt(said: Any) -> bytes:
    """A receipt as the trie holds it, made of JSON by another implementation."""
    logs = [[HexBytes(log["address"]), log["topics"], log["data"]] for log in said["logs"]]
    fields = [said["status"], said["cumulativeGasUsed"], said["logsBloom"], logs]
    if said["type"] == 0x7E:
        fields += [int(said["depositNonce"], 16), int(said["depositReceiptVersion"], 16)]
    return bytes([said["type"]] if said["type"] else []) + bytes(rlp.encode(fields))


async def test_web3_reads_blocks_transactions_receipts_and_logs(desk: Desk, tmp_path: Path) -> None:
    """Hash of every header from its fields, raw transactions under their hashes, events by the published interfaces, nonces and balances."""
    async with served(tmp_path, desk) as (url, _):
        web3 = AsyncWeb3(AsyncHTTPProvider(url))
        head = await web3.eth.block_number
        assert (901, desk.number) == (await web3.eth.chain_id, head)
        for number in range(head + 1):
            block = await web3.eth.get_block(number, full_transactions=True)
            assert block["hash"] == HexBytes(keccak(_header(block)))
            receipts = await web3.eth.get_block_receipts(number)
            assert [sent["hash"] for sent in block["transactions"]] == [
                one["transactionHash"] for one in receipts
            ]
            raws = [await web3.eth.get_raw_transaction(one["transactionHash"]) for one in receipts]
            assert [HexBytes(keccak(raw)) for raw in raws] == [one["transactionHash"] for one in receipts]
            assert block["transactionsRoot"] == HexBytes(_root([bytes(raw) for raw in raws]))
            assert block["receiptsRoot"] == HexBytes(_root(list(map(_receipt, receipts))))
            assert block["gasUsed"] == sum(one["gasUsed"] for one in receipts)
            assert receipts == [
                await web3.eth.get_transaction_receipt(one["transactionHash"]) for one in receipts
            ]
        exchange = web3.eth.contract(to_hex(EXCHANGE), abi=artifact("IOptionsExchange").abi)
        (trade,) = await exchange.events.Trade().get_logs(from_block=0)
        told = trade["args"]
        assert (240 * DOLLAR, -300) == (told["price"], told["quantity"])
        owner = owner_of(desk.world, address("alice"))
        assert owner is not None
        assert owner.nonce == await web3.eth.get_transaction_count(ALICE)
        assert 10**18 < await web3.eth.get_balance(ALICE)
        assert HexBytes("0xfe") == await web3.eth.get_code(web3.to_checksum_address(ON_ACCOUNTS))
        history = await web3.eth.fee_history(3, "latest", [50.0])
        assert [0] * 4 == history["baseFeePerGas"]
        accounts = web3.eth.contract(
            web3.to_checksum_address(ON_ACCOUNTS), abi=artifact("IOptionsAccounts").abi
        )
        number = desk.account("alice")
        assert [number] == await accounts.functions.accountsOf(ALICE).call()
        cash = await accounts.functions.cashOf(number).call()
        assert cash == desk.world.accounts[number].cash
        with pytest.raises(ContractCustomError):
            await accounts.functions.withdraw(number, PASSER, cash + 1).call({"from": ALICE})
        await web3.provider.disconnect()


async def test_a_withdrawal_is_proven_against_the_output_root_however_old_it_is(
    desk: Desk, tmp_path: Path
) -> None:
    """By the relayer's own code, and by the trie's verifier as the portal runs it; before its block it isn't there."""
    async with served(tmp_path, desk) as (url, engine), Client(url) as client:
        logs = await client.call("eth_getLogs", {"fromBlock": "0x0", "topics": [PASSED_TOPIC]})
        found = [passed(log) for log in logs]
        assert [1, 2, 3] == [one.withdrawal.value // 10**18 for one in found]
        asked = (L2_TO_L1_MESSAGE_PASSER, [], "0x6")
        trie = Trie()
        for each in found[:2]:
            trie.put(keccak256(from_hex(each.withdrawal.hash) + bytes(32)), b"\x01")
        told = (await client.call("eth_getProof", *asked))["storageHash"]
        assert [5, 6, 7] == [each.block for each in found]
        assert to_hex(trie.root) == told
        for _ in range(260):
            desk.block()
        await Both(desk, engine).catch_up()
        old = 6
        assert old < desk.number - KEPT, "its state is gone, its messages aren't"
        assert told == (await client.call("eth_getProof", *asked))["storageHash"]
        for number in (desk.number, old):
            header, claimed = await engine.header(number), []
            assert header is not None
            parts = (await read_output(engine, header)).parts
            for each in found:
                if each.block > number:
                    with pytest.raises(NotPassed):
                        await inclusion(client, each.withdrawal.hash, _output(number, parts.root))
                    continue
                shown = await inclusion(client, each.withdrawal.hash, _output(number, parts.root))
                assert parts == shown.parts
                slot = keccak256(from_hex(each.withdrawal.hash) + bytes(32))
                claimed.append(verify(from_hex(parts.passer_root), slot, list(shown.nodes)))
            assert [b"\x01"] * sum(each.block <= number for each in found) == claimed


def _output(number: int, root: str) -> Output:
    return Output(0, root, 0, number)


async def test_filters_find_what_a_look_at_every_log_finds(desk: Desk, tmp_path: Path) -> None:
    """Addresses, topics in every place with choices and gaps, ranges, and one block by its hash."""
    async with served(tmp_path, desk) as (_, engine):
        everything = await engine.request("eth_getLogs", [{"fromBlock": "0x0"}])
        assert everything
        signatures = sorted({log["topics"][0] for log in everything})
        addresses = sorted({log["address"] for log in everything})
        accounts = sorted({log["topics"][1] for log in everything if len(log["topics"]) > 1})
        filters: list[dict[str, Any]] = [
            *({"address": one} for one in addresses),
            {"address": addresses[:2]},
            {"address": "0x" + "77" * 20},
            *({"topics": [one]} for one in signatures),
            {"topics": [signatures[:3]]},
            *({"topics": [None, one]} for one in accounts),
            {"topics": [None, None, None, None]},
            {"topics": [[], accounts]},
            {"topics": [signatures[0], accounts[:1]], "address": addresses},
        ]
        for wanted in filters:
            expected = [log for log in everything if _matches(wanted, log)]
            assert expected == await engine.request("eth_getLogs", [{"fromBlock": "0x0"} | wanted])
        for number in range(desk.number + 1):
            block = await engine.request("eth_getBlockByNumber", [hex(number), False])
            here = [log for log in everything if log["blockHash"] == block["hash"]]
            assert here == await engine.request("eth_getLogs", [{"blockHash": block["hash"]}])
            pinned = {"fromBlock": hex(number), "toBlock": hex(number)}
            assert here == await engine.request("eth_getLogs", [pinned])
            assert [*range(len(here))] == [int(log["logIndex"], 16) for log in here]


def _matches(wanted: dict[str, Any], log: dict[str, Any]) -> bool:
    def chosen(choice: Any) -> Iterable[str]:
        return choice if isinstance(choice, list) else [choice]

    if wanted.get("address") and log["address"] not in chosen(wanted["address"]):
        return False
    places = wanted.get("topics", [])
    if len(places) > len(log["topics"]):
        return False
    return all(not one or topic in chosen(one) for one, topic in zip(places, log["topics"], strict=False))


async def test_calls_tell_what_would_happen_and_leave_no_trace(desk: Desk, tmp_path: Path) -> None:
    """A success returns its data and the gas that its receipt then has; a refusal is error 3 with the error as revert data; nothing stays."""
    async with served(tmp_path, desk) as (_, engine):
        alice, root = desk.account("alice"), desk.world.root()
        wanted = order(alice, 1, 230 * DOLLAR, 500)
        call = {"from": ALICE, "to": to_hex(EXCHANGE), "data": to_hex(call_data("placeOrder", wanted))}
        gas = int(await engine.request("eth_estimateGas", [call]), 16)
        identity = await engine.request("eth_call", [call, "latest"])
        with pytest.raises(RpcError) as refused:
            await engine.request("eth_call", [call | {"from": to_hex(address("bob"))}])
        assert (3, True) == (refused.value.code, "NotAuthorized" in refused.value.message)
        error, *_ = decode(["uint32", "address"], from_hex(refused.value.data)[4:])
        assert alice == error
        with pytest.raises(RpcError, match="OutOfGas"):
            await engine.request("eth_call", [call | {"gas": hex(gas - 1)}])
        assert to_hex(root) == (await engine.head()).state_root
        executed = desk.block(desk.send("alice", "placeOrder", wanted))
        await Both(desk, engine).catch_up()
        (receipt,) = executed.receipts
        assert (gas, identity) == (receipt.gas_used, to_hex(receipt.data))


REFUSED: list[tuple[str, list[Any], int]] = [
    ("eth_nothing", [], -32601),
    ("anvil_setBalance", [ALICE, "0x1"], -32601),
    ("eth_getBalance", [], -32602),
    ("eth_getBalance", ["0x12"], -32602),
    ("eth_getBalance", [ALICE, "0x99"], -32000),
    ("eth_getBalance", [ALICE, "soon"], -32602),
    ("eth_getBalance", [ALICE, "latest", 1], -32602),
    ("eth_getLogs", [{"topics": ["0x12"]}], -32602),
    ("eth_getLogs", [{"topics": [[]] * 5}], -32602),
    ("eth_getLogs", [{"blockHash": "0x" + "11" * 32}], -32000),
    ("eth_getLogs", ["all"], -32602),
    ("eth_call", [{"to": ON_ACCOUNTS}, "latest", {ALICE: {}}], -32602),
    ("eth_call", [{"to": ON_ACCOUNTS, "value": True}], -32602),
    ("eth_call", [{"to": ON_ACCOUNTS, "value": 1e20}], -32602),
    ("options_getAccount", [1.5], -32602),
    ("eth_feeHistory", ["0x0", "latest", []], -32602),
    ("options_getBook", [77], -32001),
    ("options_getMargin", [99], -32001),
    ("options_getProof", ["nothing", 1], -32602),
    ("options_getTrades", [None, 100_000], -32602),
]


async def test_wrong_questions_have_standard_errors(tmp_path: Path) -> None:
    """Unknown methods and blocks, malformed and missing values: the code that JSON-RPC says, never a crash, never a wrong answer."""
    async with options_engine(tmp_path) as engine:
        await engine.start()
        for method, params, code in REFUSED:
            with pytest.raises(RpcError) as refused:
                await engine.request(method, params)
            assert (method, code) == (method, refused.value.code)
        nothing = [("eth_getBlockByNumber", ["0x7", False]), ("eth_getBlockReceipts", ["0x" + "12" * 32])]
        nothing.append(("eth_getTransactionReceipt", ["0x" + "12" * 32]))
        assert [None] * 3 == [await engine.request(*asked) for asked in nothing]


def test_views_are_those_of_the_published_interfaces() -> None:
    """Every view function that the interfaces publish is answered, with these types, and only the passer's are answered besides."""
    published = {}
    for name in ("Accounts", "Exchange", "Oracle", "Risk", "Liquidation"):
        for entry in artifact(f"IOptions{name}").abi:
            if entry["type"] == "function" and entry["stateMutability"] == "view":
                types = [",".join(one["type"] for one in entry[side]) for side in ("inputs", "outputs")]
                published[keccak(f"{entry['name']}({types[0]})".encode())[:4]] = types[1]
    answered = {
        selector: view
        for (target, selector), view in VIEWS.items()
        if to_hex(target) != L2_TO_L1_MESSAGE_PASSER and target not in {row[0] for row in BRIDGE_VIEWS}
    }
    assert set(published) == set(answered)
    for selector, view in answered.items():
        names = [getattr(one, "name", "[]") for one in view.results.members]
        assert len(published[selector].split(",")) == len(names)


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(100, 300), st.booleans(), st.booleans())
def test_a_balance_is_exactly_what_can_be_withdrawn(lots: int, price: int, sells: bool, trades: bool) -> None:
    """With orders and positions of either side: that much leaves, one unit more is refused."""
    desk = Desk()
    series, _ = desk.open_market({"alice": 10_000, "bob": 100_000})
    alice, bob = desk.account("alice"), desk.account("bob")
    size = 100 * lots * (-1 if sells else 1)
    desk.block(desk.send("alice", "placeOrder", order(alice, series, price * DOLLAR, size)))
    if trades:
        desk.block(desk.send("bob", "placeOrder", order(bob, series, price * DOLLAR, -size // 200 * 100)))
    context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
    most = withdrawable(desk.world, context, alice)
    mark = desk.world.mark()
    for amount, status in ((most + 1, "failed"), (most, "success")):
        if not amount:
            continue
        desk.world.undo(mark)
        (result,) = desk.block(desk.send("alice", "withdraw", alice, address("alice"), amount)).results
        assert (amount, status) == (amount, result.status), result.reason


@given(st.lists(st.binary(max_size=80), max_size=300))
@settings(max_examples=30)
def test_the_root_of_a_list_is_that_of_its_definition(values: list[bytes]) -> None:
    """Against a recomputation from the Yellow Paper, of any length."""
    assert _root(values) == ordered_root(values)


def _root(values: list[bytes]) -> bytes:
    entries = sorted((rlp.encode(place).hex(), value) for place, value in enumerate(values))
    return bytes(keccak(rlp.encode(_naive(entries, 0) if entries else b"")))


def _naive(entries: list[tuple[str, bytes]], depth: int) -> list[Any]:
    path = entries[0][0][depth:]
    if len(entries) == 1:
        return [_prefixed(path, 2), entries[0][1]]
    shared = 0
    while len({key[depth + shared] for key, _ in entries}) == 1:
        shared += 1
    if shared:
        return [_prefixed(path[:shared], 0), _reference(_naive(entries, depth + shared))]
    parts = [[entry for entry in entries if entry[0][depth] == digit] for digit in "0123456789abcdef"]
    return [*(_reference(_naive(part, depth + 1)) if part else b"" for part in parts), b""]


def _prefixed(path: str, flag: int) -> bytes:
    return bytes.fromhex(f"{flag + len(path) % 2:x}{'' if len(path) % 2 else '0'}{path}")


def _reference(node: list[Any]) -> Any:
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak(encoded)
