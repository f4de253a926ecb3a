"""What each account has to do with combos is known without looking at other people's, after any way there and back."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.state.leaves import Combo
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.world import World

ACCOUNTS = range(1, 5)
makers = st.lists(st.sampled_from(ACCOUNTS), max_size=3)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 6), st.sampled_from(ACCOUNTS), makers),
        st.tuples(st.just("end"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["mark", "undo", "seal", "rewind", "reload"])),
    ),
    max_size=30,
)


def _combo(account: int, promised: list[int]) -> Combo:
    fills = tuple((0, 1, maker, 100, 5, 1, 0, 0) for maker in promised)
    return Combo(bytes(32), account, bytes(32), (), 0, 0, fills=fills)


def _check(world: World) -> None:
    for account in ACCOUNTS:
        expected = [
            (number, combo)
            for number, combo in sorted(world.combos.items())
            if combo.account == account or account in {fill[2] for fill in combo.fills}
        ]
        assert expected == world.combos.of(account)


@settings(max_examples=60, deadline=None)
@given(moves)
def test_the_index_is_what_a_search_would_find(moves: list[tuple[object, ...]]) -> None:
    """Written anew, ended, undone, rewound, read from a snapshot: by account as by looking at all; and nothing is left of who has none."""
    world, marks, blocks = World(), [0], 0
    world.seal(0)
    for name, *what in moves:
        match name, what:
            case "put", [int(number), int(account), list(promised)]:
                world.combos[number] = _combo(account, promised)
            case "end", [number] if number in world.combos:
                assert isinstance(number, int)
                del world.combos[number]
            case "mark", _:
                marks.append(world.mark())
            case "undo", _ if len(marks) > 1:
                world.undo(marks.pop())
            case "seal", _:
                blocks += 1
                world.seal(blocks)
                marks = [0]
            case "rewind", _:
                blocks = max(0, blocks - 1)
                world.rewind(blocks)
                marks = [0]
            case "reload", _:
                world, marks, blocks = load(dump(world)), [0], 0
                world.seal(0)
        _check(world)
    for number in list(world.combos):
        del world.combos[number]
    assert not world.combos._by_account


def test_who_asks_looks_at_no_other_combo() -> None:
    """Two thousand open combos of others aren't touched: reading one of them would fail."""

    class Private(Combo):
        """One that nobody may look at."""

        __slots__ = ()

        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"somebody asked for the {name} of another's combo")

    world, own = World(), _combo(1, [])
    world.combos[1] = own
    for number in range(2, 2_002):
        world.combos[number] = replace(own, account=2)
        dict.__setitem__(world.combos, number, object.__new__(Private))
    assert [(1, own)] == world.combos.of(1)
