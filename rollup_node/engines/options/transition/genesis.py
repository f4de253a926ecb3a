"""The world that a rollup begins with: its markets' oracles, their market makers, and nobody else. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bridge.contracts.addresses import OPTIONS_MAKER_PREFIX
from bridge.wire.keccak import from_hex
from rollup_node.engines.options.state.leaves import Account, Amm, Globals, Oracle, Owner
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.accounts import bucket_of
from rollup_node.engines.options.transition.parameters import Parameters

MAKER_PREFIX: Final = from_hex(OPTIONS_MAKER_PREFIX, 19)
"""First 19 bytes of market makers' owners; the last is the underlying. Nobody has a key for any of them."""


def create(parameters: Parameters, signers: Sequence[bytes], timestamp: int) -> World:
    """A new rollup's state.

    Args:
        parameters: of the rollup.
        signers: addresses of the feed's signers.
        timestamp: unix seconds.
    """
    world = World(Globals(timestamp=timestamp))
    for underlying, market in sorted(parameters.markets.items()):
        world.oracles[underlying] = Oracle(signers=tuple(sorted(signers)))
        if not market.amm_limit:
            continue
        owner, number = MAKER_PREFIX + bytes([underlying]), world.globals.next_account
        world.globals = replace(world.globals, next_account=number + 1)
        world.accounts[number] = Account(owner=owner, portfolio=True)
        bucket = bucket_of(owner)
        known = world.addresses.get(bucket, ())
        world.addresses[bucket] = (*known, Owner(owner, 0, (number,)))
        world.amms[underlying] = Amm(number, market.amm_limit, market.amm_skew, market.amm_spread)
    return world
