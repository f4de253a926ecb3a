"""From a method's name and parameters to its answer; whatever is wrong with them is a JSON-RPC error."""

from collections.abc import Sequence
from typing import Any

from bridge.wire.errors import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    SERVER_ERROR,
    RpcError,
)
from rollup_node.engines.options.reads.kinds import BLOCK, data, quantity, read_param
from rollup_node.engines.options.reads.methods import METHODS, Method
from rollup_node.engines.options.reads.scene import Chain, Scene
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.values import Overflow


def answer(chain: Chain, method: str, params: Sequence[Any]) -> Any:
    """The answer to one read.

    Raises:
        RpcError: no such method, wrong parameters, or nothing to be found.
    """
    found = METHODS.get(method)
    if found is None:
        raise RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
    if len(params) > len(found.params):
        raise RpcError(INVALID_PARAMS, f"{method} takes {len(found.params)} parameters, not {len(params)}")
    number: int | None = chain.archive.head.number
    arguments: list[Any] = []
    for place, param in enumerate(found.params):
        said = params[place] if place < len(params) else None
        if param.kind is BLOCK:
            number = block_number(chain, said)
        else:
            arguments.append(read_param(place, param, said))
    return _answer(chain, found, number, arguments)


def _answer(chain: Chain, method: Method, number: int | None, arguments: list[Any]) -> Any:
    if number is None:
        if method.null_without_block:
            return None
        raise RpcError(SERVER_ERROR, "header not found")
    try:
        return method.run(Scene(chain, number), *arguments)
    except Refused as exc:
        raise RpcError(RESOURCE_NOT_FOUND, exc.reason) from exc
    except Overflow as exc:
        raise RpcError(SERVER_ERROR, f"a figure is past its range: {exc}") from exc


def block_number(chain: Chain, tag: Any) -> int | None:
    """The number that a block parameter means; None if there is no such block."""
    archive = chain.archive
    if tag is None or tag in ("latest", "pending", "safe", "finalized"):
        return archive.head.number
    if tag == "earliest":
        return 0
    if isinstance(tag, dict):
        tag = tag.get("blockHash", tag.get("blockNumber"))
    if isinstance(tag, str) and len(tag) == 66:
        return archive.number_of(data(tag, 32))
    number = quantity(tag)
    return number if archive.head_of(number) is not None else None
