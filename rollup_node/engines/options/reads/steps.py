"""Steps of a block, which its header commits to: told by who made it, and looked at by who doesn't trust that.

::

    options_getSteps, from the maker ─► options_getOmissions, from any honest node ─► LiquidationOmission on L1
"""

from dataclasses import replace
from typing import Any, Final

from bridge.wire.errors import INVALID_PARAMS, SERVER_ERROR, Malformed, RpcError
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.omissions import Leaf, Omission, Step, Unprovable
from rollup_node.engines.options.omissions import omissions as find_omissions
from rollup_node.engines.options.reads.kinds import data, table, wrong
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.transition.block import DERIVED_SENDER, BlockContent, execute

MOST_STEPS: Final = 16_384
"""Of a block, several times what its gas allows; what more is told isn't looked at."""


def steps(scene: Scene) -> list[dict[str, Any]]:
    """Transactions of the block in the order of execution, derived ones too, and the root of the state after each. Executes it again.

    Raises:
        RpcError: the state before the block isn't kept any more.
    """
    if scene.number == 0:
        return []
    world = Scene(scene.chain, scene.number - 1).world
    mark = world.mark()
    try:
        executed = execute(world, replace(scene.parameters, step_roots=True), _content(scene))
    finally:
        world.undo(mark)
    if executed.root != scene.head.sealed.state_root:
        raise RpcError(SERVER_ERROR, f"block {scene.number} can't be executed again to its root")
    return [
        {"transaction": to_hex(digest), "raw": to_hex(receipt.raw), "root": to_hex(root)}
        for receipt, (digest, root) in zip(executed.receipts, executed.steps, strict=True)
    ]


def omissions(scene: Scene, told: Any) -> list[dict[str, Any]]:
    """Liquidations that a block of this number and payload, of which these steps are told, has left out; proven, for the contract.

    Raises:
        RpcError: those aren't steps, or they deviate in another way.
    """
    if not isinstance(told, list) or len(told) > MOST_STEPS or not scene.number:
        raise wrong(told, f"at most {MOST_STEPS} steps of a block after genesis")
    try:
        said = [Step(data(table(one).get("raw")), data(one.get("root"), 32)) for one in told]
        world = Scene(scene.chain, scene.number - 1).world
        return list(map(_shown, find_omissions(world, scene.parameters, _content(scene), said)))
    except (Malformed, Unprovable) as exc:
        raise RpcError(INVALID_PARAMS, str(exc)) from exc


def _content(scene: Scene) -> BlockContent:
    """What a block was made of, by what it was made to: derived steps follow by themselves."""
    sealed = scene.head.sealed
    given = tuple(receipt.raw for receipt in scene.receipts() if receipt.sender != DERIVED_SENDER)
    return BlockContent(scene.number, sealed.timestamp, sealed.base_fee, given)


def _shown(omission: Omission) -> dict[str, Any]:
    """In the names of the contract's structs; the headers of the section are whoever's who has them."""
    section, holder = omission.section, omission.holder
    return {
        "section": {
            "count": section.count,
            "first": section.first,
            "steps": [
                {"raw": to_hex(step.raw), "root": to_hex(step.root), "siblings": list(map(to_hex, siblings))}
                for step, siblings in zip(section.steps, section.siblings, strict=True)
            ],
        },
        "holder": {
            "number": holder.number,
            "account": _leaf(holder.account),
            "series": list(map(_leaf, holder.series)),
            "rows": list(map(_leaf, holder.rows)),
            "oracles": list(map(_leaf, holder.oracles)),
        },
    }


def _leaf(leaf: Leaf) -> dict[str, str]:
    return {"data": to_hex(leaf[0]), "proof": to_hex(leaf[1])}
