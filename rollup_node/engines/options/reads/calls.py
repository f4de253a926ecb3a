"""``eth_call`` and ``eth_estimateGas``: view functions of the interfaces, and transactions as they would run, undone afterwards."""

from collections.abc import Mapping
from typing import Any, Final

from bridge.wire.errors import INVALID_PARAMS, RpcError
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads.kinds import data, quantity
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.reads.views import find_view
from rollup_node.engines.options.transactions.decode import Message, decode_call
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.calls import apply_message, gas_needed
from rollup_node.engines.options.values import Overflow

REVERTED: Final = 3
"""Error code of a call that reverts, as geth has it; the error's data is the revert data."""
VIEW_GAS: Final = 21_000


def call(scene: Scene, request: Mapping[str, Any], overrides: Any) -> str:
    """``eth_call``."""
    return to_hex(_run(scene, request, overrides)[0])


def estimate(scene: Scene, request: Mapping[str, Any], overrides: Any) -> str:
    """``eth_estimateGas``: exact, since gas follows from what is called alone."""
    return hex(_run(scene, request, overrides)[1])


def access_list(scene: Scene, request: Mapping[str, Any], overrides: Any) -> dict[str, Any]:
    """``eth_createAccessList``: there is nothing to list."""
    return {"accessList": [], "gasUsed": estimate(scene, request, overrides)}


def _run(scene: Scene, request: Mapping[str, Any], overrides: Any) -> tuple[bytes, int]:
    """Return data and gas."""
    if overrides:
        raise RpcError(INVALID_PARAMS, "this rollup's state can't be overridden in calls")
    message = _message(request)
    try:
        view = find_view(message.to, message.data)
        if view is not None:
            return view(scene), VIEW_GAS
        return _simulated(scene, message)
    except (Refused, Overflow) as exc:
        refused = exc if isinstance(exc, Refused) else Refused("OutOfRange")
        raise RpcError(REVERTED, f"execution reverted: {refused.reason}", to_hex(refused.data)) from exc


def _simulated(scene: Scene, message: Message) -> tuple[bytes, int]:
    """Run a message on the state, and take it back."""
    world, context = scene.world, scene.context()
    context.actor, context.value = message.sender, message.value
    mark = world.mark()
    try:
        result = apply_message(world, context, message)
    finally:
        world.undo(mark)
    needed = gas_needed(message) + context.gas
    if needed > message.gas:
        raise Refused("OutOfGas", needed, message.gas)
    return result, needed


def _message(request: Mapping[str, Any]) -> Message:
    """What the fields of a call mean, where they are said."""
    sender = request.get("from")
    to = request.get("to")
    target = None if to is None else data(to, 20)
    content = request.get("input", request.get("data"))
    calldata = b"" if content is None else data(content)
    value, gas = (
        quantity(request[name]) if request.get(name) is not None else default
        for name, default in (("value", 0), ("gas", 1 << 63))
    )
    try:
        asked: Any = decode_call(target, calldata)
    except Refused as exc:
        asked = exc
    origin = bytes(20) if sender is None else data(sender, 20)
    return Message(b"", bytes(32), origin, target, calldata, value, 0, 0, gas, 0, 0, None, asked)
