"""An options rollup beside an EVM rollup: the same node, sequencer, bridge and verifier, with an order book for an engine.

The module is long because everything that needs such a devnet shares one: starting it takes longer than any of its tests.
"""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema  # type: ignore[import-untyped]  # no stubs in the lock
import orjson
import pytest
import pytest_asyncio
from web3.exceptions import ContractCustomError

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import FOLDER, artifact
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.chains import ChainHandle, Refused
from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.funding import WEI_PER_CASH, amm_owner, backstop_owner, cash_on_options
from orchestrator.topology.plan import Account, OptionsPlan
from orchestrator.verification import live_sources, stored_sources, verify
from orchestrator.verification.testing import LyingClient, flipped, posted, with_input
from orchestrator.waiting import eventually
from rollup_node.engines.options.reads.market import trade_json
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS, EVENTS, EXCHANGE
from rollup_node.engines.options.transactions.receipts import Log
from rollup_node.engines.options.transition.testing import call_data

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

NAME, ETHER = "mixed", 10**18
CONTRACT = 10_000
SETTLED = "block_time: 1s, settlement: {challenge_period: 1s, proposal_interval: 1s}"
QUICK = """l1: {block_time: 300ms, confirmations: 1}
messaging: {slot: 100ms, publish_every: 300ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
FEES = "{fees: {per_listing: 1.25}}"
SINK = "0x" + "5e" * 20


@dataclass(frozen=True)
class World:
    """A devnet of one rollup of each kind, and its end."""

    net: Devnet
    stack: AsyncExitStack

    @property
    def gamma(self) -> ChainHandle:
        """The options rollup."""
        return self.net.rollup("gamma")

    @property
    def options(self) -> OptionsPlan:
        """How it is meant to be."""
        (found,) = [rollup.options for rollup in self.net.plan.rollups if rollup.name == "gamma"]
        assert found is not None
        return found

    async def cash(self, address: str) -> int:
        """Of an address's primary account, micro-USD."""
        found = await self.gamma.rpc("options_getAccounts", address)
        if not found["accounts"]:
            return 0
        return int((await self.gamma.rpc("options_getAccount", found["accounts"][0]))["cash"])

    async def goes_on(self) -> None:
        """Both rollups make further blocks."""
        for name in ("alpha", "gamma"):
            chain = self.net.rollup(name)
            height = await chain.height()

            async def higher(chain: ChainHandle = chain, height: int = height) -> bool:
                return await chain.height() > height + 1

            await eventually(higher, 15, f"{name} to go on")

    async def down(self) -> Path:
        """Take it down, once; its run directory stays."""
        await self.stack.aclose()
        return self.net.directory.path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """One EVM and one options rollup under a shared sequencer."""
    topology = topology_file(
        NAME,
        ("alpha", "gamma"),
        QUICK,
        alpha=f"{{{SETTLED}}}",
        gamma=f"{{engine: options, options: {FEES}, {SETTLED}}}",
    )
    async with AsyncExitStack() as stack:
        yield World(await stack.enter_async_context(launched(topology)), stack)


async def test_it_begins_as_its_topology_says(world: World, inside: Rollnet) -> None:
    """Cash of everybody, the market maker's too, is the genesis's, and the portal holds it; the commands say what engine it has."""
    plan = world.net.plan
    expected = cash_on_options(plan, world.options)
    people = [
        plan.users[3].address,
        plan.role("guardian").address,
        amm_owner(),
        backstop_owner(),
    ]
    assert [expected[who.lower()] for who in people] == [await world.cash(who) for who in people]
    totals = await world.gamma.rpc("options_getTotals", "0x0")
    assert WEI_PER_CASH * sum(expected.values()) == int(totals["vault"])
    portal = deployments(plan).rollups["gamma"].portal
    assert int(totals["vault"]) == int(await world.net.l1.rpc("eth_getBalance", portal, "0x0"), 16)
    known = await world.gamma.rpc("options_getParameters")
    market = known["markets"]["1"]
    assert ("ETH", 2, plan.rollups[1].chain_id) == (
        market["symbol"], known["signers_needed"], known["chain_id"],
    )  # fmt: skip
    said, human = [await inside("status", NAME, *options) for options in (("--json",), ())]
    (devnet,) = said.json["devnets"]
    engines = {name: found["engine"] for name, found in devnet["endpoints"]["rollups"].items()}
    assert {"alpha": "evm", "gamma": "options"} == engines
    assert [True] == [("options" in line) for line in human.out.splitlines() if "gamma" in line]


async def test_cash_comes_from_l1_and_moves(
    world: World, rollnet: Rollnet, signed: Callable[..., str], receipt_of: Callable[..., Awaitable[Any]]
) -> None:
    """An ether of L1 is a dollar here; ordinary signed transactions move it in whole millionths, and nothing else."""
    sender, other = world.net.accounts[1], world.net.accounts[2]
    mine, theirs = await world.cash(sender.address), await world.cash(other.address)
    said = await rollnet("deposit", "gamma", "2.5", "--account", "1", "--net", NAME, "--json")
    assert (0, "executed") == (said.code, said.json["outcome"]), said
    assert mine + 2_500_000 == await world.cash(sender.address)

    nonce = int(await world.gamma.rpc("eth_getTransactionCount", sender.address, "pending"), 16)
    raw = signed(sender, world.gamma, nonce, to=other.address, value=1_500_001 * WEI_PER_CASH)
    receipt = await receipt_of(world.gamma, await world.gamma.rpc("eth_sendRawTransaction", raw))
    assert ("0x1", "0x2") == (receipt["status"], receipt["type"])
    assert theirs + 1_500_001 == await world.cash(other.address)
    assert (mine + 2_500_000 - 1_500_001) * WEI_PER_CASH == int(
        await world.gamma.rpc("eth_getBalance", sender.address, "latest"), 16
    )
    raw = signed(sender, world.gamma, nonce + 1, to=other.address, value=WEI_PER_CASH + 1)
    receipt = await receipt_of(world.gamma, await world.gamma.rpc("eth_sendRawTransaction", raw))
    assert ("0x0", theirs + 1_500_001) == (receipt["status"], await world.cash(other.address))


async def test_a_withdrawal_is_paid_by_the_portal(world: World, rollnet: Rollnet) -> None:
    """The relayer proves and finalizes it on the real OptimismPortal, which then holds what the rollup's vault says."""
    said = await rollnet("withdraw", "gamma", "1.25", "--to", SINK, "--net", NAME, "--wait", "--json")
    assert (0, "finalized") == (said.code, said.json["outcome"]), said
    assert 1_250_000 * WEI_PER_CASH == int(await world.net.l1.rpc("eth_getBalance", SINK, "latest"), 16)
    totals = await world.gamma.rpc("options_getTotals")
    portal = deployments(world.net.plan).rollups["gamma"].portal
    held = int(await world.net.l1.rpc("eth_getBalance", portal, "latest"), 16)
    assert (1, int(totals["vault"])) == (totals["withdrawals"], held)


async def test_economics_are_what_l1_and_the_rollups_say(world: World, rollnet: Rollnet) -> None:
    """Costs are to the wei what the operator's accounts have spent on L1; fees are those of the vaults and of the schedule; sums add up."""
    said, human = await asyncio.gather(rollnet("economics", NAME, "--json"), rollnet("economics", NAME))
    assert (0, 0) == (said.code, human.code)
    found, where = said.json, deployments(world.net.plan).rollups
    for kind, payers in (
        ("batches", {one.batcher for one in where.values()}),
        ("proposals", {one.proposer for one in where.values()}),
    ):
        spent = 0
        for payer in payers:
            balances = [
                int(await world.net.l1.rpc("eth_getBalance", payer, hex(block)), 16)
                for block in (0, found["l1_block"])
            ]
            spent += balances[0] - balances[1]
        assert spent * Decimal(found["spot"]) == Decimal(found["total"]["l1_cost"][kind]) * ETHER
    alpha, gamma = found["rollups"]["alpha"], found["rollups"]["gamma"]
    listed = await world.gamma.rpc("options_getSeries", None, True)
    assert Decimal("1.25") * len(listed) == Decimal(gamma["fees"]["kinds"]["listing"])
    assert 0 < Decimal(alpha["fees"]["kinds"]["base"])
    for one in (alpha, gamma):
        fees, cost = Decimal(one["fees"]["sequencer"]), Decimal(one["l1_cost"]["total"])
        assert fees - cost == Decimal(one["profit_and_loss"])
        assert max(Decimal(0), cost - fees) == Decimal(one["subsidy"])
        assert 0 < cost
    assert {"alpha", "gamma", "total"} <= {line.split()[0] for line in human.out.splitlines() if line.split()}


async def test_reads_are_those_of_the_gate(world: World, inside: Rollnet) -> None:
    """The engine's own reads are pinned like Ethereum's; what needs the EVM, tokens or control methods is refused in words."""
    gamma = world.gamma
    number = int((await gamma.rpc("options_getTotals", "latest"))["block"])
    assert number <= await gamma.height()
    digest = (await gamma.rpc("eth_getBlockByNumber", hex(number), False))["hash"]
    assert number == (await gamma.rpc("options_getTotals", {"blockHash": digest}))["block"]
    assert [] == await gamma.rpc("options_getTrades", None, 5)
    refused: dict[str, tuple[str, list[Any]]] = {
        "header not found": ("options_getTotals", [hex(number + 10_000)]),
        "missing value": ("options_getBook", []),
        "not a block number": ("options_getTotals", ["never"]),
        "UnknownTarget": ("eth_call", [{"to": OPTIONS_MARKET, "data": "0x12345678"}, "latest"]),
        "does not exist": ("debug_traceCall", [{"to": OPTIONS_MARKET}, "latest", {}]),
        "controls the engine": ("anvil_mine", []),
    }
    for words, (method, params) in refused.items():
        with pytest.raises(Refused, match=words):
            await gamma.rpc(method, *params)
    with pytest.raises(Refused, match="does not exist"):
        await world.net.rollup("alpha").rpc("options_getTotals")
    tokens = ("gamma", "5", "--token", OPTIONS_MARKET, "--net", NAME)
    for said in [await inside(command, *tokens) for command in ("deposit", "withdraw")]:
        assert (2, True) == (said.code, "is an options rollup, which holds dollars and no tokens" in said.err)


async def test_amounts_are_dollars(world: World, inside: Rollnet) -> None:
    """What is asked for, refused and done on an options rollup is said in its coin, with what that is on L1; finer amounts would be dust."""
    sent = await inside("deposit", "gamma", "7.5", "--account", "1", "--net", NAME, "--no-wait")
    asked = await inside("withdraw", "gamma", "1.5", "--account", "1", "--net", NAME, "--no-wait", "--json")
    said = await inside("withdraw", "--status", asked.json["hash"], "--net", NAME)
    letter = await inside(
        "message",
        "send",
        "gamma",
        "alpha",
        "--value",
        "2",
        "--account",
        "1",
        "--no-wait",
        "--net",
        NAME,
        "--json",
    )
    assert (2, 2, 2) == (sent.code, asked.code, letter.code), (sent, asked, letter)
    assert "deposit of 7.5 USD to gamma: unknown" in sent.out
    assert "7.5 ETH on L1: 1 ETH there is 1 USD of cash on gamma, wei for wei" in sent.out
    assert ("1.5", "USD") == (asked.json["amount"], asked.json["currency"])
    assert "withdrawal of 1.5 USD from gamma: unfinished" in said.out
    assert ("2", "USD", "2 ETH") == tuple(letter.json[key] for key in ("value", "currency", "booked"))
    refused = {
        ("withdraw", "gamma", "1e9"): "and this takes 1000000000 USD with fees",
        ("withdraw", "gamma", "1e-7"): "1e-7 USD is not a whole number of millionths of a dollar",
        ("deposit", "gamma", "1e-7"): "1e-7 USD is not a whole number of millionths of a dollar",
        (
            "message",
            "send",
            "alpha",
            "gamma",
            "--value",
            "1e-7",
        ): "1e-7 ETH is not a whole number of millionths",
    }
    for arguments, words in refused.items():
        found = await inside(*arguments, "--net", NAME)
        assert (2, True) == (found.code, words in found.err), found


async def test_tools_trade_unmodified(world: World, cast: str, node: str, repository: Path) -> None:
    """viem, cast and web3.py at the same time: views, estimates, an EIP-1559 call of a system address, receipt, event, custom error, block."""
    series = min(one["series"] for one in await world.gamma.rpc("options_getSeries", "ETH"))
    viem, native, web3 = await asyncio.gather(
        _trade_with_viem(world, node, repository, series),
        _trade_with_cast(world, cast, series),
        _trade_with_web3(world, series),
    )
    for place, said in ((5, viem), (6, native), (7, web3)):
        owner = world.net.accounts[place].address
        (number, *_) = (await world.gamma.rpc("options_getAccounts", owner))["accounts"]
        (held,) = await world.gamma.rpc("options_getPositions", number)
        assert (series, str(CONTRACT)) == (held["series"], held["quantity"])
        assert (world.gamma.chain_id, number, [series, number, str(CONTRACT)]) == (
            said["chainId"], said["account"], said["trade"],
        )  # fmt: skip
        assert ["UnknownSeries", ["999"]] == said["refused"]
        header = await world.gamma.rpc("eth_getBlockByHash", said["blockHash"], False)
        assert (header["hash"], True) == (said["headerHash"], said["poorer"])
    assert ("success", "eip1559", True, True) == tuple(
        viem[key] for key in ("status", "type", "gasEnough", "logs")
    )


async def test_feeds_follow_decided_blocks(
    world: World, signed: Callable[..., str], receipt_of: Callable[..., Awaitable[Any]]
) -> None:
    """A trade is in each feed that it moves, as the schemas say, by blocks of the chain; after the end of a subscription nothing is told."""
    gamma, user = world.gamma, world.net.accounts[8]
    described = await gamma.rpc("rpc.discover")
    notice = described["x-notifications"][0]["params"][1]["schema"] | {"components": described["components"]}
    series = max(one["series"] for one in await gamma.rpc("options_getSeries", "ETH"))
    (number, *_) = (await gamma.rpc("options_getAccounts", user.address))["accounts"]
    asked = (
        ("trades", series),
        ("positions", number),
        ("greeks", number),
        ("margin", number),
        ("ticker", series),
    )
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(gamma.ws) as socket,
        asyncio.timeout(20),
    ):
        told: dict[str, list[Any]] = {}

        async def call(method: str, *params: Any) -> Any:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            while "id" not in (said := await socket.receive_json()):
                told[said["params"]["subscription"]].append(said["params"]["result"])
            return said

        feeds = {}
        for feed, place in asked:
            feeds[feed] = (await call("options_subscribe", feed, place))["result"]
            told[feeds[feed]] = []
        refused = await call("options_subscribe", "weather")
        assert (-32602, True) == (
            refused["error"]["code"],
            "no 'weather' feed" in refused["error"]["message"],
        )
        data = call_data("tradeAmm", number, series, True, CONTRACT, 2**64 - 1)
        raw = signed(user, gamma, 0, to=to_hex(EXCHANGE), data=data, gas=500_000)
        receipt = await receipt_of(gamma, await gamma.rpc("eth_sendRawTransaction", raw))

        block = int(receipt["blockNumber"], 16)
        while not all(views and views[-1]["block"] >= block for views in told.values()):
            said = (await socket.receive_json())["params"]
            told[said["subscription"]].append(said["result"])
        (trade,) = told[feeds["trades"]][-1]["data"]
        assert (number, receipt["transactionHash"]) == (trade["taker"], trade["transaction"])
        positions = [[one["quantity"] for one in view["data"]] for view in told[feeds["positions"]]]
        assert ([], [str(CONTRACT)]) == (positions[0], positions[-1])
        for view in (view for views in told.values() for view in views):
            jsonschema.Draft7Validator(notice).validate(view)
            assert (
                view["hash"] == (await gamma.rpc("eth_getBlockByNumber", hex(view["block"]), False))["hash"]
            )
        assert [True] * 5 == [(await call("options_unsubscribe", one))["result"] for one in feeds.values()]
        assert (await call("options_unsubscribe", feeds["trades"]))["result"] is False
        counts = [len(views) for views in told.values()]
        await world.goes_on()
        assert hex(gamma.chain_id) == (await call("eth_chainId"))["result"]
        assert counts == [len(views) for views in told.values()]
    with pytest.raises(Refused, match="does not exist"):
        await world.net.rollup("alpha").rpc("rpc.discover")


async def _output_of(*command: str, code: int = 0) -> str:
    """What a tool says; in its error output too, where it is meant to fail."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(30):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code == process.returncode, f"{command}\n{err.decode()}\n{out.decode()}"
    return (err if code else out).decode().strip()


async def _trade_with_viem(world: World, node: str, repository: Path, series: int) -> dict[str, Any]:
    given = {
        "http": world.gamma.http,
        "chainId": world.gamma.chain_id,
        "key": world.net.accounts[5].private_key,
        "artifacts": str(FOLDER),
        "accounts": to_hex(ACCOUNTS),
        "exchange": to_hex(EXCHANGE),
        "series": series,
    }
    script = repository / "tests" / "scenarios" / "options" / "trade_options_with_viem.mjs"
    said: dict[str, Any] = orjson.loads(await _output_of(node, str(script), orjson.dumps(given).decode()))
    return said


async def _trade_with_cast(world: World, cast: str, series: int) -> dict[str, Any]:
    user, exchange = world.net.accounts[6], to_hex(EXCHANGE)
    rpc = ("--rpc-url", world.gamma.http)
    trade, rest = "tradeAmm(uint32,uint32,bool,uint64,uint64)", ("true", str(CONTRACT), str(2**64 - 1))
    chain, before, accounts = await asyncio.gather(
        _output_of(cast, "chain-id", *rpc),
        _output_of(cast, "balance", *rpc, user.address),
        _output_of(cast, "call", *rpc, to_hex(ACCOUNTS), "accountsOf(address)(uint32[])", user.address),
    )
    number = accounts.strip("[]")
    send = (cast, "send", *rpc, "--private-key", user.private_key, "--json", exchange, trade, number)
    receipt = orjson.loads(await _output_of(*send, str(series), *rest))
    after, block, logs, failure = await asyncio.gather(
        _output_of(cast, "balance", *rpc, user.address),
        _output_of(cast, "block", *rpc, "--json", str(int(receipt["blockNumber"], 16))),
        _output_of(
            cast,
            "logs",
            *rpc,
            "--json",
            "--from-block",
            receipt["blockNumber"],
            "--address",
            exchange,
            to_hex(EVENTS["Trade"].topic),
        ),
        _output_of(cast, "call", *rpc, "--from", user.address, exchange, trade, number, "999", *rest, code=1),
    )
    selector = keccak256(b"UnknownSeries(uint32)")[:4]
    (log,) = [one for one in orjson.loads(logs) if one["transactionHash"] == receipt["transactionHash"]]
    found = trade_json(Log(EXCHANGE, tuple(map(from_hex, log["topics"])), from_hex(log["data"])))
    assert ("0x1", True) == (receipt["status"], selector.hex() in failure), failure
    return {
        "chainId": int(chain),
        "account": int(number),
        "poorer": int(after.split()[0]) != int(before.split()[0]),
        "trade": [found["series"], found["taker"], found["quantity"]],
        "refused": ["UnknownSeries", [str(int(failure.partition(selector.hex())[2][:64], 16))]],
        "blockHash": receipt["blockHash"],
        "headerHash": orjson.loads(block)["hash"],
    }


async def _trade_with_web3(world: World, series: int) -> dict[str, Any]:
    web3, user = world.gamma.web3, world.net.accounts[7]
    signer = web3.eth.account.from_key(user.private_key)
    accounts, exchange = (
        web3.eth.contract(address=web3.to_checksum_address(to_hex(address)), abi=artifact(name).abi)
        for address, name in ((ACCOUNTS, "IOptionsAccounts"), (EXCHANGE, "IOptionsExchange"))
    )
    (number,) = await accounts.functions.accountsOf(signer.address).call()
    before = await web3.eth.get_balance(signer.address)
    trade = exchange.functions.tradeAmm(number, series, True, CONTRACT, 2**64 - 1)
    nonce = await web3.eth.get_transaction_count(signer.address)
    sent: Any = {"from": signer.address, "nonce": nonce}
    raw = signer.sign_transaction(await trade.build_transaction(sent)).raw_transaction
    receipt = await web3.eth.wait_for_transaction_receipt(
        await web3.eth.send_raw_transaction(raw), timeout=15, poll_latency=0.05
    )
    (event,) = exchange.events.Trade().process_receipt(receipt)
    with pytest.raises(ContractCustomError) as refused:
        await exchange.functions.tradeAmm(number, 999, True, CONTRACT, 1).call({"from": signer.address})
    words = from_hex(str(refused.value.data))
    assert keccak256(b"UnknownSeries(uint32)")[:4] == words[:4]
    block = await web3.eth.get_block(receipt["blockNumber"])
    return {
        "chainId": await web3.eth.chain_id,
        "account": number,
        "poorer": before != await web3.eth.get_balance(signer.address),
        "trade": [event["args"]["series"], event["args"]["taker"], str(event["args"]["quantity"])],
        "refused": ["UnknownSeries", [str(int.from_bytes(words[4:], "big"))]],
        "blockHash": to_hex(bytes(receipt["blockHash"])),
        "headerHash": to_hex(bytes(block["hash"])),
    }


async def test_killed_nodes_come_back_to_the_same_state(world: World) -> None:
    """After kill -9 the options node has the same roots and goes on; and after one of the sequencer both rollups do."""
    gamma, net = world.gamma, world.net
    head = await gamma.height()

    async def roots() -> list[str]:
        blocks = [await gamma.rpc("eth_getBlockByNumber", hex(number), False) for number in range(head + 1)]
        return [block["stateRoot"] + block["hash"] for block in blocks]

    before, cash = await roots(), await world.cash(net.accounts[2].address)
    await net.node("gamma").kill()
    await net.node("gamma").restart()
    assert (before, cash) == (await roots(), await world.cash(net.accounts[2].address))
    await world.goes_on()
    await net.node("sequencer").kill()
    await net.node("sequencer").restart()
    await world.goes_on()
    assert before == await roots()


async def test_everything_is_found_again_from_l1_alone(world: World, rollnet: Rollnet) -> None:
    """Every root of both rollups, running and from files; one byte of a batch told otherwise is named, and what it held on each."""
    net = world.net
    said = await rollnet("verify", NAME, "--json")
    assert (0, "valid", []) == (said.code, said.json["verdict"], said.json["findings"]), said
    assert 0 < min(said.json["blocks"]["gamma"], said.json["outputs"])
    contracts = deployments(net.plan).rollups["gamma"]
    chosen = (await posted(net.l1.client, contracts.batch_inbox, contracts.batcher, await net.l1.height()))[3]
    lie = with_input(chosen.transaction, flipped(chosen.data, len(chosen.data) // 2))
    async with live_sources(net.directory.path) as sources, LyingClient(sources.l1.url, lie) as l1:
        found = await verify(replace(sources, l1=l1))
    wrong = {(name, finding.what) for name, finding in found.findings}
    assert {("sequencer", "superbatch"), ("gamma", "missing"), ("alpha", "missing")} <= wrong
    async with stored_sources(await world.down()) as sources:
        assert "valid" == (await verify(sources)).verdict


async def test_over_the_l1_bridge(
    launched: Any, topology_file: Callable[..., Path], rollnet: Rollnet, signed: Callable[..., str]
) -> None:
    """With a sequencer of its own, gas that costs dollars and a root after each transaction: the same, and its blocks commit to every step."""
    kind = f"{{engine: options, options: {{gas_free: false, roots: step}}, {SETTLED}}}"
    extra = QUICK.replace("messaging: {", "messaging: {mode: l1-bridge, ")
    async with launched(topology_file("own", ("gamma",), extra, gamma=kind)) as net:
        gamma = net.rollup("gamma")
        payer: Account = net.accounts[0]
        raw = signed(payer, gamma, 0, value=1_000_000 * WEI_PER_CASH)
        digest = await gamma.rpc("eth_sendRawTransaction", raw)

        async def included() -> bool:
            return await gamma.receipt(digest) is not None

        await eventually(included, 15, "the transfer")
        receipt = await gamma.receipt(digest)
        assert receipt is not None
        assert int(receipt["effectiveGasPrice"], 16) > 0
        block = await gamma.rpc("eth_getBlockByNumber", receipt["blockNumber"], False)
        assert 32 == len(bytes.fromhex(block["extraData"][2:]))
        said = await rollnet("withdraw", "gamma", "1.25", "--to", SINK, "--net", "own", "--wait", "--json")
        assert (0, "finalized") == (said.code, said.json["outcome"]), said
        async with live_sources(net.directory.path) as sources:
            assert "valid" == (await verify(sources)).verdict
