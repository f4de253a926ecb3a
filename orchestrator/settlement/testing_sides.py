"""Chains that a test drives by hand: signed transactions, blocks on request, and what a revert said.

Everything is signed: nobody is impersonated and no state is set, so whatever a test gets away with, anybody could.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts.codec import Interface
from bridge.contracts.op import op_artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet
from orchestrator.settlement.testing_chains import Refused
from orchestrator.topology.plan import Account

Receipt = Mapping[str, Any]
"""As JSON-RPC gives it."""

CALL_GAS = 3_000_000
"""Of a transaction that doesn't say how much; also the most that a deposit bought by it may burn."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction asks for."""

    to: str | None
    """None creates a contract."""
    data: bytes = b""
    value: int = 0
    """Wei."""
    gas: int = CALL_GAS
    interface: Interface | None = None
    """Whose errors it may revert with."""
    function: str = ""


def call(interface: Interface, to: str, function: str, *arguments: Any, value: int = 0) -> Call:
    """A call of a contract's function."""
    data = interface.encode_call(function, *arguments)
    return Call(to, data, value, interface=interface, function=function)


def theirs(contract: str, to: str, function: str, *arguments: Any, value: int = 0) -> Call:
    """A call of one of the OP Stack's contracts."""
    return call(op_artifact(contract).interface, to, function, *arguments, value=value)


class Side(ABC):
    """One chain."""

    chain_id: int

    @abstractmethod
    async def request(self, method: str, *params: Any) -> Any:
        """Ask its node.

        Raises:
            RpcError: it refuses.
        """

    @abstractmethod
    async def mine(self, *raws: bytes) -> list[Receipt]:
        """Mine a block with these transactions; their receipts.

        Raises:
            Refused: one is not in the block.
        """

    async def together(self, *sent: tuple[Account, Call]) -> list[Receipt]:
        """Sign, and mine all in one block; the receipts, whatever their status."""
        nonces: dict[str, int] = {}
        raws = []
        for account, wanted in sent:
            if account.address not in nonces:
                count = await self.request("eth_getTransactionCount", account.address, "latest")
                nonces[account.address] = int(count, 16)
            raws.append(self.signed(account, wanted, nonces[account.address]))
            nonces[account.address] += 1
        return await self.mine(*raws)

    def signed(self, account: Account, wanted: Call, nonce: int) -> bytes:
        """A raw transaction."""
        return Wallet(account.private_key).sign(
            UnsignedTransaction(
                chain_id=self.chain_id,
                nonce=nonce,
                max_fee=MAX_FEE,
                priority_fee=PRIORITY_FEE,
                gas=wanted.gas,
                to=b"" if wanted.to is None else from_hex(wanted.to, 20),
                data=wanted.data,
                value=wanted.value,
            )
        )

    async def send(self, account: Account, wanted: Call) -> Receipt:
        """Mine one transaction.

        Raises:
            Refused: it reverts; says why.
        """
        (receipt,) = await self.together((account, wanted))
        if receipt["status"] != "0x1":
            raise Refused(await self.reason(receipt, wanted.interface))
        return receipt

    async def create(self, account: Account, code: bytes) -> str:
        """Create a contract; its lower-case address."""
        receipt = await self.send(account, Call(None, code))
        return str(receipt["contractAddress"]).lower()

    async def simulate(self, wanted: Call, sender: str | None = None) -> bytes:
        """Try a call without effect; what it returns.

        Raises:
            Refused: it reverts; says why.
        """
        fields = {"to": wanted.to, "data": to_hex(wanted.data), "value": hex(wanted.value)}
        fields |= {"gas": hex(wanted.gas)} | ({} if sender is None else {"from": sender})
        try:
            return from_hex(await self.request("eth_call", fields, "latest"))
        except RpcError as exc:
            raise Refused(_said(wanted.interface, from_hex(exc.data or "0x")) or exc.message) from exc

    async def read(self, wanted: Call) -> Any:
        """The one value that a view function returns.

        Raises:
            Refused: it reverts; says why.
        """
        assert wanted.interface is not None
        return wanted.interface.decode_result(wanted.function, await self.simulate(wanted))[0]

    async def balance(self, address: str) -> int:
        """Wei."""
        return int(await self.request("eth_getBalance", address, "latest"), 16)

    async def reason(self, receipt: Receipt, interface: Interface | None) -> str:
        """Why a transaction reverted."""
        trace = await self.request(
            "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
        )
        return _said(interface, from_hex(trace.get("output") or "0x")) or str(trace.get("error"))


class L1Side(Side):
    """L1. A block is a second later than its parent, unless the test waits.

    Args:
        client: of the node.
        chain_id: EIP-155 chain id.
        now: timestamp of the last block, unix seconds.
    """

    def __init__(self, client: Client, chain_id: int, now: int) -> None:
        self.client, self.chain_id, self.now = client, chain_id, now

    async def request(self, method: str, *params: Any) -> Any:
        """See :class:`Side`."""
        return await self.client.call(method, *params)

    def wait(self, seconds: int) -> None:
        """Let the next block be so much later."""
        self.now += seconds

    async def mine(self, *raws: bytes) -> list[Receipt]:
        """See :class:`Side`."""
        self.now += 1
        calls: list[tuple[str, Sequence[Any]]] = [("eth_sendRawTransaction", [to_hex(raw)]) for raw in raws]
        calls += [("evm_setNextBlockTimestamp", [self.now]), ("evm_mine", [])]
        for answer in await self.client.batch(calls):
            if isinstance(answer, RpcError):
                raise Refused(answer.message) from answer
        if not raws:
            return []
        asked = [("eth_getTransactionReceipt", [to_hex(keccak256(raw))]) for raw in raws]
        receipts: list[Any] = await self.client.batch(asked)
        if None in receipts:
            raise Refused("a transaction did not fit into the block of L1")
        return receipts


def _said(interface: Interface | None, data: bytes) -> str:
    """The error in revert data, or nothing."""
    decoded = None if interface is None else interface.decode_error(data)
    return str(decoded) if decoded is not None else ("" if not data else to_hex(data))
