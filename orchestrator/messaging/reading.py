"""Messages between rollups as the chains have them: which were sent, and how far each came.

Read by the rule that the relayer uses (``bridge.relayer.messages.lifecycle.judge``, pure), never taken from its word: whoever proves, finalizes,
replays or exports, it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.relayer import lifecycle
from bridge.relayer.messages.facts import Asked, Chains, RollupEnds, gather
from bridge.relayer.messages.lifecycle import State, Step, judge
from bridge.relayer.messages.sightings import Sighting, Sign, calls_of
from bridge.relayer.withdrawal import Passed
from orchestrator.bridging.reading import look
from orchestrator.bridging.sending import BridgingFailed
from orchestrator.chains import ChainHandle, ChainUnreachable
from orchestrator.devnet import Devnet
from orchestrator.messaging.logs import Found, readable, sent_messages, sightings_of, where_now
from orchestrator.settlement.deployments import deployments

HASH_DIGITS: Final = 66
"""Length of a whole hash with its prefix."""


SHOWN_BY: Final = {
    State.FORWARDED: Sign.ROUTED,
    State.FAILED: Sign.FAILED,
    State.EXECUTED: Sign.EXECUTED,
    State.REFUNDED: Sign.REFUNDED,
}
"""What logs say of messages in these states."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chains say of a message at one moment."""

    found: Found
    """The message where it now is: a reorganisation may have moved it."""
    state: State
    step: Step
    carrier: lifecycle.State
    """How far the withdrawal is that carries it to L1."""
    hurdle: str
    """What the withdrawal waits for that the message waits for; empty if it waits for none."""
    withdrawal: str
    """Hash of the withdrawal that carries it, or carries it back."""
    clock: int
    """Time of its destination, of its source if there is none; unix seconds."""
    sightings: tuple[Sighting, ...]
    """What logs say of it, in the order of a message's life."""

    def sighting(self, *signs: Sign) -> Sighting | None:
        """The last log of these kinds."""
        return next((each for each in reversed(self.sightings) if each.sign in signs), None)


async def find_message(net: Devnet, beginning: str) -> Found:
    """A message by its hash or the beginning of it, on the rollup that sent it.

    Raises:
        BridgingFailed: no rollup sent it, or several begin so.
        RollnetError: a rollup doesn't answer.
    """
    whole = beginning if len(beginning) == HASH_DIGITS else None
    messages, trouble = await sent_messages(net, digest=whole)
    messages = [each for each in messages if each.hash.startswith(beginning)]
    if len(messages) > 1:
        some = ", ".join(each.hash for each in messages[:2])
        raise BridgingFailed(
            f"{len(messages)} messages begin with {beginning}: {some}, …", "give more digits"
        )
    if messages:
        return messages[0]
    if trouble:
        raise ChainUnreachable("; ".join(trouble), "look at `rollnet status` and `rollnet logs`")
    raise BridgingFailed(
        f"no message {beginning} was sent on {', '.join(net.rollups)}",
        "check the hash; `rollnet message list` shows them all",
    )


async def states_of(net: Devnet, messages: Sequence[Found]) -> tuple[dict[str, State], tuple[str, ...]]:
    """State of each message by its hash, and why some are missing: a silent chain has a part in those."""
    gathered = await gather(chains_of(net), [Asked(each.sent.envelope) for each in messages])
    valid = {each.hash: each.sent.envelope.valid_until for each in messages}
    states = {digest: judge(valid[digest], facts)[0] for digest, facts in gathered.facts.items()}
    return states, gathered.trouble


async def look_at(net: Devnet, found: Found) -> Seen:
    """How far a message is.

    Raises:
        RollnetError: a chain that has a part in it doesn't answer.
    """
    source = net.rollup(found.source)
    with readable():
        found, carrier = await where_now(net, source, found)
        sightings, back = await sightings_of(net, found, carrier)
    gathered = await gather(chains_of(net), [Asked(found.sent.envelope, calls_of(sightings))])
    if found.hash not in gathered.facts:
        raise ChainUnreachable("; ".join(gathered.trouble), "look at `rollnet status` and `rollnet logs`")
    facts = gathered.facts[found.hash]
    state, step = judge(found.sent.envelope.valid_until, facts)
    if SHOWN_BY.get(state, Sign.FORWARDING) not in {each.sign for each in sightings}:
        with readable():  # it happened after the logs were read
            sightings, back = await sightings_of(net, found, carrier)
    if carrier is None:
        state, on_way, hurdle = State.DROPPED, lifecycle.State.DROPPED, "its block was reorganised away"
    elif any(each.sign is Sign.ROUTED for each in sightings):
        on_way, hurdle = lifecycle.State.FINALIZED, ""
    else:
        on_way, hurdle = await _progress(net, source, carrier)
    if back is not None and state is State.RETURNING and found.destination is not None:
        hurdle = (await _progress(net, net.rollup(found.destination), back))[1]
        carrier = back
    digest = carrier.withdrawal.hash if carrier else ""
    return Seen(found, state, step, on_way, hurdle, digest, facts.clock or found.time, sightings)


async def _progress(net: Devnet, rollup: ChainHandle, carrier: Passed) -> tuple[lifecycle.State, str]:
    state, step, _ = await look(net, rollup, carrier)
    waits = step.reason if isinstance(step, lifecycle.Wait) else "the relayer is at it"
    return state, "" if state is lifecycle.State.FINALIZED else f"its withdrawal is {state}: {waits}"


def chains_of(net: Devnet) -> Chains:
    """All that messages go between, as the relayer's own module asks them."""
    where = deployments(net.plan)
    return Chains(
        l1=net.l1.client,
        router=where.l1["MessageRouter"],
        rollups={
            chain.chain_id: RollupEnds(chain.client, where.rollups[name].messenger)
            for name, chain in net.rollups.items()
        },
    )
