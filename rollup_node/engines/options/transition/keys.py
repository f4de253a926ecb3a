"""Who may sign for an account, and that nothing signed counts twice."""

from dataclasses import replace

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import account
from rollup_node.engines.options.transition.context import Context


def spend_nonce(world: World, context: Context, number: int, signer: bytes, nonce: int, scope: int) -> None:
    """Note the nonce of something signed; it is higher than every one that this signer has used for this account.

    Args:
        world: the state.
        context: the block.
        number: of the account.
        signer: its owner, or a session key.
        nonce: what was signed.
        scope: what a session key needs at least one of.

    Raises:
        Refused: the signer has no such right, or the nonce isn't higher.
    """
    found = account(world, number)
    if signer == found.owner:
        last = found.nonce
        changed = replace(found, nonce=nonce)
    else:
        key = next((key for key in found.keys if key.address == signer), None)
        if key is None or key.expiry < context.timestamp or not key.scope & scope:
            raise Refused("NotAuthorized", number, signer)
        last = key.nonce
        keys = tuple(replace(one, nonce=nonce) if one is key else one for one in found.keys)
        changed = replace(found, keys=keys)
    if nonce <= last:
        raise Refused("NonceUsed", number, signer, nonce, last)
    world.accounts[number] = changed
