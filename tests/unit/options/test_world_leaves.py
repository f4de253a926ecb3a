"""Leaves: every value survives its bytes, no two values share them, and nothing else is read as a leaf."""

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import Malformed
from rollup_node.engines.options.state import forms
from rollup_node.engines.options.state.leaves import (
    FORMS,
    MOST_POSITIONS,
    Account,
    Key,
    Kind,
    Oracle,
    decode,
    encode,
    index_of,
)
from rollup_node.engines.options.values import Overflow


def values(codec: Any) -> st.SearchStrategy[Any]:
    """Every value that a codec takes."""
    match codec:
        case forms.Number(size, signed):
            bits = 8 * size
            return (
                st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
                if signed
                else st.integers(0, (1 << bits) - 1)
            )
        case forms.Choice(kind, count):
            return st.integers(0, count - 1).map(kind)
        case forms.Bytes(size):
            return st.binary(min_size=size, max_size=size)
        case forms.Group(members):
            return st.tuples(*map(values, members))
        case forms.Many(member, most, key):
            lists = st.lists(
                values(member),
                max_size=min(most, 5),
                unique_by=lambda value: member.write(value)[:key] if key else object(),
            )
            return lists.map(lambda found: tuple(sorted(found, key=member.write) if key else found))
        case forms.Record():
            return st.builds(codec.kind, **{name: values(inner) for name, inner in codec._codecs})
    raise AssertionError(codec)


leaves = st.sampled_from(Kind).flatmap(lambda kind: st.tuples(st.just(kind), values(FORMS[kind])))


@settings(max_examples=150, deadline=None)
@given(leaves)
def test_every_leaf_survives_its_bytes(leaf: tuple[Kind, Any]) -> None:
    """Decoding is the inverse of encoding, so the same bytes are never of two values."""
    assert leaf == decode(encode(*leaf))


@settings(max_examples=120, deadline=None)
@given(leaves, st.data())
def test_bytes_that_are_read_are_those_that_are_written(leaf: tuple[Kind, Any], data: st.DataObject) -> None:
    """Change, add or take a byte: refused, or a leaf of exactly these bytes. So no value has two encodings."""
    written = bytearray(encode(*leaf))
    place = data.draw(st.integers(0, len(written) - 1))
    how = data.draw(st.sampled_from(["change", "cut", "grow"]))
    if how == "change":
        written[place] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del written[place]
    else:
        written.insert(place, data.draw(st.integers(0, 255)))
    try:
        found = decode(bytes(written))
    except Malformed:
        return
    assert bytes(written) == encode(*found)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_refused_or_exact(data: bytes) -> None:
    """Nothing but :class:`Malformed` comes out of them."""
    try:
        found = decode(data)
    except Malformed:
        return
    assert data == encode(*found)


@pytest.mark.parametrize(
    "value",
    [
        Account(bytes(20), cash=2**127),
        Account(bytes(20), nonce=-1),
        Account(bytes(19)),
        Account(bytes(20), positions=((2, 1), (1, 1))),
        Account(bytes(20), positions=((1, 1), (1, 2))),
        Account(bytes(20), positions=tuple((number, 1) for number in range(MOST_POSITIONS + 1))),
        Account(bytes(20), keys=(Key(b"\1" * 20, 1, 1), Key(bytes(20), 1, 1))),
    ],
)
def test_what_does_not_fit_is_an_overflow(value: Account) -> None:
    """A number past its range, an address of another length, positions twice, in no order or too many."""
    with pytest.raises(Overflow):
        encode(Kind.ACCOUNT, value)


def test_every_dataclass_has_a_form_and_places_do_not_meet() -> None:
    """No field is left out, and indices of kinds are apart."""
    for kind, form in FORMS.items():
        if isinstance(form, forms.Record):
            assert is_dataclass(form.kind)
            assert [field.name for field in fields(form.kind)] == [name for name, _ in form._codecs], kind
    edges = [index_of(kind, number) for kind in Kind for number in (0, 2**28 - 1)]
    assert edges == sorted(set(edges))
    assert max(edges) < 2**32


def test_bytes_are_what_they_were() -> None:
    """Fixed for good: a change of any field's place or width changes these, and needs a new version."""
    account = Account(
        b"\xaa" * 20,
        7,
        -5,
        9,
        portfolio=True,
        flags=4,
        positions=((1, -2), (3, 4)),
        keys=(Key(b"\xbb" * 20, 3, 99, 1),),
        locked=8,
        due=7,
    )
    expected = (
        "0101" + "aa" * 20 + "0000000000000007" + "ff" * 15 + "fb" + "00" * 15 + "09" + "01" + "04"
        "0002" + "00000001fffffffffffffffe" + "000000030000000000000004" + "0000"
        "0001" + "bb" * 20 + "03" + "0000000000000063" + "0000000000000001"
        + "00" * 15 + "08" + "00" * 15 + "07"
    )  # fmt: skip
    assert expected == encode(Kind.ACCOUNT, account).hex()
    assert 2 + (2 + 20) + 1 + 8 * 5 + 2 + 2 + 32 + 2 + 2 == len(encode(Kind.ORACLE, Oracle((bytes(20),))))
