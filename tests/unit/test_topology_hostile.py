"""Hostile input: whatever the bytes or the path, one kind of error, soon, in little memory."""

import os
import socket
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.topology.document import MAX_NODES
from orchestrator.topology.errors import MAX_PROBLEMS, InvalidTopology
from orchestrator.topology.load import load_topology, read_topology
from orchestrator.topology.source import MAX_BYTES
from orchestrator.topology.spec import SECTIONS, TopologySpec

SECONDS = 10.0
"""Far above what any of these takes (half a second), so that a busy machine does not matter; far below a hang."""

MEMORY = 64 * 2**20
"""Bytes that reading may hold at its peak; the bombs below mean gigabytes if followed."""


def refuse(data: bytes) -> InvalidTopology:
    """Read what must be refused, in bounded time."""
    started = time.monotonic()
    with pytest.raises(InvalidTopology) as caught:
        read_topology(data, "x.yaml")
    assert time.monotonic() - started < SECONDS
    return caught.value


def alias_bomb() -> str:
    """A billion laughs: ten levels of ten aliases each."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    return "\n".join(levels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(alias_bomb(), "anchors", id="alias bomb"),
        pytest.param("a: &a [*a]", "anchors", id="alias to itself"),
        pytest.param("[" * 200_000, "must be a map", id="deep list"),
        pytest.param("a: " + "[" * 200_000, "nested", id="deep list in a map"),
        pytest.param("a: " + "{" * 200_000, "key must be a word", id="braces"),
        pytest.param("{a: " * 50_000, "nested", id="deep map"),
        pytest.param("? " * 100_000, "key must be a word", id="deep keys"),
        pytest.param("a: [" + "1," * 100_000 + "]", str(MAX_NODES), id="long list"),
        pytest.param("a: {" + "b: 1," * 40_000 + "}", str(MAX_NODES), id="many equal keys"),
        pytest.param("a: " + "x" * 250_000, "unknown key", id="long text"),
        pytest.param("x" * 900 + ": 1", "unknown key", id="long key"),
        pytest.param("name: '" + "x" * 250_000 + "'", "is no name", id="long name"),
        pytest.param("seed: " + "9" * 250_000, "digits is too long", id="long number"),
        pytest.param("seed: 0." + "9" * 250_000, "characters is too long", id="long fraction"),
        pytest.param("l1: {block_time: " + "9" * 200_000 + "s}", "is no duration", id="long duration"),
        pytest.param("#\n" * 120_000, "is empty", id="comments"),
        pytest.param("\n" * 250_000, "is empty", id="blank lines"),
        pytest.param("a: |\n" + "  x\n" * 60_000, "unknown key", id="long block"),
        pytest.param('a: "' + "\\n" * 120_000 + '"', "unknown key", id="escapes"),
    ],
)
def test_bombs_are_refused_in_bounded_time(text: str, words: str) -> None:
    """Nothing that fits the size limit makes reading slow or deep; the message stays short."""
    error = refuse(text.encode())
    assert any(words in problem.message for problem in error.problems), str(error)[:500]
    assert len(str(error)) < 200 * MAX_PROBLEMS


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(alias_bomb(), id="alias bomb"),
        pytest.param("a: [" + "1," * 100_000 + "]", id="long list"),
        pytest.param("a: " + "x" * 250_000, id="long text"),
    ],
)
def test_bombs_are_refused_in_bounded_memory(text: str) -> None:
    """No more is held than a small multiple of the size limit, whatever the text would mean if followed."""
    tracemalloc.start()
    try:
        refuse(text.encode())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


def test_thousands_of_mistakes_are_counted_not_listed() -> None:
    """A terminal stays readable; the programmatic list stays whole."""
    error = refuse("".join(f"key-{number}: 1\n" for number in range(5000)).encode())
    assert len(error.problems) == 5002
    assert len(str(error).splitlines()) == MAX_PROBLEMS + 1
    assert f"{5002 - MAX_PROBLEMS} more" in str(error).splitlines()[-1]


def test_a_terminal_can_not_be_attacked_through_a_message() -> None:
    """Control characters of the file are shown as escapes."""
    error = refuse(b'"\\e[2J": 1\nname: "\\e[31mred\\r\\nx"\n')
    assert all(character.isprintable() or character == "\n" for character in str(error))


def test_fifty_megabytes_are_not_read(tmp_path: Path) -> None:
    """The size is checked before parsing, and no more than the limit is ever held."""
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 2**20)
    tracemalloc.start()
    try:
        with pytest.raises(
            InvalidTopology, match=r"is too large for a topology: 52428800 bytes, at most 262144"
        ):
            load_topology(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BYTES


def test_the_size_limit_is_exact(tmp_path: Path) -> None:
    """A file of the limit is read, one byte more is not."""
    body = b"name: x\nrollups: {alpha: {}}\n"
    path = tmp_path / "x.yaml"
    path.write_bytes(body + b"#" * (MAX_BYTES - len(body)))
    assert load_topology(path).name == "x"
    path.write_bytes(body + b"#" * (MAX_BYTES - len(body) + 1))
    with pytest.raises(InvalidTopology, match="too large"):
        load_topology(path)


def make_pipe(path: Path) -> None:
    """A named pipe that nobody writes to."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A Unix socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_loop(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "is a directory"),
        (make_pipe, "is a pipe"),
        (make_socket, "can't be opened"),
        (make_loop, "can't be opened"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device"),
        (lambda path: path.symlink_to("/dev/null"), "is a device"),
        (lambda path: None, "no such file"),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_without_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], words: str
) -> None:
    """Directories, pipes that nobody writes to and endless devices are named for what they are."""
    monkeypatch.chdir(tmp_path)
    path = Path("x.yaml")
    make(path)
    with pytest.raises(InvalidTopology) as caught:
        load_topology(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, words in problem.message) == ("x.yaml", 0, True), str(problem)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    """A missing permission is a problem of the file, not a traceback."""
    path = tmp_path / "x.yaml"
    path.touch(mode=0o000)
    with pytest.raises(InvalidTopology, match="can't be opened: Permission denied"):
        load_topology(path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, ""])
def test_what_is_no_file_name_is_refused(name: str) -> None:
    """Any text that a shell can pass ends in a problem."""
    with pytest.raises(InvalidTopology):
        load_topology(Path(name))


def test_a_missing_ending_is_suggested(tmp_path: Path) -> None:
    """``pair`` for ``pair.yaml`` is the commonest slip."""
    (tmp_path / "pair.yaml").touch()
    with pytest.raises(InvalidTopology, match=r"did you mean .*pair\.yaml\?"):
        load_topology(tmp_path / "pair")


def outcome(data: bytes) -> TopologySpec | InvalidTopology:
    """What reading ends in, within the bounds that all input shares."""
    started = time.monotonic()
    result: TopologySpec | InvalidTopology
    try:
        result = read_topology(data, "x.yaml")
    except InvalidTopology as exc:
        result = exc
    assert time.monotonic() - started < SECONDS
    if isinstance(result, InvalidTopology):
        assert result.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in result.problems)
        assert str(result).encode("utf-8")
    return result


FRAGMENTS = [
    *(key for section in SECTIONS.values() for key in section.model_fields),
    *(
        "alpha",
        "l1",
        "evm",
        "200ms",
        "1s",
        "7d",
        "true",
        "no",
        "0123",
        "0x1f",
        "1e9",
        ".nan",
        "~",
        "-1",
        "2000",
    ),
    *(
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "? ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "|",
        ">",
        "#",
        " ",
        "\t",
        "\r",
    ),
    *(
        "&a ",
        "*a",
        "!!str ",
        "!",
        "!<x>",
        "<<",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "@",
        "`",
        "\\",
    ),
    *(
        "'",
        '"',
        '"\\ud800"',
        '"\\UFFFFFFFF"',
        '"\\x00"',
        "\ufeff",
        "\u2028",
        "\x00",
        "\x85",
        "é",
        "💥",
        "=",
        "%",
    ),
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60))
def test_anything_like_yaml_is_read_or_refused(fragments: list[str]) -> None:
    """Random sequences of YAML's own tokens never raise anything but InvalidTopology."""
    outcome("".join(fragments).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Random bytes never raise anything but InvalidTopology."""
    outcome(data)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(FRAGMENTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FRAGMENTS), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from([key for section in SECTIONS.values() for key in section.model_fields])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS | st.just("alpha"), VALUES, max_size=5), max_size=6)
)
def test_any_values_under_known_keys_are_read_or_refused(content: dict[str, object]) -> None:
    """Values of every type at every key never raise anything but InvalidTopology, in our words."""
    data = yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
    said = str(outcome(data))
    for foreign in ("Input should", "pydantic", "validation error", "is not valid:"):
        assert foreign not in said
