"""For tests of transfers and messages on running devnets: balances and fees to the wei, contracts, and users' transactions."""

from typing import Any

from bridge.contracts.codec import Interface
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.bridging.sending import alone, receipt_of, submit
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.topology.hd_keys import checksum_address


async def balance(chain: ChainHandle, address: str) -> int:
    """Wei."""
    return int(await chain.rpc("eth_getBalance", address, "latest"), 16)


async def fee_of(chain: ChainHandle, digest: str) -> int:
    """What a transaction cost, wei."""
    receipt = await chain.receipt(digest)
    assert receipt is not None
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


async def view(chain: ChainHandle, interface: Interface, to: str, function: str, *arguments: Any) -> Any:
    """The result of a view function."""
    data = to_hex(interface.encode_call(function, *arguments))
    answer = await chain.rpc("eth_call", {"to": to, "data": data}, "latest")
    return interface.decode_result(function, from_hex(answer))[0]


async def create(net: Devnet, chain: ChainHandle, index: int, code: bytes) -> str:
    """Create a contract; its address."""
    account = net.accounts[index]
    nonce = int(await chain.rpc("eth_getTransactionCount", account.address, "pending"), 16)
    unsigned = UnsignedTransaction(chain.chain_id, nonce, 10**11, 10**9, 3_000_000, b"", code)
    digest = await chain.rpc(
        "eth_sendRawTransaction", to_hex(sign_transaction(unsigned, account.private_key))
    )
    return checksum_address(from_hex((await receipt_of(chain, digest))["contractAddress"], 20))


async def does(net: Devnet, chain: ChainHandle, index: int, to: str, data: bytes, wei: int = 0) -> Any:
    """A user's transaction; its receipt."""
    async with alone(net):
        sent = await submit(chain, net.accounts[index], to, data, wei)
    return await receipt_of(chain, sent.hash)
