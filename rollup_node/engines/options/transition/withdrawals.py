"""The message passer of the OP Stack: every withdrawal's hash goes into its storage, where OptimismPortal proves it."""

from dataclasses import replace

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transition.context import Context

MESSAGE_VERSION = 1
"""In the upper two bytes of a withdrawal's nonce."""
_WITHDRAWAL = abi.parse("(uint256,address,address,uint256,uint256,bytes)")


def withdrawal_hash(nonce: int, sender: bytes, target: bytes, value: int, gas: int, data: bytes) -> bytes:
    """As ``Hashing.hashWithdrawal`` has it."""
    return keccak256(abi.encode(_WITHDRAWAL, (nonce, sender, target, value, gas, data)))


def storage_slot(digest: bytes) -> bytes:
    """Where ``sentMessages[digest]`` is: the mapping is the passer's first variable."""
    return keccak256(digest + bytes(32))


def pass_message(
    world: World, context: Context, sender: bytes, target: bytes, value: int, gas: int, data: bytes
) -> bytes:
    """Let a message go to L1; returns its hash. What it carries has been taken from somebody before."""
    number = world.globals.withdrawals
    nonce = MESSAGE_VERSION << 240 | number
    digest = withdrawal_hash(nonce, sender, target, value, gas, data)
    world.globals = replace(world.globals, withdrawals=number + 1)
    world.pass_message(storage_slot(digest))
    context.emit("MessagePassed", nonce, sender, target, value, gas, data, digest)
    return digest
