"""The committed artifacts are what the sources compile to, and the codec speaks them exactly."""

import shutil
import subprocess
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.artifacts import FOLDER, artifact
from bridge.contracts.codec import Decoded, signature
from bridge.contracts.errors import AbiMismatch, ArtifactMissing
from bridge.wire.keccak import keccak256

ROOT = FOLDER.parents[2]
MARKET = artifact("OptionsMarket").interface


def _check(root: Path) -> subprocess.CompletedProcess[str]:
    script = str(root / "bridge" / "contracts" / "compile.mjs")
    return subprocess.run(
        ["node", script, "--check"], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.long  # `make check` compiles as well
@pytest.mark.skipif(shutil.which("node") is None, reason="compiling needs Node")
def test_committed_artifacts_are_reproducible() -> None:
    """Compiling the sources again gives the committed artifacts, byte for byte."""
    outcome = _check(ROOT)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.long  # `make check` compiles as well
@pytest.mark.skipif(shutil.which("node") is None, reason="compiling needs Node")
def test_check_names_an_artifact_that_differs_from_its_source(tmp_path: Path) -> None:
    """A changed, a stale and a missing artifact are each found by ``--check``."""
    copy = tmp_path / "bridge" / "contracts"
    shutil.copytree(FOLDER.parent, copy)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    changed = copy / "artifacts" / "BundleGuard.json"
    changed.write_bytes(changed.read_bytes().replace(b'"nonpayable"', b'"payable"', 1))
    (copy / "artifacts" / "CashToken.json").unlink()
    (copy / "artifacts" / "Gone.json").write_text("{}")
    outcome = _check(tmp_path)
    assert outcome.returncode == 1
    assert all(name in outcome.stderr for name in ("BundleGuard.json", "CashToken.json", "Gone.json"))
    assert "OptionsMarket.json" not in outcome.stderr


def test_a_missing_artifact_is_named_with_those_that_exist() -> None:
    """The error says what exists and how to make more."""
    with pytest.raises(ArtifactMissing, match=r"no artifact named Bogus.*OptionsMarket.*compile\.mjs"):
        artifact("Bogus")


def test_selectors_follow_the_published_rule() -> None:
    """Call data starts with the well-known ERC-20 selectors."""
    cash = artifact("CashToken").interface
    account = "0x" + "11" * 20
    assert cash.encode_call("transfer", account, 1)[:4].hex() == "a9059cbb"
    assert cash.encode_call("approve", account, 1)[:4].hex() == "095ea7b3"
    assert cash.encode_call("balanceOf", account)[:4].hex() == "70a08231"


def test_signatures_spell_structs_as_tuples() -> None:
    """A function that takes an array of structs has the canonical signature of nested tuples."""
    (entry,) = [item for item in artifact("OptionsMarket").abi if item.get("name") == "postQuotes"]
    expected = "postQuotes(((bytes32,uint64,uint64,bool),(uint64,uint64,uint64,uint64))[])"
    assert expected == signature(entry)


@given(price=st.integers(0, 2**256 - 1), limit=st.integers(0, 2**256 - 1))
def test_errors_decode_to_their_names_and_arguments(price: int, limit: int) -> None:
    """Revert data of a custom error comes back as a readable sentence."""
    data = keccak256(b"LimitExceeded(uint256,uint256)")[:4] + encode(["uint256"] * 2, [price, limit])
    error = MARKET.decode_error(data)
    assert error == Decoded("LimitExceeded", {"price": price, "limit": limit})
    assert str(error) == f"LimitExceeded(price={price}, limit={limit})"


@given(st.binary(max_size=100))
def test_foreign_revert_data_is_no_error_of_ours(data: bytes) -> None:
    """Arbitrary bytes decode to nothing or to a known error, and never raise."""
    error = MARKET.decode_error(data)
    assert error is None or error.name in {"Error", "Panic"} or data[:4] != b""


def test_the_compilers_own_errors_are_readable() -> None:
    """``require`` texts and panics decode although no ABI lists them."""
    text = keccak256(b"Error(string)")[:4] + encode(["string"], ["no"])
    panic = keccak256(b"Panic(uint256)")[:4] + encode(["uint256"], [0x11])
    assert [str(MARKET.decode_error(data)) for data in (text, panic)] == [
        "Error(reason=no)",
        "Panic(code=17)",
    ]


@given(
    quantity=st.integers(-(2**255), 2**255 - 1),
    numbers=st.tuples(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1)),
    words=st.tuples(*[st.binary(min_size=32, max_size=32)] * 2),
)
def test_events_decode_indexed_and_plain_fields(
    quantity: int, numbers: tuple[int, int], words: tuple[bytes, bytes]
) -> None:
    """A log of ``Trade`` gives its fields in the order of the declaration."""
    series, bundle = words
    topics = [MARKET.topic("Trade"), series, b"\0" * 12 + b"\x11" * 20, b"\0" * 12 + b"\x22" * 20]
    data = encode(["int256", "uint256", "uint256", "bytes32"], [quantity, *numbers, bundle])
    event = MARKET.decode_event(topics, data)
    assert event is not None
    assert list(event.arguments) == ["series", "maker", "taker", "quantity", "price", "premium", "bundle"]
    assert list(event.arguments.values()) == [
        series,
        "0x" + "11" * 20,
        "0x" + "22" * 20,
        quantity,
        *numbers,
        bundle,
    ]


def test_a_log_with_too_little_data_is_refused() -> None:
    """Data that doesn't fit the event's shape raises instead of giving half an event."""
    topics = [MARKET.topic("Trade"), b"\0" * 32, b"\0" * 32, b"\0" * 32]
    with pytest.raises(AbiMismatch, match="Trade"):
        MARKET.decode_event(topics, b"\0" * 31)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("nope", ()),
        ("withdraw", ()),
        ("withdraw", (-1,)),
        ("withdraw", ("one",)),
        ("trade", (b"\0" * 33,) * 5),
    ],
)
def test_calls_that_do_not_fit_the_abi_are_refused(function: str, arguments: tuple[object, ...]) -> None:
    """An unknown function, a wrong number of arguments and values out of range name what is wrong."""
    with pytest.raises(AbiMismatch, match=function):
        MARKET.encode_call(function, *arguments)


def test_arguments_survive_the_way_there_and_back() -> None:
    """Call data decodes to the arguments it was made from, and only by the function it is for."""
    arguments = (b"\1" * 32, "0x" + "22" * 20, -5, 7, b"\3" * 32)
    data = MARKET.encode_call("trade", *arguments)
    assert arguments == MARKET.decode_arguments("trade", data)
    assert arguments == decode(["bytes32", "address", "int256", "uint256", "bytes32"], data[4:])
    with pytest.raises(AbiMismatch, match="selector"):
        MARKET.decode_arguments("withdraw", data)
