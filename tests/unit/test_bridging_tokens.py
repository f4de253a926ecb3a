"""Tokens of the standard bridge: where a twin is, and what a withdrawal moves; held against CREATE2 and eth_abi by hand. Pure."""

from typing import Any

from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector, keccak, to_checksum_address
from hypothesis import given
from hypothesis import strategies as some

from bridge.contracts.addresses import L2_STANDARD_BRIDGE, PREDEPLOYS
from bridge.contracts.op import op_artifact
from bridge.relayer.withdrawal import Withdrawal
from orchestrator.bridging.tokens import Bridged, bridged, standard_twin

ADDRESSES = some.binary(min_size=20, max_size=20).map(to_checksum_address)
NAMES = some.text(max_size=40)
UNITS = some.integers(0, 2**256 - 1)


def selected(signature: str, *values: Any) -> bytes:
    """Call data by eth_abi."""
    types = signature.partition("(")[2][:-1].split(",")
    return function_signature_to_4byte_selector(signature) + encode(types, values)


def finalizing(token: str, twin: str, sender: str, to: str, units: int) -> bytes:
    """What one bridge tells the other."""
    signature = "finalizeBridgeERC20(address,address,address,address,uint256,bytes)"
    return selected(signature, token, twin, sender, to, units, b"")


def relaying(sender: str, message: bytes) -> Withdrawal:
    """A withdrawal of the messenger that brings a message."""
    signature = "relayMessage(uint256,address,address,uint256,uint256,bytes)"
    data = selected(signature, 1, sender, "0x" + "b1" * 20, 0, 200_000, message)
    return Withdrawal(1, PREDEPLOYS["L2CrossDomainMessenger"], "0x" + "c1" * 20, 0, 500_000, data)


@given(ADDRESSES, NAMES, NAMES, some.integers(0, 255))
def test_twins_are_where_the_factory_creates_them(token: str, name: str, symbol: str, decimals: int) -> None:
    """keccak256(0xff, factory, salt, keccak256(creation code and arguments)), as EIP-1014 and the factory's source say."""
    code = op_artifact("OptimismMintableERC20").creation_code + encode(
        ["address", "address", "string", "string", "uint8"],
        [L2_STANDARD_BRIDGE, token, name, symbol, decimals],
    )
    salt = keccak(encode(["address", "string", "string", "uint8"], [token, name, symbol, decimals]))
    factory = bytes.fromhex(PREDEPLOYS["OptimismMintableERC20Factory"][2:])
    expected = to_checksum_address(keccak(b"\xff" + factory + salt + keccak(code))[12:])
    assert expected == standard_twin(token, name, symbol, decimals)


@given(ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES, UNITS)
def test_what_a_withdrawal_moves(token: str, twin: str, sender: str, to: str, units: int) -> None:
    """It is read from the bridge's message, and from nobody else's."""
    message = finalizing(token, twin, sender, to, units)
    assert Bridged(token, twin, sender, to, units) == bridged(relaying(L2_STANDARD_BRIDGE, message))
    assert bridged(relaying(sender, message)) is None


@given(some.binary(max_size=600))
def test_anything_else_moves_no_tokens(data: bytes) -> None:
    """Plain withdrawals, messages of others, and nonsense."""
    plain = Withdrawal(1, "0x" + "a1" * 20, "0x" + "b1" * 20, 5, 21_000, data)
    assert bridged(plain) is None
    assert bridged(relaying(L2_STANDARD_BRIDGE, data)) is None
