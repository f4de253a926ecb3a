"""The insurance fund: it pays what is below zero, never more, and in one block never more than the block's limit."""

from dataclasses import replace

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.accounts import credit
from rollup_node.engines.options.transition.context import Context


def left(world: World, context: Context) -> int:
    """What the fund may still pay in this block."""
    now = world.globals
    return max(0, min(now.insurance, context.parameters.max_insurance_loss - now.insurance_paid))


def pay(world: World, context: Context, number: int, missing: int) -> int:
    """Take what an account lacks out of the fund, as far as fund and limit go; whoever asks credits it.

    Args:
        world: the state.
        context: the block.
        number: the account that it is paid for.
        missing: what it lacks, not below zero.

    Returns:
        what there is.
    """
    paid = min(missing, left(world, context))
    if paid:
        now = world.globals
        world.globals = replace(now, insurance=now.insurance - paid, insurance_paid=now.insurance_paid + paid)
        context.emit("InsurancePaid", number, paid)
    return paid


def cover(world: World, context: Context, number: int, deficit: int) -> None:
    """Nothing is left to sell: the fund pays what is missing, and what it lacks is a loss that all who withdraw share.

    Where only the block's limit stops the fund, the rest waits for the next block.
    """
    paid = pay(world, context, number, deficit)
    shared = 0 if world.globals.insurance else deficit - paid
    credit(world, number, paid + shared)
    if shared:
        now = world.globals
        world.globals = replace(now, shared_loss=now.shared_loss + shared)
        context.emit("LossShared", number, shared)
