"""For tests of what reads L1: a real portal on a scratch L1, the plain truth about a block, and a client that can be interfered with."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from bridge.contracts.op import op_artifact
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex

OWNER = "0x" + "0a" * 20
"""Deploys and owns everything; the scratch L1 lets anybody send."""
NOBODY = "0x" + "00" * 20
CASH = 10**24
"""Wei that a test account starts with."""

RESOURCES = (20_000_000, 10, 8, 10**9, 10**6, 2**128 - 1)
"""What the OP Stack's deployments meter deposits by."""


async def send(
    client: Client, to: str | None, data: bytes = b"", *, sender: str = OWNER, value: int = 0
) -> str:
    """Put a transaction into the pool; gives its hash."""
    fields = {"from": sender, "data": to_hex(data), "value": hex(value), "gas": hex(5_000_000)}
    fields |= {"maxFeePerGas": hex(10**11), "maxPriorityFeePerGas": "0x0"} | ({"to": to} if to else {})
    digest: str = await client.call("eth_sendTransaction", fields)
    return digest


async def deploy(client: Client, code: bytes) -> str:
    """Create a contract in a block of its own; gives its lower-case address."""
    digest = await send(client, None, code)
    await client.call("evm_mine")
    receipt = await client.call("eth_getTransactionReceipt", digest)
    assert receipt["status"] == "0x1", f"deployment of {len(code)} bytes failed"
    address: str = receipt["contractAddress"].lower()
    return address


async def deploy_portals(client: Client, count: int = 1) -> list[str]:
    """Real OP Stack portals behind proxies, ready for deposits, on a chain that mines when it is told to."""
    await client.call("anvil_setBalance", OWNER, hex(CASH))
    superchain = await _behind_proxy(client, "SuperchainConfig", OWNER, False)
    zero = bytes(32)
    system = await _behind_proxy(
        *(client, "SystemConfig", OWNER, 0, 0, zero, 60_000_000, OWNER, RESOURCES, NOBODY, (NOBODY,) * 7)
    )
    return [await _behind_proxy(client, "OptimismPortal", NOBODY, system, superchain) for _ in range(count)]


def deposit_call(
    to: str, value: int = 0, gas: int = 100_000, data: bytes = b"", *, creation: bool = False
) -> bytes:
    """Call data of a deposit."""
    return op_artifact("OptimismPortal").interface.encode_call(
        "depositTransaction", to, value, gas, creation, data
    )


async def truth(
    client: Client, number: int, portals: Iterable[str], inboxes: Iterable[str]
) -> dict[str, Any]:
    """What a block holds, read slowly from its receipts: the expectation of tests."""
    portals, inboxes = set(portals), set(inboxes)
    block = await client.call("eth_getBlockByNumber", hex(number), True)
    receipts = await client.call("eth_getBlockReceipts", hex(number))
    deposits: dict[str, tuple[str, ...]] = {}
    for each in (log for receipt in receipts for log in receipt["logs"]):
        if each["address"] in portals and each["topics"][0] == DEPOSITED_TOPIC:
            raw = to_hex(user_deposit(each, block["hash"]))
            deposits[each["address"]] = (*deposits.get(each["address"], ()), raw)
    batches = [
        (sent["hash"], sent["from"], sent["to"], from_hex(sent["input"]))
        for sent, receipt in zip(block["transactions"], receipts, strict=True)
        if sent["to"] in inboxes and receipt["status"] == "0x1"
    ]
    return {"hash": block["hash"], "parent": block["parentHash"], "deposits": deposits, "batches": batches}


class Meddled(Client):
    """A client that counts its calls, and while it asks a batch does something to L1.

    Args:
        url: the L1 node.
        actions: what happens during the first batch, the second, …
        tear: whether it happens in the middle of the batch; else before it.
    """

    def __init__(
        self, url: str, actions: Sequence[Callable[[], Awaitable[Any]] | None] = (), *, tear: bool = False
    ) -> None:
        super().__init__(url)
        self.actions = list(actions)
        self.calls: Counter[str] = Counter()
        self.batches = 0
        self._tear = tear

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any]:
        """As :meth:`Client.batch`."""
        self.batches += 1
        self.calls.update(method for method, _ in calls)
        action = self.actions.pop(0) if self.actions else None
        half = len(calls) // 2 if self._tear and action else 0
        first = await super().batch(calls[:half]) if half else []
        if action is not None:
            await action()
        return [*first, *await super().batch(calls[half:], deadline)]


async def _behind_proxy(client: Client, name: str, *arguments: Any) -> str:
    contract, proxied = op_artifact(name), op_artifact("Proxy")
    implementation = await deploy(client, contract.deployment())
    proxy = await deploy(client, proxied.deployment(OWNER))
    start = contract.interface.encode_call("initialize", *arguments)
    call = proxied.interface.encode_call("upgradeToAndCall", implementation, start)
    digest = await send(client, proxy, call)
    await client.call("evm_mine")
    receipt = await client.call("eth_getTransactionReceipt", digest)
    assert receipt["status"] == "0x1", f"{name} could not be initialised"
    return proxy
