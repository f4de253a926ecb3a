"""What an account has done on a chain of the bridge, for tests that hold that nothing is paid for twice."""

from dataclasses import dataclass
from typing import Any

from bridge.contracts.op import op_artifact
from bridge.relayer.messages.envelope import MAILBOX, envelope_of
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex

_PORTAL = op_artifact("OptimismPortal").interface
_MESSENGER = op_artifact("L1CrossDomainMessenger").interface
_NOBODY = "0x" + "00" * 20
_CALL = (0, _NOBODY, _NOBODY, 0, 0, b"")
_ENVELOPE = (0, 0, 0, 0, bytes(32), bytes(32), 0, 0, 0, b"")
_EXAMPLES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "proveWithdrawalTransaction": (_PORTAL, (_CALL, 0, (bytes(32),) * 4, ())),
    "finalizeWithdrawalTransaction": (_PORTAL, (_CALL,)),
    "relayMessage": (_MESSENGER, _CALL),
    "replay": (MAILBOX, (_ENVELOPE,)),
    "exportUndelivered": (MAILBOX, (_ENVELOPE,)),
}
_SELECTORS = {
    interface.encode_call(name, *example)[:4]: name for name, (interface, example) in _EXAMPLES.items()
}


@dataclass(frozen=True, slots=True, order=True)
class Spent:
    """One transaction."""

    what: str
    """Function; the selector if it is none of the bridge's."""
    about: str
    """Hash of the withdrawal, message or messenger's call."""
    success: bool


def spending(data: bytes, *, success: bool) -> Spent:
    """What a transaction with such call data does."""
    name = _SELECTORS.get(data[:4])
    if name is None:
        return Spent(to_hex(data[:4]), "", success)
    arguments = _EXAMPLES[name][0].decode_arguments(name, data)
    if name == "relayMessage":
        about = to_hex(keccak256(data))
    elif name in ("replay", "exportUndelivered"):
        about = envelope_of(arguments[0]).hash
    else:
        about = Withdrawal(*arguments[0]).hash
    return Spent(name, about, success)


async def spent(chain: Client, address: str) -> list[Spent]:
    """Every transaction of an account that a chain holds, in order."""
    found, own = [], address.lower()
    for number in range(int(await chain.call("eth_blockNumber"), 16) + 1):
        block = await chain.call("eth_getBlockByNumber", hex(number), True)
        for each in block["transactions"]:
            if each["from"].lower() == own:
                receipt = await chain.call("eth_getTransactionReceipt", each["hash"])
                found.append(spending(from_hex(each["input"]), success=receipt["status"] == "0x1"))
    return found
