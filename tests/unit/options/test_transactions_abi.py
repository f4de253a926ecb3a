"""The calldata of an options rollup: what the published interfaces say, one encoding per value, and nothing else."""

import re
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as eth_decode
from eth_abi.abi import encode as eth_encode
from hypothesis import given, settings
from hypothesis import strategies as st

import rollup_node.engines.options as package
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import signature
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import decode_call
from rollup_node.engines.options.transactions.interfaces import (
    ACCOUNTS,
    BRIDGE_ERRORS,
    BY_NAME,
    COMBOS,
    ERRORS,
    ESCROW,
    EVENTS,
    EXCHANGE,
    FUNCTIONS,
    LIQUIDATION,
    ORACLE,
    RISK,
)
from rollup_node.engines.options.transactions.receipts import event
from rollup_node.engines.options.transactions.refusals import Refused, selector_of
from rollup_node.engines.options.values import Overflow

INTERFACES = {
    ACCOUNTS: "IOptionsAccounts",
    EXCHANGE: "IOptionsExchange",
    ORACLE: "IOptionsOracle",
    RISK: "IOptionsRisk",
    LIQUIDATION: "IOptionsLiquidation",
    COMBOS: "IOptionsCombos",
    ESCROW: "IOptionsEscrow",
}


@pytest.mark.parametrize(("target", "name"), INTERFACES.items(), ids=INTERFACES.values())
def test_functions_and_events_are_those_of_the_published_interface(target: bytes, name: str) -> None:
    """Nothing can be called, and nothing is emitted, that the Solidity does not say, and the other way round."""
    published = artifact(name).abi
    functions = {
        signature(entry)
        for entry in published
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }
    assert functions == {call.name + call.types for call in FUNCTIONS[target].values()}
    assert {keccak256(text.encode())[:4] for text in functions} == set(FUNCTIONS[target])
    payable = {entry["name"] for entry in published if entry.get("stateMutability") == "payable"}
    assert payable == {call.name for call in FUNCTIONS[target].values() if call.payable}
    events = {
        (signature(entry), tuple(field["indexed"] for field in entry["inputs"]))
        for entry in published
        if entry["type"] == "event"
    }
    ours = {
        (
            shape.signature,
            (True,) * len(shape.indexed.members) + (False,) * len(shape.plain.members),
        )
        for shape in EVENTS.values()
        if shape.source == target
    }
    assert events == ours


def test_errors_are_those_of_the_published_interface() -> None:
    """Every refusal is a custom error that tools know, and there is no other."""
    published = {signature(entry) for entry in artifact("IOptionsErrors").abi if entry["type"] == "error"}
    assert published == set(ERRORS.values())
    for name, text in ERRORS.items():
        assert keccak256(text.encode())[:4] == selector_of(name)


def test_the_engine_raises_no_refusal_that_has_no_selector() -> None:
    """Names of refusals in the engine's sources are names of errors."""
    sources = Path(package.__path__[0]).rglob("*.py")
    raised = {name for source in sources for name in re.findall(r'Refused\(\s*"(\w+)"', source.read_text())}
    assert raised
    assert raised <= set(ERRORS) | set(BRIDGE_ERRORS)


def _values(kind: abi.Type) -> st.SearchStrategy[Any]:
    if isinstance(kind, abi.Word):
        if kind.size:
            return st.binary(min_size=kind.size, max_size=kind.size)
        if kind.name == "bool":
            return st.booleans()
        return st.one_of(st.sampled_from([kind.low, kind.high - 1, 0]), st.integers(kind.low, kind.high - 1))
    if isinstance(kind, abi.Struct):
        return st.tuples(*map(_values, kind.members))
    if kind.inner is None:
        return st.binary(max_size=70)
    return st.lists(
        _values(kind.inner), min_size=kind.size or 0, max_size=3 if kind.size is None else kind.size
    ).map(tuple)


def _names(types: str) -> list[str]:
    return abi.split(types)


def _loose(value: Any) -> Any:
    """Addresses and sequences as the reference's decoder gives them."""
    if isinstance(value, tuple | list):
        return tuple(map(_loose, value))
    return bytes.fromhex(value[2:]) if isinstance(value, str) else value


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_every_call_is_encoded_as_the_reference_encodes_it_and_decodes_to_itself(data: st.DataObject) -> None:
    """For arguments of every function, our bytes are eth-abi's, and both decoders give the arguments back."""
    for call in BY_NAME.values():
        arguments = data.draw(_values(call.arguments), label=call.name)
        encoded = abi.encode(call.arguments, arguments)
        assert encoded == eth_encode(_names(call.types), arguments)
        assert arguments == abi.decode(call.arguments, encoded)
        assert arguments == _loose(eth_decode(_names(call.types), encoded))
        found = decode_call(call.target, call.selector + encoded)
        assert (call, arguments) == (found.function, found.arguments)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_calldata_is_another_call_or_none(data: st.DataObject) -> None:
    """Whatever is cut off, added or flipped: what still decodes encodes to exactly these bytes, so no value has two encodings."""
    call = data.draw(st.sampled_from(sorted(BY_NAME.values(), key=lambda one: one.name)))
    encoded = bytearray(abi.encode(call.arguments, data.draw(_values(call.arguments))))
    match data.draw(st.sampled_from(["cut", "add", "flip", "flip", "word"])):
        case "cut":
            encoded = encoded[: data.draw(st.integers(0, max(0, len(encoded) - 1)))]
        case "add":
            encoded += data.draw(st.binary(min_size=1, max_size=64))
        case "flip" if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "word" if encoded:
            place = 32 * data.draw(st.integers(0, len(encoded) // 32 - 1))
            encoded[place : place + 32] = data.draw(
                st.sampled_from([b"\xff" * 32, bytes(31) + b"\x20", bytes(32), b"\x80" + bytes(31)])
            )
    try:
        values = abi.decode(call.arguments, bytes(encoded))
    except Malformed:
        return
    assert bytes(encoded) == abi.encode(call.arguments, values)


@pytest.mark.parametrize(
    ("target", "data", "error"),
    [
        (None, b"", "UnknownTarget"),
        (b"\x11" * 20, b"", "UnknownTarget"),
        (ACCOUNTS, b"", "UnknownFunction"),
        (ACCOUNTS, b"\x01\x02", "UnknownFunction"),
        (EXCHANGE, BY_NAME["openAccount"].selector, "UnknownFunction"),
        (ACCOUNTS, BY_NAME["openAccount"].selector + bytes(1), "MalformedCall"),
        (ACCOUNTS, BY_NAME["setMode"].selector + bytes(63), "MalformedCall"),
        (ACCOUNTS, BY_NAME["setMode"].selector + bytes(63) + b"\x02", "MalformedCall"),
        (ACCOUNTS, BY_NAME["setMode"].selector + b"\x01" + bytes(63), "MalformedCall"),
        (EXCHANGE, BY_NAME["cancelOrder"].selector + bytes(24) + b"\x01" * 40, "MalformedCall"),
    ],
)
def test_what_is_no_call_is_refused_with_a_selector(target: bytes | None, data: bytes, error: str) -> None:
    """No target, no function, missing or excess bytes, and numbers out of range are each told apart."""
    with pytest.raises(Refused) as refused:
        decode_call(target, data)
    assert error == refused.value.name
    assert refused.value.data[:4] == selector_of(error)
    decoded = artifact("IOptionsErrors").interface.decode_error(refused.value.data)
    assert decoded is not None
    assert error == decoded.name


def test_a_long_array_is_refused_before_it_is_read() -> None:
    """A length of 2^255 costs nothing."""
    update = BY_NAME["update"]
    data = bytearray(abi.encode(update.arguments, ((bytes(32), 1, 1, 1, 1, 1, (), ()), (b"",))))
    data[-96] = 0x80
    with pytest.raises(Refused, match="MalformedCall"):
        decode_call(ORACLE, update.selector + bytes(data))


def test_events_decode_with_the_published_interface() -> None:
    """A log of ours is one of the interface's, with the same values."""
    log = event("Trade", 3, 7, 9, 1, 2, 5_000_000, -10_000, 30, 20)
    decoded = artifact("IOptionsExchange").interface.decode_event(log.topics, log.data)
    assert decoded is not None
    assert (3, 7, 9, 1, 2, 5_000_000, -10_000, 30, 20) == tuple(decoded.arguments.values())


_PACKED = [
    (f"{shape.name} {part}", kind)
    for shape in EVENTS.values()
    for part, kind in (("topics", shape.indexed), ("data", shape.plain))
    if kind.packer is not None
]


@settings(max_examples=15)
@given(st.data())
@pytest.mark.parametrize("kind", [kind for _, kind in _PACKED], ids=[name for name, _ in _PACKED])
def test_words_that_are_packed_at_once_are_those_of_one_by_one(kind: abi.Struct, data: st.DataObject) -> None:
    """Of events: at the ends of every type's range, and refused past them, one like the other."""
    values = []
    for word in kind.members:
        assert isinstance(word, abi.Word)
        edges = (word.low - 1, word.low, -1, 0, word.high - 1, word.high)
        values.append(data.draw(st.sampled_from(edges) | st.integers(word.low, word.high - 1)))
    try:
        expected = b"".join(abi.encode(word, value) for word, value in zip(kind.members, values, strict=True))
    except Overflow:
        with pytest.raises(Overflow):
            abi.encode(kind, values)
    else:
        assert expected == abi.encode(kind, values)
