"""Trying a transaction without sending it, and asking why one that was mined failed.

Tried on the *pending* block: it has the next block's clock, and what others have in the pool already happened there.
"""

from typing import Any

from bridge.contracts.codec import Interface
from bridge.l1.errors import Unaffordable, WouldRevert
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex

PLAIN = Interface(())
"""Knows only ``require(…, "text")`` and the compiler's own errors."""
MARGIN = 1.2
"""Gas limit over estimate: what a transaction costs can grow a little between the two."""

_EXECUTION = ("revert", "gas", "evm error", "stack", "invalid opcode")
"""Words of engines about executions that fail; other errors say nothing about the transaction."""


async def gas_for(
    client: Client, sender: str, to: bytes, data: bytes, value: int, *, interface: Interface = PLAIN
) -> int:
    """The least gas with which a transaction does not revert.

    Raises:
        WouldRevert: no gas would do.
        Unaffordable: the sender doesn't have the value.
        RpcError: L1 refuses to say.
        PeerUnreachable: no answer.
    """
    call = {"from": sender, "to": to_hex(to), "data": to_hex(data), "value": hex(value)}
    return int(await _ask(client, "eth_estimateGas", call, interface), 16)


async def tried(
    client: Client,
    sender: str,
    to: bytes,
    data: bytes,
    value: int,
    gas: int,
    *,
    interface: Interface = PLAIN,
) -> None:
    """Hold that a transaction does not revert; errors as :func:`gas_for`."""
    call = {"from": sender, "to": to_hex(to), "data": to_hex(data), "value": hex(value), "gas": hex(gas)}
    await _ask(client, "eth_call", call, interface)


async def why_failed(client: Client, digest: str, interface: Interface = PLAIN) -> str:
    """Why a mined transaction reverted, as far as L1 tells."""
    try:
        trace = await client.call("debug_traceTransaction", digest, {"tracer": "callTracer"})
        return reason(interface, trace.get("output"), str(trace.get("error") or "reverted"))
    except RpcError:
        return "reverted, and L1 keeps no traces"


def reason(interface: Interface, data: Any, otherwise: str) -> str:
    """Revert data in words."""
    try:
        raw = from_hex(data)
    except Malformed:
        return otherwise
    decoded = interface.decode_error(raw)
    if decoded is None:
        return f"{otherwise}: {to_hex(raw)}" if raw else otherwise
    return str(decoded.arguments["reason"]) if decoded.name == "Error" else str(decoded)


async def _ask(client: Client, method: str, call: dict[str, str], interface: Interface) -> Any:
    try:
        return await client.call(method, call, "pending")
    except RpcError as exc:
        said = exc.message.lower()
        if "insufficient funds" in said:
            raise Unaffordable(f"{call['from']} can't pay: {exc.message}; send it ether") from exc
        if exc.data is None and not any(word in said for word in _EXECUTION):
            raise
        raise WouldRevert(reason(interface, exc.data, exc.message)) from exc
