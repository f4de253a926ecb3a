"""Random histories of a sequencing set on an L1 that is reorganised: every item ends once and whole, whatever happens."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.testing import Op, signed
from bridge.wire.transaction import Transaction
from shared_sequencer.testing import bundle_item, transaction_item
from shared_sequencer.testing_life import effects, hashes
from shared_sequencer.testing_world import CHAINS, WINDOW, Crash, World

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("work"), st.integers(0, 3)),
        st.tuples(st.just("work"), st.integers(0, 3)),
        st.tuples(st.just("work"), st.integers(0, 3)),
        st.tuples(st.just("single"), st.integers(0, 3)),
        st.just(("slot", 0)),
        st.tuples(st.just("mine"), st.integers(0, 3)),
        st.tuples(st.just("mine many"), st.integers(2, WINDOW)),
        st.just(("look", 0)),
        st.just(("look with nodes", 0)),
        st.just(("publish", 0)),
        st.tuples(st.just("go back"), st.integers(1, 5)),
        st.tuples(st.just("go back and keep"), st.integers(1, 5)),
        st.tuples(st.just("come back"), st.integers(1, 3)),
        st.tuples(st.just("lose"), st.sampled_from(CHAINS)),
        st.sampled_from([("die", 0), ("die-late", 0), ("die in a look", 0)]),
    ),
    min_size=5,
    max_size=25,
)


async def _leg(world: World, chain: int, account: int) -> Transaction:
    """As a client makes it: with the next nonce that is free; never the same twice."""
    life, sender = world.life, signed(chain, account, 0).sender
    probe = signed(chain, account, 0)
    await life.admission._accounts([probe])
    nonce = life.mempool.pending_nonce((chain, sender))
    return signed(chain, account, nonce, ((Op.ADD, 1, 1),), value=len(world.admitted))


def _around(world: World, kind: str, count: int) -> bool:
    """One step that is not the sequencer's own doing; returns whether it was one."""
    match kind:
        case "mine":
            world.toys.l1.mine({CHAINS[count % 2]: [count] * (count > 1)})
        case "mine many":
            for _ in range(count):
                world.toys.l1.mine()
        case "go back" | "go back and keep":
            world.toys.l1.go_back(count, keep=kind.endswith("keep"))
            world.toys.l1.mine({901: [5]})
        case "come back":
            world.toys.l1.come_back()
            for _ in range(count):
                world.toys.l1.mine()
        case "lose":
            world.toys.nodes[count].unreachable = not world.toys.nodes[count].unreachable
        case _:
            return False
    return True


async def _happens(world: World, kind: str, count: int) -> None:
    """One step of the sequencer, or its death."""

    async def die(_: Sequence[Any]) -> None:
        raise Crash

    try:
        match kind:
            case "work":
                world.toys.l1.mine({CHAINS[count % 2]: [count // 2 + 3]})
                await world.look(nodes=count > 1)
                await world.admit(bundle_item([await _leg(world, chain, count) for chain in CHAINS]))
                await world.slot()
            case "single":
                await world.admit(transaction_item(await _leg(world, CHAINS[count % 2], count)))
            case "slot":
                world.clock.now += 0.4
                await world.slot()
            case "look" | "look with nodes":
                await world.look(nodes=kind.endswith("nodes"))
            case "publish":
                await world.publish()
            case "die in a look":
                world.log.after = die
                await world.look()
            case _:
                setattr(world.log, "after" if kind == "die-late" else "before", die)
                await world.slot()
    except Crash:
        await world.again()
    except RpcError:
        pass  # a rollup is down: nothing was acknowledged
    world.log.before = world.log.after = None


# A superbatch that was late is in time after a reorganisation; a nonce is told by a node that has not gone back yet.
@example([("work", 0), ("mine many", 6), ("publish", 0), ("work", 0), ("go back and keep", 2)], 0)
@example([("work", 0), ("mine many", 6), ("work", 2), ("go back", 3), ("work", 0)], 0)
@given(STEPS, st.integers(0, 2))
@settings(max_examples=80, deadline=None)
def test_whatever_l1_does_every_item_ends_once_and_whole(
    steps: list[tuple[str, int]], confirmations: int
) -> None:
    """Any schedule of work, reorganisations, forced blocks, losses and crashes; at rest all are where a fresh derivation is."""

    async def main(world: World) -> None:
        for kind, count in steps:
            if not _around(world, kind, count):
                await _happens(world, kind, count)
            if kind.startswith("look"):
                world.hold()
        await world.settle()
        seen = effects(world.toys)
        for item in world.admitted:
            end = world.life.mempool.ended.get(item.id)
            took = end is not None and end.decision.outcome in ("commit", "include")
            assert {int(took)} == {seen[digest] for digest in hashes(item)}
        assert Counter(dict.fromkeys(seen, 1)) == seen
        world.deposits_once()
        expected = {to_hex(keccak256(from_hex(raw))) for p in _payloads(world) for raw in p.deposits[1:]}
        assert {digest for item in world.admitted for digest in hashes(item)} | expected >= set(seen)

    World(confirmations).run(main)


def _payloads(world: World) -> list[Any]:
    return [payload for node in world.toys.nodes.values() for payload in node.payloads]
