"""A bridge that is driven by hand, for tests: real OP Stack contracts on real engines, each hop a call.

::

    L2 transaction ─► withdrawals (MessagePassed) ─► finalize: propose, prove, wait, finalize on L1
    L1 transaction ─► deposits (TransactionDeposited) ─► derive: the next deposit of a rollup, in order

Nothing is impersonated on the way and no check is skipped: the output root that is proposed holds the rollup's real
storage root, and the proof is the engine's. Only time belongs to the test: one clock for all chains, moved by hand.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded, Interface
from bridge.contracts.op import op_artifact
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex

GAS = 15_000_000
"""Of every transaction; nobody here saves."""
OUTPUT_VERSION = bytes(32)
"""Version 0 of the OP Stack's output roots."""
NOBODY = "0x" + "0b" * 20
"""Sends what anyone may send."""


class Failed(Exception):  # noqa: N818 - names what the transaction did
    """A transaction reverted; ``error`` is why, if the contract told."""

    def __init__(self, error: Decoded | None, data: bytes) -> None:
        super().__init__(str(error) if error else to_hex(data))
        self.error, self.data = error, data


@dataclass(slots=True)
class Clock:
    """The time on all chains, unix seconds."""

    now: int


@dataclass(slots=True)
class Chain:
    """One engine that mines a block per transaction."""

    client: Client
    clock: Clock
    skew: int = 0
    """Seconds that its clock is ahead."""
    mining: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever mines holds it: of two blocks that are asked for at once anvil puts a deposit into both, and the second time it fails."""

    async def transact(
        self, sender: str, to: str | None, data: bytes, value: int = 0, gas: int = GAS
    ) -> Mapping[str, Any]:
        """Mine one transaction of any sender and return its receipt, whatever its status."""
        request = {"from": sender, "data": to_hex(data), "value": hex(value), "gas": hex(gas)}
        request |= {"gasPrice": hex(await self._gas_price())} | ({} if to is None else {"to": to})
        return await self._mine("eth_sendTransaction", request)

    async def send_raw(self, raw: bytes) -> Mapping[str, Any]:
        """Mine one raw transaction and return its receipt, whatever its status."""
        return await self._mine("eth_sendRawTransaction", to_hex(raw))

    async def call(self, to: str, data: bytes, sender: str = NOBODY) -> bytes:
        """What a call returns.

        Raises:
            Failed: it reverts; the error isn't decoded.
        """
        try:
            answer = await self.client.call(
                "eth_call", {"from": sender, "to": to, "data": to_hex(data)}, "latest"
            )
        except RpcError as exc:
            raise Failed(None, from_hex(exc.data) if isinstance(exc.data, str) else b"") from exc
        return from_hex(answer)

    async def look(
        self, accounts: Sequence[str], calls: Sequence[tuple[str, bytes]]
    ) -> tuple[list[int], list[bytes]]:
        """Balances in wei of accounts, and what calls return, in one batch.

        Raises:
            RpcError: a call reverts.
        """
        asked: list[tuple[str, list[Any]]] = [("eth_getBalance", [who, "latest"]) for who in accounts]
        asked += [("eth_call", [{"to": to, "data": to_hex(data)}, "latest"]) for to, data in calls]
        answers = []
        for answer in await self.client.batch(asked):
            if isinstance(answer, RpcError):
                raise answer
            answers.append(str(answer))
        balances = [int(answer, 16) for answer in answers[: len(accounts)]]
        return balances, [from_hex(answer) for answer in answers[len(accounts) :]]

    async def create(self, sender: str, code: bytes) -> str:
        """Create a contract; returns its address.

        Raises:
            Failed: the constructor reverts.
        """
        receipt = await self.transact(sender, None, code)
        if receipt["status"] != "0x1":
            raise Failed(None, await self.revert_data(receipt))
        return str(receipt["contractAddress"])

    async def place(self, address: str, code: bytes) -> None:
        """Put the code that a constructor returns at an address; what the constructor stores is lost."""
        created = await self.create(NOBODY, code)
        runtime = await self.client.call("eth_getCode", created, "latest")
        await self.client.call("anvil_setCode", address, runtime)

    async def balance(self, address: str) -> int:
        """Wei."""
        return int(await self.client.call("eth_getBalance", address, "latest"), 16)

    async def fund(self, address: str, wei: int) -> None:
        """Give an account this balance."""
        await self.client.call("anvil_setBalance", address, hex(wei))

    async def revert_data(self, receipt: Mapping[str, Any]) -> bytes:
        """What a failed transaction reverted with."""
        trace = await self.client.call(
            "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
        )
        return from_hex(trace.get("output") or "0x")

    async def _gas_price(self) -> int:
        return 2 * int((await self.client.call("eth_getBlockByNumber", "latest", False))["baseFeePerGas"], 16)

    async def _mine(self, method: str, request: Any) -> Mapping[str, Any]:
        async with self.mining:
            digest, *rest = await self.client.batch(
                [
                    (method, [request]),
                    ("evm_setNextBlockTimestamp", [self.clock.now + self.skew]),
                    ("evm_mine", []),
                ]
            )
        for answer in (digest, *rest):
            if isinstance(answer, RpcError):
                raise answer
        receipt: Mapping[str, Any] = await self.client.call("eth_getTransactionReceipt", digest)
        return receipt


@dataclass(frozen=True, slots=True)
class Contract:
    """One of our contracts on a chain."""

    chain: Chain
    address: str
    interface: Interface

    async def send(
        self, sender: str, function: str, *arguments: Any, value: int = 0, gas: int = GAS
    ) -> Mapping[str, Any]:
        """Mine a call and return its receipt.

        Raises:
            Failed: it reverts; says why.
        """
        data = self.interface.encode_call(function, *arguments)
        receipt = await self.chain.transact(sender, self.address, data, value, gas)
        if receipt["status"] != "0x1":
            revert = await self.chain.revert_data(receipt)
            raise Failed(self.interface.decode_error(revert), revert)
        return receipt

    async def read(self, function: str, *arguments: Any) -> Any:
        """The one value that a view function returns.

        Raises:
            Failed: it reverts; says why.
        """
        try:
            answer = await self.chain.call(self.address, self.interface.encode_call(function, *arguments))
        except Failed as exc:
            raise Failed(self.interface.decode_error(exc.data), exc.data) from exc
        return self.interface.decode_result(function, answer)[0]

    def events(self, receipt: Mapping[str, Any]) -> list[Decoded]:
        """The contract's own events of a transaction, in order."""
        decoded = (
            self.interface.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"]))
            for log in receipt["logs"]
            if log["address"].lower() == self.address.lower()
        )
        return [event for event in decoded if event is not None]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a rollup's message passer noted."""

    chain_id: int
    fields: tuple[int, str, str, int, int, bytes]
    """Nonce, sender, target, value, gas limit, data."""
    digest: bytes


@dataclass(slots=True)
class HandRollup:
    """One rollup and its contracts on L1."""

    chain_id: int
    chain: Chain
    portal: str
    oracle: str
    messenger: str
    proposer: str
    deposits: deque[bytes] = field(default_factory=deque)
    """Raw deposits that wait to be derived, in the order of L1."""
    withdrawals: list[Withdrawal] = field(default_factory=list)
    """Not yet finalized."""


_PASSER = op_artifact("L2ToL1MessagePasser").interface
_PORTAL = op_artifact("OptimismPortal").interface
_ORACLE = op_artifact("L2OutputOracle").interface


@dataclass(slots=True)
class HandBridge:
    """L1 and its rollups; the test decides what moves next."""

    l1: Chain
    rollups: Mapping[int, HandRollup]
    """By chain id."""

    def note(self, receipt: Mapping[str, Any], chain_id: int | None = None) -> None:
        """Take up what a transaction put on its way; of L1 if ``chain_id`` is None."""
        for log in receipt["logs"]:
            address, topic = log["address"].lower(), log["topics"][0] if log["topics"] else ""
            if chain_id is None:
                for rollup in self.rollups.values():
                    if address == rollup.portal.lower() and topic == DEPOSITED_TOPIC:
                        rollup.deposits.append(user_deposit(log, receipt["blockHash"]))
            elif address == L2_TO_L1_MESSAGE_PASSER:
                event = _PASSER.decode_event(
                    [from_hex(word) for word in log["topics"]], from_hex(log["data"])
                )
                if event is not None and event.name == "MessagePassed":
                    *fields, digest = event.arguments.values()
                    withdrawal = Withdrawal(chain_id, tuple(fields), digest)
                    self.rollups[chain_id].withdrawals.append(withdrawal)

    async def finalize(self, withdrawal: Withdrawal, gas: int = GAS) -> Mapping[str, Any]:
        """Propose an output, prove the withdrawal against it, wait, finalize; returns the last receipt.

        Raises:
            Failed: the portal refuses.
        """
        rollup = self.rollups[withdrawal.chain_id]
        await self.prove(withdrawal)
        portal = Contract(self.l1, rollup.portal, _PORTAL)
        receipt = await portal.send(NOBODY, "finalizeWithdrawalTransaction", withdrawal.fields, gas=gas)
        if withdrawal in rollup.withdrawals:
            rollup.withdrawals.remove(withdrawal)
        self.note(receipt)
        return receipt

    async def prove(self, withdrawal: Withdrawal) -> None:
        """Propose an output, prove the withdrawal against it, and wait until it can be finalized.

        Raises:
            Failed: the portal refuses.
        """
        rollup = self.rollups[withdrawal.chain_id]
        slot = to_hex(keccak256(withdrawal.digest + bytes(32)))
        proof = await rollup.chain.client.call("eth_getProof", L2_TO_L1_MESSAGE_PASSER, [slot], "latest")
        output = (OUTPUT_VERSION, b"\1" * 32, from_hex(proof["storageHash"]), b"\2" * 32)
        oracle = Contract(self.l1, rollup.oracle, _ORACLE)
        portal = Contract(self.l1, rollup.portal, _PORTAL)
        number, index = await oracle.read("nextBlockNumber"), await oracle.read("nextOutputIndex")
        root = keccak256(b"".join(output))
        await oracle.send(rollup.proposer, "proposeL2Output", root, number, bytes(32), 0)
        nodes = [from_hex(node) for node in proof["storageProof"][0]["proof"]]
        await portal.send(NOBODY, "proveWithdrawalTransaction", withdrawal.fields, index, output, nodes)
        self.l1.clock.now += await oracle.read("FINALIZATION_PERIOD_SECONDS") + 1

    async def derive(self, chain_id: int) -> Mapping[str, Any]:
        """Execute a rollup's next deposit; returns its receipt."""
        rollup = self.rollups[chain_id]
        receipt = await rollup.chain.send_raw(rollup.deposits.popleft())
        self.note(receipt, chain_id)
        return receipt

    async def settle(self) -> list[Mapping[str, Any]]:
        """Finalize and derive until nothing is on its way; the receipts of the derived deposits."""
        derived = []
        while any(rollup.deposits or rollup.withdrawals for rollup in self.rollups.values()):
            for rollup in self.rollups.values():
                while rollup.withdrawals:
                    await self.finalize(rollup.withdrawals[0])
                while rollup.deposits:
                    derived.append(await self.derive(rollup.chain_id))
        return derived


def ours(chain: Chain, name: str, address: str) -> Contract:
    """One of our contracts by the name of its artifact."""
    return Contract(chain, address, artifact(name).interface)


def theirs(chain: Chain, name: str, address: str) -> Contract:
    """One of the OP Stack's contracts by name."""
    return Contract(chain, address, op_artifact(name).interface)


def names(events: Sequence[Decoded]) -> list[str]:
    """The events' names."""
    return [event.name for event in events]


async def inner_error(chain: Chain, receipt: Mapping[str, Any], contract: Contract) -> str:
    """Name of the error with which a call of a contract reverted inside a transaction."""
    trace = await chain.client.call(
        "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
    )
    todo, found = [trace], []
    while todo:
        frame = todo.pop()
        todo += frame.get("calls", [])
        if frame.get("to", "").lower() == contract.address.lower() and "error" in frame:
            error = contract.interface.decode_error(from_hex(frame.get("output") or "0x"))
            found.append(error.name if error else frame["error"])
    (name,) = found
    return name
