"""Names that outlive their block: messages that came, messages that went, calls that the messenger has made, strategies.

Contracts on other rollups have a mapping for each. Here a name is kept in the leaf of its first 28 bits, with all that share them, so that
a name that is *not* known can be proven as well. Nobody is kept out of a leaf because others fill it: making names with 28 equal bits takes
a second each, so an attacker can lengthen a leaf, at the price of a message for each name, and that is all.
"""

from dataclasses import replace
from enum import IntEnum

from rollup_node.engines.options.state.leaves import Letter, Post
from rollup_node.engines.options.state.world import World


class Box(IntEnum):
    """Lists of names."""

    RELAY = 0
    """The messenger's: calls that came from L1."""
    INCOMING = 1
    """The mailbox's: messages for this rollup."""
    OUTGOING = 2
    """The mailbox's: messages sent from here."""
    STRATEGY = 3
    """The escrow's."""


def place_of(name: bytes) -> int:
    """Of a name's leaf."""
    return int.from_bytes(name[:4], "big") >> 4


def find(world: World, box: Box, name: bytes) -> Letter | None:
    """What is known under a name."""
    for one in world.letters.get(place_of(name), ()):
        if one.name == name and one.box == box:
            return one
    return None


def state_of(world: World, box: Box, name: bytes) -> int:
    """Its state; zero if it isn't known."""
    found = find(world, box, name)
    return found.state if found else 0


def put(world: World, letter: Letter) -> None:
    """Write down what is known under a name."""
    place = place_of(letter.name)
    key = (letter.name, letter.box)
    others = [one for one in world.letters.get(place, ()) if (one.name, one.box) != key]
    world.letters[place] = tuple(sorted((*others, letter), key=lambda one: (one.name, one.box)))


def put_state(world: World, box: Box, name: bytes, state: int) -> None:
    """Change, or begin, what is known under a name."""
    found = find(world, box, name) or Letter(name, box, 0)
    put(world, replace(found, state=state))


def post(world: World) -> Post:
    """Counts and custody."""
    return world.post.get(0) or Post()


def hold(world: World, wei: int) -> None:
    """Take wei that came from L1 into custody; below zero: let them go."""
    if wei:
        now = post(world)
        world.post[0] = replace(now, held=now.held + wei)
