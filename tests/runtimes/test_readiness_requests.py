"""What counts as an answer, told by a server that gives every wrong one first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from orchestrator.runtimes.base import HttpRequest, JsonRpcRequest
from orchestrator.runtimes.readiness import Readiness


@pytest.fixture
async def script() -> AsyncIterator[tuple[BaseTestServer, list[web.Response | None]]]:
    """A server and the answers that it will give, one each; ``None`` breaks the connection off."""
    answers: list[web.Response | None] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        given = answers.pop(0)
        if given is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return given

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield server, answers


def judge(result: Any) -> bool:
    """Accepts 7 alone, and chokes on text."""
    return bool(result + 0 == 7)


WRONG = [
    (lambda: None, "Disconnected"),
    (lambda: web.Response(text="starting"), "no JSON: starting"),
    (lambda: web.Response(status=503, text=""), "status 503"),
    (lambda: web.json_response({"error": {"message": "not yet"}}), "not yet"),
    (lambda: web.json_response([1, 2]), "no result"),
    (lambda: web.json_response({"result": 6}), "not accepted: 6"),
    (lambda: web.json_response({"result": "text"}), "could not be judged: TypeError"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
async def test_wrong_answers_are_no_answers(
    script: tuple[BaseTestServer, list[web.Response | None]],
    wrong: Callable[[], web.Response | None],
    words: str,
) -> None:
    """After each kind of wrong answer the node is asked again, and the wrong answer is remembered for the user."""
    server, answers = script
    answers += [wrong(), wrong(), web.json_response({"result": 7})]
    readiness = Readiness(
        JsonRpcRequest("http", "ready", accept=judge), lambda _: str(server.make_url("")).rstrip("/")
    )
    async with asyncio.timeout(10):
        await readiness.answered()
    assert ([], True) == (answers, words in readiness.last_answer)


async def test_get_needs_a_good_status_and_an_accepted_body(
    script: tuple[BaseTestServer, list[web.Response | None]],
) -> None:
    """For a GET both the status and the body must be right."""
    server, answers = script
    answers += [web.Response(status=404, text="fine"), web.Response(text="no"), web.Response(text="fine")]
    request = HttpRequest("http", "/health", accept=lambda body: body == b"fine")
    async with asyncio.timeout(10):
        await Readiness(request, lambda _: str(server.make_url("")).rstrip("/")).answered()
    assert [] == answers


async def test_the_address_is_asked_each_time(
    script: tuple[BaseTestServer, list[web.Response | None]],
) -> None:
    """A runtime that gives out another address meanwhile is followed."""
    server, answers = script
    answers.append(web.json_response({"result": True}))
    addresses = ["http://127.0.0.1:1", "http://127.0.0.1:1", str(server.make_url("")).rstrip("/")]
    async with asyncio.timeout(10):
        await Readiness(JsonRpcRequest("http", "ready"), lambda _: addresses.pop(0)).answered()
    assert [] == addresses
