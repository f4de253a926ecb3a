"""How long a message has to wait because the topology says so, even if every node were infinitely fast. Pure.

The formulas are not here: :func:`~orchestrator.bridging.terms.message_terms` says how long a message takes, for whoever waits. Here its terms are
put beside the stages that have to wait for them, so that what was measured can be held against them.
"""

from collections.abc import Iterable

from orchestrator.bridging.terms import message_terms
from orchestrator.comparison.model import Wait
from orchestrator.topology.plan import Plan


def message_waits(plan: Plan, source: str, destination: str) -> tuple[Wait, ...]:
    """The longest waits of a message from one rollup to another, stage by stage; they sum to ``message_terms(…).expected_s``.

    - **batched**: a decided slot waits until the next superbatch is due (``publish_every``), and the superbatch for the next L1 block.
    - **proposed**: the block waits until one that is due for an output follows (``proposal_interval`` blocks of the idle rollup, which has one
      for each L1 block), and the output for the next L1 block.
    - **proven**: the proof waits for the next L1 block.
    - **finalized**: the challenge period runs from the proof, and the L1 block after its end finalizes. In the same transaction the
      message is **deposited**.
    - **executed**: the destination builds on the L1 block with the deposit once ``confirmations`` more are on top, in its next block.

    Each is what an unlucky message waits; a lucky one comes right before the bus leaves. The challenge period everybody waits in full. Slots are
    left out: a transaction with work opens one by itself.

    Args:
        plan: the devnet.
        source: rollup that the message leaves.
        destination: rollup that it goes to.
    """
    terms = message_terms(plan, source, destination)
    up, block_s = terms.withdrawal, plan.l1.block_time_s
    settled = next(each.settlement for each in plan.rollups if each.name == source)
    a_block = f"L1 block {block_s:g} s"
    return (
        Wait(
            "message.batched", up.publish_s, f"publish_every {plan.messaging.publish_every_s:g} s + {a_block}"
        ),
        Wait(
            "message.proposed",
            up.proposal_s,
            f"proposal interval, {settled.proposal_interval} blocks of {source} + {a_block}",
        ),
        Wait("message.proven", block_s, a_block),
        Wait(
            "message.finalized",
            up.challenge_s - block_s,
            f"challenge period {settled.challenge_period_s} s + {a_block}",
        ),
        Wait(
            "message.executed",
            terms.delivery_s,
            f"{plan.l1.confirmations} confirmations of {a_block} + a block of {destination}",
        ),
    )


def waits_s(waits: Iterable[Wait]) -> float:
    """Their sum, seconds."""
    return sum(wait.seconds for wait in waits)
