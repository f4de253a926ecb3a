"""What the rollup earns, and how far its markets are from normal, for ``options_*``. Amounts are decimal text, 10⁻⁶ USD."""

from typing import Any

from rollup_node.engines.options.reads.market import symbol_of
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.risk.breakers import Level
from rollup_node.engines.options.state.leaves import Breaker
from rollup_node.engines.options.transition.breakers import WHOLE_LEAF, deficit, highest
from rollup_node.engines.options.transition.fees import FeeKind


def fees(scene: Scene) -> dict[str, Any]:
    """``options_getFees``: gross by kind since genesis; what of it is the sequencer's; what the running block hasn't shared out."""
    now, earned = scene.world.globals, scene.world.earnings
    return {
        "block": scene.number,
        "kinds": {kind.name.lower(): str(earned.amounts[kind]) for kind in FeeKind},
        "gross": str(sum(earned.amounts)),
        "sequencer": str(now.sequencer_fees),
        "insurance": str(sum(earned.amounts) - now.sequencer_fees - now.block_fees),
        "unswept": str(now.block_fees),
        "volume": str(earned.volume),
    }


def breakers(scene: Scene) -> dict[str, Any]:
    """``options_getBreakers``: levels, since when nothing has asked for them, and figures that decide on the next one."""
    world, parameters = scene.world, scene.parameters
    whole = world.breakers.get(WHOLE_LEAF) or Breaker()
    return {
        "block": scene.number,
        **_level(highest(world)),
        "coolOff": parameters.breaker_cool_off,
        "rollup": {
            **_level(world.globals.level),
            "held": whole.held,
            "deficit": str(deficit(world, scene.context())),
            "insurance": str(world.globals.insurance),
            "volume": str(world.earnings.volume - whole.volume),
            "withdrawals": {
                "since": whole.capped,
                "allowed": str(whole.allowed),
                "withdrawn": str(whole.withdrawn),
            },
        },
        "underlyings": [_underlying(scene, number) for number in sorted(world.oracles)],
    }


def _underlying(scene: Scene, number: int) -> dict[str, Any]:
    oracle, memory = scene.world.oracles[number], scene.world.breakers.get(number + 1) or Breaker()
    return {
        "underlying": symbol_of(scene, number),
        **_level(oracle.level),
        "held": memory.held,
        "age": max(0, scene.head.sealed.timestamp - oracle.timestamp) if oracle.timestamp else None,
        "confidence": str(oracle.confidence),
        "spot": str(oracle.spot),
        "previous": str(memory.previous),
        "fast": str(memory.fast),
        "slow": str(memory.slow),
    }


def _level(level: int) -> dict[str, Any]:
    return {"level": level, "name": Level(level).name.lower().replace("_", " ")}
