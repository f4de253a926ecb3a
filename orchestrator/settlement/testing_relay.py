"""A relayer between two bare chains, for tests: the real process, a real L1 and a real rollup engine, all else played by the test.

What the test plays is what the relayer must not depend on: when blocks are sealed, what is safe, which outputs are proposed, and whether
anybody can be reached. So gates stand before both chains: they can be shut, say what the rollup holds to be safe, and note what was sent.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.op import op_artifact
from bridge.relayer.lifecycle import Output
from bridge.relayer.prover import inclusion
from bridge.relayer.withdrawal import Withdrawal, passed
from bridge.wire.configuration import VARIABLE
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Event, read_journal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.transaction import decode_transaction
from orchestrator.market.testing import example_plan
from orchestrator.runtimes.ports import PortReservations
from orchestrator.settlement.deployments import RollupDeployment, deployments
from orchestrator.settlement.testing_chains import OpChain, l1_chain, rollup_chain
from orchestrator.topology.plan import Account, Plan, SettlementPlan

PERIOD_S = 100
"""Challenge period; tests move L1's clock."""
INTERVAL = 2
"""L2 blocks between two outputs."""
WITHIN_S = 30.0
"""Anything that should happen happens sooner."""
SINK = "0x" + "5e" * 20
"""Takes any call."""

_PORTAL = op_artifact("OptimismPortal").interface


class Gate:
    """Stands before a chain."""

    def __init__(self, chain: OpChain) -> None:
        self._chain = chain
        self.url = ""
        self.shut = False
        """Whether nobody gets an answer."""
        self.lose_answers = False
        """Whether requests arrive and answers don't."""
        self.safe: int | None = None
        """What the tag ``safe`` means, if the chain isn't asked."""
        self.oldest_state = 0
        """Blocks before this have no proofs any more."""
        self.called: list[bytes] = []
        """Call data of every raw transaction, in order, again if it was sent again."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Gate"]:
        """Listen on a port of its own."""
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        if self.shut:
            return web.Response(status=503)
        calls = orjson.loads(await request.read())
        for call in calls if isinstance(calls, list) else [calls]:
            self._look(call)
        answer = await self._chain.client.forward(orjson.dumps(calls))
        if self.shut or self.lose_answers:
            return web.Response(status=502)
        return web.Response(body=answer, content_type="application/json")

    def _look(self, call: dict[str, Any]) -> None:
        match call["method"], call["params"]:
            case "eth_sendRawTransaction", [raw]:
                self.called.append(decode_transaction(from_hex(raw)).data)
            case "eth_getBlockByNumber", ["safe", *_] if self.safe is not None:
                call["params"][0] = hex(self.safe)
            case "eth_getProof", [*_, block] if int(block, 16) < self.oldest_state:
                call["params"][-1] = hex(2**40)


@dataclass(slots=True)
class Relay:
    """A relayer, its L1 and one rollup."""

    plan: Plan
    l1: OpChain
    rollup: OpChain
    l1_gate: Gate
    rollup_gate: Gate
    folder: Path
    port: int
    options: dict[str, Any] = field(default_factory=dict)
    """Of the relayer's configuration."""
    process: asyncio.subprocess.Process | None = None

    @property
    def contracts(self) -> RollupDeployment:
        """The rollup's contracts."""
        return deployments(self.plan).rollups[self.plan.rollups[0].name]

    def account(self, name: str) -> Account:
        """A user or a role."""
        return next(each for each in (*self.plan.users, *self.plan.roles) if each.name == name)

    # -- the relayer

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        rollup, contracts = self.plan.rollups[0], self.contracts
        described = {
            "name": rollup.name,
            "chain_id": rollup.chain_id,
            "rpc_url": self.rollup_gate.url,
            "portal": contracts.portal,
            "output_oracle": contracts.output_oracle,
            "messenger": contracts.messenger,
        }
        shared = deployments(self.plan).l1
        configuration = {
            "name": "relayer",
            "rpc_port": self.port,
            "l1_url": self.l1_gate.url,
            "l1_chain_id": self.plan.l1.chain_id,
            "poll_s": 0.02,
            "private_key": self.account("relayer").private_key,
            "router": shared["MessageRouter"],
            "registry": shared["StrategyRegistry"],
            "rollups": [described],
            "data_dir": str(self.folder / "relayer"),
            "journal": str(self.folder / "relayer.jsonl"),
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bridge.relayer"),
            env={**os.environ, VARIABLE: orjson.dumps(configuration | self.options).decode()},
            stdin=asyncio.subprocess.DEVNULL,
        )

        async def answers() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, "the relayer ended"
            try:
                await self.ask("rollnet_status")
            except PeerUnreachable:
                return False
            return True

        await self.until(answers, "the relayer to answer", tick=False)

    async def kill(self) -> None:
        """End it without a word."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in peace."""
        await self._end(signal.SIGTERM)

    async def _end(self, sign: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            await asyncio.shield(process.wait())

    async def ask(self, method: str, *params: Any) -> Any:
        """Call the relayer's RPC."""
        async with Client(f"http://127.0.0.1:{self.port}") as client:
            return await client.call(method, *params)

    async def message(self, digest: str) -> dict[str, Any]:
        """What the relayer says of a withdrawal; empty if it says nothing."""
        try:
            found: dict[str, Any] = await self.ask("rollnet_message", digest)
        except (RpcError, PeerUnreachable):
            return {}
        return found

    def journal(self, event: str) -> list[Event]:
        """What it told of one event."""
        return [each for each in read_journal(self.folder / "relayer.jsonl") if each.event == event]

    # -- the rollup

    async def withdraw(
        self, target: str = SINK, value: int = 1, gas: int = 50_000, data: bytes = b"", user: str = "user-0"
    ) -> Withdrawal:
        """Send a withdrawal in an L2 block of its own."""
        receipt = await self.rollup.send(
            self.account(user),
            "L2ToL1MessagePasser",
            L2_TO_L1_MESSAGE_PASSER,
            "initiateWithdrawal",
            target,
            gas,
            data,
            value=value,
        )
        return passed(receipt["logs"][-1]).withdrawal

    async def grow(self, blocks: int = 1) -> None:
        """Seal L2 blocks; all of them are safe."""
        for _ in range(blocks):
            await self.rollup.client.call("evm_mine")
        self.rollup_gate.safe = int(await self.rollup.client.call("eth_blockNumber"), 16)

    # -- L1

    async def propose(self, *, wrong: bool = False) -> None:
        """Propose outputs up to the rollup's head, which grows to the next block that is due."""
        (number,) = await self.l1.read("L2OutputOracle", self.contracts.output_oracle, "nextBlockNumber")
        head = int(await self.rollup.client.call("eth_blockNumber"), 16)
        await self.grow(max(number - head, -head % INTERVAL))
        while number <= (self.rollup_gate.safe or 0):
            root = bytes(31) + b"\1" if wrong else await self.output_root(number)
            await self.l1.send(
                self.account(f"{self.plan.rollups[0].name}-proposer"),
                *("L2OutputOracle", self.contracts.output_oracle, "proposeL2Output"),
                *(root, number, bytes(32), 0),
            )
            number += INTERVAL

    async def output_root(self, number: int) -> bytes:
        """The true output root of an L2 block."""
        block = await self.rollup.client.call("eth_getBlockByNumber", hex(number), False)
        passer = await self.rollup.client.call("eth_getProof", L2_TO_L1_MESSAGE_PASSER, [], hex(number))
        parts = (block["stateRoot"], passer["storageHash"], block["hash"])
        return keccak256(bytes(32) + b"".join(map(from_hex, parts)))

    async def prove(self, account: Account, withdrawal: Withdrawal) -> None:
        """Prove a withdrawal against the last output, as anybody may."""
        oracle = self.contracts.output_oracle
        (index,) = await self.l1.read("L2OutputOracle", oracle, "latestOutputIndex")
        ((root, timestamp, number),) = await self.l1.read("L2OutputOracle", oracle, "getL2Output", index)
        output = Output(index, to_hex(root), timestamp, number)
        proof = await inclusion(self.rollup.client, withdrawal.hash, output)
        await self.l1.send(
            account,
            *("OptimismPortal", self.contracts.portal, "proveWithdrawalTransaction"),
            *(withdrawal.struct, index, proof.parts.struct, proof.nodes),
        )

    async def pause(self, function: str, *arguments: str) -> None:
        """Pause or unpause all portals, as the guardian."""
        config = deployments(self.plan).l1["SuperchainConfigProxy"]
        await self.l1.send(self.account("guardian"), "SuperchainConfig", config, function, *arguments)

    async def delete_outputs(self, index: int) -> None:
        """Delete outputs from an index on, as the challenger."""
        oracle = self.contracts.output_oracle
        await self.l1.send(
            self.account(f"{self.plan.rollups[0].name}-challenger"),
            "L2OutputOracle",
            oracle,
            "deleteL2Outputs",
            index,
        )

    async def pass_time(self, seconds: int = PERIOD_S + 1) -> None:
        """Move L1's clock and seal a block."""
        await self.l1.client.call("evm_increaseTime", seconds)
        await self.l1.client.call("evm_mine")

    async def finalized(self, withdrawal: Withdrawal) -> bool:
        """Whether the portal says so."""
        portal, digest = self.contracts.portal, from_hex(withdrawal.hash)
        (done,) = await self.l1.read("OptimismPortal", portal, "finalizedWithdrawals", digest)
        return bool(done)

    async def spent(self) -> list[tuple[str, str, bool]]:
        """Every transaction of the relayer on L1: function, withdrawal and success; in order."""
        own, found = self.account("relayer").address.lower(), []
        for number in range(int(await self.l1.client.call("eth_blockNumber"), 16) + 1):
            block = await self.l1.client.call("eth_getBlockByNumber", hex(number), True)
            for sent in block["transactions"]:
                if sent["from"].lower() == own:
                    receipt = await self.l1.client.call("eth_getTransactionReceipt", sent["hash"])
                    found.append((*what(from_hex(sent["input"])), receipt["status"] == "0x1"))
        return found

    async def until(
        self,
        holds: Callable[[], Awaitable[bool]],
        what: str,
        *,
        tick: bool = True,
        within_s: float = WITHIN_S,
    ) -> None:
        """Wait for something, sealing L1 blocks meanwhile unless told otherwise."""
        try:
            async with asyncio.timeout(within_s):
                while not await holds():
                    if tick:
                        await self.l1.client.call("evm_mine")
                    await asyncio.sleep(0.02)
        except TimeoutError as exc:
            listed = await self.ask("rollnet_messages") if self.process else "nothing, it is down"
            raise AssertionError(f"waited for {what}, in vain; the relayer says {listed}") from exc

    async def until_state(self, withdrawal: Withdrawal, *states: str, tick: bool = True) -> dict[str, Any]:
        """Wait until the relayer says that a withdrawal is in one of the states."""

        async def there() -> bool:
            return (await self.message(withdrawal.hash)).get("state") in states

        await self.until(there, f"{withdrawal.hash} to be {' or '.join(states)}", tick=tick)
        return await self.message(withdrawal.hash)

    async def until_finalized(self, *withdrawals: Withdrawal) -> None:
        """Move L1's clock until the portal made the calls."""

        async def done() -> bool:
            await self.l1.client.call("evm_increaseTime", PERIOD_S // 4)
            return all([await self.finalized(each) for each in withdrawals])

        await self.until(done, "finalization")


def what(data: bytes) -> tuple[str, str]:
    """Which of the portal's functions a transaction calls, and for which withdrawal; the selector if it calls something else."""
    for function in ("proveWithdrawalTransaction", "finalizeWithdrawalTransaction"):
        if data[:4] == _PORTAL.encode_call(function, *_EXAMPLES[function])[:4]:
            nonce, sender, target, value, gas, body = _PORTAL.decode_arguments(function, data)[0]
            name = function.removesuffix("WithdrawalTransaction")
            return name, Withdrawal(nonce, sender, target, value, gas, body).hash
    return to_hex(data[:4]), ""


_NOTHING = (0, SINK, SINK, 0, 0, b"")
_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "proveWithdrawalTransaction": (_NOTHING, 0, (bytes(32),) * 4, ()),
    "finalizeWithdrawalTransaction": (_NOTHING,),
}


@contextlib.asynccontextmanager
async def relay(folder: Path, **options: Any) -> AsyncIterator[Relay]:
    """Both chains, and a relayer that isn't started yet; nothing of it is left afterwards.

    Args:
        folder: for files.
        options: of the relayer's configuration.
    """
    plan = example_plan(("alpha",), market=None)
    settlement = SettlementPlan(challenge_period_s=PERIOD_S, proposal_interval=INTERVAL)
    plan = replace(plan, rollups=tuple(replace(each, settlement=settlement) for each in plan.rollups))
    async with contextlib.AsyncExitStack() as stack:
        l1 = await stack.enter_async_context(l1_chain(plan, folder))
        rollup = await stack.enter_async_context(rollup_chain(plan, folder))
        l1_gate = await stack.enter_async_context(Gate(l1).open())
        rollup_gate = await stack.enter_async_context(Gate(rollup).open())
        ports = stack.enter_context(PortReservations())
        whole = Relay(plan, l1, rollup, l1_gate, rollup_gate, folder, ports.reserve(), options)
        stack.push_async_callback(whole.kill)
        yield whole
