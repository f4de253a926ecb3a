"""Classes with the quick constructor are what they were: frozen, equal by value, made by position and by name."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from bridge.wire.frozen import quickly_made
from bridge.wire.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Usual:
    """As dataclasses make it."""

    name: bytes
    cash: int = 0
    held: tuple[tuple[int, int], ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    """The same, made quickly."""

    name: bytes
    cash: int = 0
    held: tuple[tuple[int, int], ...] = ()


def test_a_quick_one_is_what_a_usual_one_is() -> None:
    """In every way to make, compare, copy and show it."""
    for arguments, named in (
        ((b"a",), {}),
        ((b"a", 1), {}),
        ((b"a",), {"held": ((1, 2),)}),
        ((b"a", 1, ()), {}),
    ):
        usual, quick = Usual(*arguments, **named), Quick(*arguments, **named)  # type: ignore[arg-type]
        assert [getattr(usual, one.name) for one in fields(usual)] == [
            getattr(quick, one.name) for one in fields(quick)
        ]
        assert repr(usual).removeprefix("Usual") == repr(quick).removeprefix("Quick")
        assert hash(usual) == hash(quick)
        again = Quick(*arguments, **named)  # type: ignore[arg-type]
        assert again == quick == copy.copy(quick) == pickle.loads(pickle.dumps(quick))  # noqa: S301 - our own bytes
        assert replace(quick, cash=7) == Quick(quick.name, 7, quick.held) != quick


def test_a_quick_one_is_frozen() -> None:
    """As soon as whoever made it has it; what can't be made says which argument is missing or unknown."""
    quick = Quick(b"a")
    assert type(quick) is Quick
    for name in ("name", "cash", "held"):
        with pytest.raises(FrozenInstanceError):
            setattr(quick, name, 1)
    with pytest.raises(TypeError, match="'name'"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'owner'"):
        Quick(b"a", owner=1)  # type: ignore[call-arg]


def test_a_class_that_does_more_when_it_is_made_is_not_taken() -> None:
    """Its constructor would not be called."""

    @dataclass(frozen=True, slots=True)
    class Derived:
        found: list[int] = field(default_factory=list)

    @dataclass(frozen=True, slots=True)
    class Checked:
        cash: int

        def __post_init__(self) -> None:
            assert self.cash

    for one in (Derived, Checked):
        with pytest.raises(TypeError, match=one.__name__):
            quickly_made(one)


def test_the_constructor_still_says_what_it_takes() -> None:
    """Annotations are those of the fields."""
    assert {one.name for one in fields(Transaction)} <= set(Transaction.__init__.__annotations__)
