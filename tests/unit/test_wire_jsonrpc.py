"""JSON-RPC at the edges: whatever comes in gets a well-formed answer, and whatever comes back is an answer or no answer."""

import socket
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Malformed,
    PeerUnreachable,
    RpcError,
)
from bridge.wire.jsonrpc import ENGINE_BATCH, MAX_BATCH, MAX_DEPTH, Client, answer, dispatcher
from bridge.wire.testing import run_virtual


async def _echo(value: Any) -> Any:
    return value


async def _refuse() -> Any:
    raise RpcError(-32003, "no", {"leg": 1})


async def _malformed() -> Any:
    raise Malformed("not hexadecimal")


async def _broken() -> Any:
    raise ZeroDivisionError


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


HANDLER = dispatcher({"echo": _echo, "refuse": _refuse, "malformed": _malformed, "broken": _broken})
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
REQUESTS = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {"method": st.one_of(st.sampled_from(["echo", "refuse", "malformed", "broken", "gone"]), JSON)},
        optional={
            "id": st.one_of(st.none(), st.integers(0, 2**62), st.text(max_size=5)),
            "params": JSON,
            "jsonrpc": st.just("2.0"),
        },
    ),
)


def _ask(body: Any) -> Any:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    reply = run_virtual(answer(raw, HANDLER))
    return orjson.loads(reply) if reply else None


@given(st.one_of(REQUESTS, st.lists(REQUESTS, max_size=3)))
def test_any_json_gets_a_well_formed_answer(body: Any) -> None:
    """One answer for each request that has an id, none for notifications, errors with a code; nothing is ever raised."""
    reply = _ask(body)
    replies = reply if isinstance(reply, list) else [] if reply is None else [reply]
    for each in replies:
        assert "2.0" == each["jsonrpc"]
        assert ("result" in each) != ("error" in each)
        assert isinstance(each.get("error", {"code": 0})["code"], int)
    if isinstance(body, dict) and isinstance(body.get("method"), str):
        assert ("id" in body) == (len(replies) == 1)
        assert all(each["id"] == body["id"] for each in replies)


@given(st.binary(max_size=30))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    """What is no JSON is a parse error."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        assert PARSE_ERROR == _ask(body)["error"]["code"]
    else:
        _ask(body)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"id": 1, "method": "gone"}, METHOD_NOT_FOUND),
        ({"id": 1, "method": "echo"}, INVALID_PARAMS),
        ({"id": 1, "method": "echo", "params": [1, 2]}, INVALID_PARAMS),
        ({"id": 1, "method": "echo", "params": {"value": 1}}, INVALID_PARAMS),
        ({"id": 1, "method": "refuse"}, -32003),
        ({"id": 1, "method": "malformed"}, INVALID_PARAMS),
        ({"id": 1, "method": "broken"}, INTERNAL_ERROR),
        ({"id": 1, "method": 5}, INVALID_REQUEST),
        ([], INVALID_REQUEST),
        ([{"id": 1, "method": "echo", "params": [1]}] * (MAX_BATCH + 1), INVALID_REQUEST),
        (5, INVALID_REQUEST),
        ({"id": 1, "method": "echo", "params": _nested(250)}, INVALID_PARAMS),
        ({"id": 1, "method": "echo", "params": [{"deep": _nested(MAX_DEPTH)}]}, INVALID_PARAMS),
    ],
)
def test_each_mistake_has_its_code(request_: Any, code: int) -> None:
    """The standard's codes, and a handler's own."""
    assert code == _ask(request_)["error"]["code"]


@pytest.mark.parametrize("depth", [250, 1_000, 1_020, 100_000])
def test_whatever_is_nested_too_deeply_is_the_callers_mistake(depth: int) -> None:
    """No depth of lists, in parameters or anywhere else, is an internal error."""
    for body in (b'{"id":1,"method":"echo","params":%s}', b'{"id":%s,"method":"echo"}', b"%s"):
        reply = orjson.loads(run_virtual(answer(body % (b"[" * depth + b"]" * depth), HANDLER)))
        error = reply[0]["error"] if isinstance(reply, list) else reply["error"]
        assert error["code"] in (INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR)


def test_what_is_nested_as_deeply_as_may_be_arrives() -> None:
    """The limit itself is allowed."""
    value = _nested(MAX_DEPTH - 1)
    assert value == _ask({"id": 1, "method": "echo", "params": [value]})["result"]


def test_an_error_keeps_its_data_and_a_batch_its_order() -> None:
    """Revert data reaches the caller; answers stand in the order of the requests; notifications leave no gap."""
    assert {"code": -32003, "message": "no", "data": {"leg": 1}} == _ask({"id": 7, "method": "refuse"})[
        "error"
    ]
    batch = [{"id": n, "method": "echo", "params": [n]} for n in range(5)]
    told = _ask([*batch[:2], {"method": "echo", "params": [9]}, *batch[2:]])
    assert [(n, n) for n in range(5)] == [(reply["id"], reply["result"]) for reply in told]
    assert _ask({"method": "echo", "params": [1]}) is None


class Peer(Client):
    """A peer that answers with whatever the test says."""

    def __init__(self, reply: Any) -> None:
        super().__init__("http://127.0.0.1:9")
        self.reply, self.bodies = reply, list[Any]()

    async def _exchange(self, body: bytes, seconds: float) -> bytes:
        assert seconds > 0
        self.bodies.append(orjson.loads(body))
        told = self.reply(self.bodies[-1]) if callable(self.reply) else self.reply
        return told if isinstance(told, bytes) else orjson.dumps(told)


def test_ordered_batches_are_cut_and_put_together_again() -> None:
    """Chunks of at most sixty, one after the other; answers in any order come back in ours; errors stand as values."""

    def backwards(body: list[Any]) -> list[Any]:
        return [
            {"id": call["id"], "result": call["params"][0]}
            if call["params"][0] % 7
            else {"id": call["id"], "error": {"code": -1, "message": "seven"}}
            for call in reversed(body)
        ]

    peer = Peer(backwards)
    told = run_virtual(peer.batch([("echo", [n]) for n in range(150)]))
    assert [n if n % 7 else "seven" for n in range(150)] == [
        str(v) if isinstance(v, RpcError) else v for v in told
    ]
    assert [ENGINE_BATCH, ENGINE_BATCH, 30] == [len(body) for body in peer.bodies]
    assert list(range(150)) == [call["params"][0] for body in peer.bodies for call in body]


async def test_why_nobody_answered_is_said_plainly() -> None:
    """A closed port is a refused connection, a silent server one that gave no answer in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", timeout=0.1) as client:
            with pytest.raises(PeerUnreachable, match=f"^http://127.0.0.1:{port}: no answer within 0.1 s$"):
                await client.call("echo")
    async with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(PeerUnreachable, match=f"^http://127.0.0.1:{port}: connection refused$"):
            await client.call("echo")


@pytest.mark.parametrize("reply", [b"", b"<html>", [], 5, None, "x", b"[1]"])
def test_what_is_no_answer_is_no_answer(reply: Any) -> None:
    """The peer may or may not have acted: the caller is told exactly that."""
    with pytest.raises(PeerUnreachable):
        run_virtual(Peer(reply).call("echo", 1))


@pytest.mark.parametrize(
    "reply", [b"", {}, [], [{"id": 0, "result": 1}], [1, 2], [{"id": None}, {"id": 1}], [{}, {}]]
)
def test_what_is_no_batch_is_no_answer(reply: Any) -> None:
    """Missing, foreign or unnamed answers in a batch count as none."""
    with pytest.raises(PeerUnreachable):
        run_virtual(Peer(reply).batch([("echo", [1]), ("echo", [2])]))
