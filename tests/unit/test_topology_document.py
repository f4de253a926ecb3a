"""YAML to values: the YAML 1.2 reading of scalars, the marks, and the places that can't be read."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.topology.document import Document, Origin, parse_document
from orchestrator.topology.errors import InvalidTopology, Problem
from orchestrator.topology.scalars import Trap, read_scalar


def parse(text: str) -> Document:
    """The document that a text makes."""
    return parse_document(text.encode(), "x.yaml")


def refusal(data: str | bytes) -> Problem:
    """The one problem of a document that can't be read at all."""
    with pytest.raises(InvalidTopology) as caught:
        parse_document(data.encode() if isinstance(data, str) else data, "x.yaml")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2001-12-14", "2001-12-14"),
        ("=", "="),
        ("200ms", "200ms"),
        ("1.5s", "1.5s"),
        ("0x00ff", 255),
        ("0o17", 15),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("Null", None),
        ("nUll", "nUll"),
        ("٣", "٣"),
    ],
)
def test_plain_scalars_read_as_yaml_1_2_says(text: str, value: object) -> None:
    """Only the YAML 1.2 core schema makes numbers, booleans and null; every 1.1 surprise stays text."""
    read = read_scalar(text)
    assert (type(value), value) == (type(read), read)


@pytest.mark.parametrize(
    "text", ["0123", "-007", "00", ".inf", "-.INF", ".nan", "1e999", "9" * 81, "0x" + "f" * 81]
)
def test_numbers_without_a_safe_reading_are_traps(text: str) -> None:
    """Where YAML versions disagree, or no field could hold the number, nothing is guessed."""
    assert isinstance(read_scalar(text), Trap)


@given(st.text(st.characters(codec="utf-8")))
def test_quoted_scalars_are_always_text(text: str) -> None:
    """Quotes mean text, whatever stands between them."""
    quoted = yaml.safe_dump(text, default_style='"', width=10_000).strip()
    document = parse(f"name: {quoted}")
    assert {"name": text} == document.content


@given(st.integers(-(10**40), 10**40))
def test_integers_read_back(number: int) -> None:
    """Every decimal integer is itself."""
    assert number == read_scalar(str(number))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back(number: float) -> None:
    """Every finite float is itself."""
    assert number == read_scalar(repr(number))


def test_every_place_knows_where_it_stands() -> None:
    """Lines and columns count from 1 and point at keys and values."""
    document = parse("name: x\nmarket:\n  strikes: [1, 2]\n")
    places = {
        path: (origin.key.line, origin.key.column, origin.value.line, origin.value.column)
        for path, origin in document.origins.items()
    }
    assert places == {
        (): (1, 1, 1, 1),
        ("name",): (1, 1, 1, 7),
        ("market",): (2, 1, 3, 3),
        ("market", "strikes"): (3, 3, 3, 12),
        ("market", "strikes", 0): (3, 13, 3, 13),
        ("market", "strikes", 1): (3, 16, 3, 16),
    }
    assert all(isinstance(origin, Origin) for origin in document.origins.values())


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_count_alike_for_every_newline(newline: str) -> None:
    """Windows and old Mac line ends count as the editor counts them."""
    document = parse(newline.join(["# one", "", "name: x"]))
    assert document.origins["name",].value.line == 3


def test_a_duplicate_key_names_both_lines() -> None:
    """The first value stays, the second is reported where it stands."""
    document = parse("a: 1\nb: 2\na: {c: [1, 2], d: {}}\n")
    assert document.content == {"a": 1, "b": 2}
    assert [str(p) for p in document.problems] == ["x.yaml:3:1: a: appears twice, first on line 1 (keep one)"]


def test_what_spoils_one_place_spoils_only_that() -> None:
    """A trap, a null, a bad key or a merge key is reported and left out; the rest is read."""
    document = parse("a: 0123\nb:\n1: x\nc: [1, .nan]\n<<: {}\ntrue: y\nd: ok\n")
    assert document.content == {"d": "ok"}
    assert [problem.line for problem in document.problems] == [1, 2, 3, 4, 5, 6]
    assert {("a",), ("b",), ("c",)} == document.spoiled
    assert {()} == document.incomplete


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "is empty"),
        ("# only a comment\n", 2, "is empty"),
        ("---\n", 2, "is empty"),
        ("[1, 2]", 1, "not a list"),
        ("just words", 1, "not a single value"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: 1\nb: &x 2\n", 2, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tags"),
        ("a: !!int 3\n", 1, "tags"),
        ("a: ! 3\n", 1, "tags"),
        ("a: 1\nb:\n\tc: 1\n", 3, "tab"),
        ("a: b: c\n", 1, "second ': '"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not closed"),
        ("a: {b: 1\nc: 2\n", 2, "not closed"),
        ('a: "open\n', 2, "ends inside quotes"),
        ("a: 1\nb\n", 3, "without a colon"),
        ("a: 1\n b: 2\n", 2, "second ': '"),
        (" a: 1\nb: 2\n", 2, "not YAML"),
        ("a: @x\n", 1, "can't start"),
        ("? [a, b]\n: 1\n", 1, "key must be a word"),
        ("{a: 1}: 2\n", 1, "key must be a word"),
        ('a: "\\UFFFFFFFF"\n', 1, "not YAML"),
        ('a: "\\U00110000"\n', 1, "not YAML"),
        ("%YAML 2.0\n---\na: 1\n", 1, "not YAML"),
        (f"%YAML 1.{'1' * 5000}\n---\na: 1\n", 1, "not YAML"),
        ("%TAG ! tag:x,2000:\n---\na: !y 1\n", 3, "tags"),
        ("a: " + "[" * 40, 1, "nested"),
        ("a: 1\na: " + "[" * 40, 2, "nested"),
    ],
)
def test_what_is_no_document_is_one_problem(text: str, line: int, words: str) -> None:
    """Trouble that makes the rest unreadable comes alone, with its line, in words that say what it is."""
    problem = refusal(text)
    assert (line, True) == (problem.line, words in problem.message), str(problem)


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        ("name: x".encode("utf-16"), 1, "is UTF-16"),
        (b"\xfe\xff" + "name: x".encode("utf-16-be"), 1, "is UTF-16"),
        ("name: x".encode("utf-32"), 1, "is UTF-32"),
        ("name: x".encode("utf-16-le"), 1, "U+0000"),
        ("a: 1\nname: é".encode("latin-1"), 2, "byte 0xe9"),
        (b"a: 1\nb: x\0y\n", 2, "U+0000"),
        (b"a: \x1b[31m\n", 1, "U+001B"),
        ("a: 1\u2028b: 2".encode(), 1, "U+2028"),
        ("a: 1\x85b: 2".encode(), 1, "U+0085"),
        (b"a: \xed\xa0\x80\n", 1, "not UTF-8"),
    ],
)
def test_other_encodings_are_named(data: bytes, line: int, words: str) -> None:
    """A file in another encoding is told so, not reported as noise further on."""
    problem = refusal(data)
    assert (line, True) == (problem.line, words in problem.message), str(problem)


def test_a_utf8_byte_order_mark_is_no_part_of_the_first_key() -> None:
    """Editors on Windows write one; it must neither end up in a key nor shift columns."""
    document = parse_document(b"\xef\xbb\xbfname: x", "x.yaml")
    assert document.content == {"name": "x"}
    assert document.origins["name",].key.column == 1


def test_half_a_surrogate_pair_is_no_text() -> None:
    """Such text can't be written to any file; it is refused where it stands."""
    document = parse('a: 1\nb: "\\ud800"\n')
    assert [(problem.line, problem.path) for problem in document.problems] == [(2, "b")]
