"""The control server and its client: what the command line does to a running devnet."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from orchestrator.runtimes.base import Capability, NodeSpec, NodeState, Runtime
from orchestrator.runtimes.control import OPERATIONS, ControlClient, ControlServer
from orchestrator.runtimes.errors import DevnetGoneError, RefusedError
from orchestrator.runtimes.faults import KINDS, Blackhole, DiskFull
from orchestrator.waiting import eventually

pytestmark = pytest.mark.process

Fake = Callable[..., NodeSpec]


@pytest.fixture
async def server(runtime: Runtime, fake: Fake) -> AsyncIterator[ControlServer]:
    """Serves a devnet of one running node."""
    await runtime.prepare([fake("alpha", ready_timeout_s=10.0)])
    await runtime.start("alpha")
    async with ControlServer(runtime, lambda: {"name": "test"}) as serving:
        yield serving


@pytest.fixture
def client(server: ControlServer) -> ControlClient:
    """Knows the token."""
    return ControlClient("test", server.port, server.token)


async def test_status_travels_whole(runtime: Runtime, client: ControlClient) -> None:
    """The client gets exactly what the runtime says."""
    told = await client.status()
    assert ({"name": "test"}, runtime.status()) == (told.devnet, told.nodes)


async def test_every_operation_does_what_it_says(client: ControlClient) -> None:
    """Each operation is answered when it is done, with the node's new state."""
    expected = {
        "pause": NodeState.PAUSED,
        "resume": NodeState.READY,
        "stop": NodeState.STOPPED,
        "start": NodeState.READY,
        "kill": NodeState.KILLED,
        "restart": NodeState.READY,
    }
    assert sorted(OPERATIONS) == sorted(expected)
    assert expected == {name: (await client.operate(name, "alpha")).state for name in expected}
    assert 3 == (await client.status()).nodes[0].boot


async def test_logs_are_read(client: ControlClient) -> None:
    """The last lines of a node."""
    assert ("alpha is up",) == await client.logs("alpha", 1)


@pytest.mark.parametrize(
    ("operation", "node", "kind", "words"),
    [
        ("kill", "alhpa", "UnknownNodeError", "did you mean 'alpha'"),
        ("explode", "alpha", "BadRequest", "one of: "),
        ("start", "alpha", "NodeStateError", "it is ready"),
        ("kill", "../alpha", "UnknownNodeError", "alpha"),
    ],
)
async def test_refusals_say_why(
    client: ControlClient, operation: str, node: str, kind: str, words: str
) -> None:
    """The server's own message and hint reach the user."""
    with pytest.raises(RefusedError) as caught:
        await client.operate(operation, node)
    assert (kind, True) == (caught.value.kind, words in str(caught.value))


async def test_what_the_runtime_can_not_do_is_refused(
    runtime: Runtime, client: ControlClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation beyond the runtime's capabilities is refused before it touches the node."""
    monkeypatch.setattr(type(runtime), "capabilities", frozenset({Capability.KILL}))
    with pytest.raises(RefusedError, match="can't do: pause"):
        await client.operate("pause", "alpha")
    assert NodeState.READY == (await client.status()).nodes[0].state


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/status"), ("POST", "/down"), ("POST", "/nodes/alpha/kill")]
)
async def test_without_the_token_nothing_happens(
    server: ControlServer, token: str, method: str, path: str
) -> None:
    """A missing or wrong token is refused on every path, and nothing is done."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{server.port}{path}", headers=headers) as answer,
    ):
        assert 401 == answer.status
    assert not server.down_requested.is_set()
    assert NodeState.READY == server._runtime.status()[0].state


async def test_a_kill_overtakes_a_restart(client: ControlClient) -> None:
    """Over HTTP too the later kill wins over a restart under way, and later operations still work."""
    restart = asyncio.create_task(client.operate("restart", "alpha"))
    async with asyncio.timeout(20):
        while (await client.status()).nodes[0].boot < 2:  # noqa: ASYNC110 - seen from another process's side
            await asyncio.sleep(0)
    assert NodeState.KILLED == (await client.operate("kill", "alpha")).state
    await asyncio.wait({restart})
    assert NodeState.READY == (await client.operate("start", "alpha")).state


async def test_a_client_that_hangs_up_interrupts_nothing(client: ControlClient) -> None:
    """An operation goes on to its end when whoever asked for it has gone."""
    restart = asyncio.create_task(client.operate("restart", "alpha"))
    async with asyncio.timeout(20):
        while (await client.status()).nodes[0].boot < 2:  # noqa: ASYNC110 - seen from another process's side
            await asyncio.sleep(0)
        restart.cancel()
        while (await client.status()).nodes[0].state is not NodeState.READY:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_down_is_answered_when_all_is_gone(runtime: Runtime) -> None:
    """Several ``down`` at once are all answered, none before the block of the server is left."""
    async with ControlServer(runtime) as server:
        client = ControlClient("test", server.port, server.token)
        downs = [asyncio.create_task(client.down()) for _ in range(5)]
        await server.down_requested.wait()
        done, _ = await asyncio.wait(downs, timeout=0.2)
        assert set() == done
    await asyncio.wait(downs)
    assert [None] * 5 == [down.exception() for down in downs]


async def test_a_gone_devnet_is_told_as_such(server: ControlServer) -> None:
    """Nobody there, or somebody who never answers: both errors say what to do next."""
    with pytest.raises(DevnetGoneError, match="rollnet gc"):
        await ControlClient("gone", 1, "token").status()
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(DevnetGoneError, match="frozen"):
            await ControlClient("silent", port, "token", timeout_s=0.3).status()


async def test_faults_travel_whole(runtime: Runtime, client: ControlClient, server: ControlServer) -> None:
    """A fault that is injected from outside is in force here, with what was seen; it is listed, and healed from outside."""
    fault = DiskFull("alpha", 4096)
    bite = await client.inject(fault)
    assert (True, True) == (bite.bit, "/proc" in bite.evidence)
    listed = await client.faults()
    assert ((fault,), (fault,)) == (listed.in_force, runtime.faults())
    assert listed.possible == tuple(kind for kind in KINDS if kind in runtime.capabilities)
    assert (await client.heal(fault)).healed
    assert () == runtime.faults()
    refusals = {
        b"no json": (400, "BadFaultError", "the body is no JSON"),
        b'{"kind": "pauze", "node": "alpha"}': (400, "BadFaultError", "'pauze' is no kind of fault"),
        b'{"kind": "disk-full", "node": "gamma"}': (404, "UnknownNodeError", "no node is called 'gamma'"),
    }
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {server.token}"}) as session:
        for body, expected in refusals.items():
            url = f"http://127.0.0.1:{server.port}/faults"
            async with session.post(url, data=body) as response:
                error = (await response.json())["error"]
                assert expected == (response.status, error["kind"], error["message"])
    if Blackhole.kind not in runtime.capabilities:
        with pytest.raises(RefusedError, match="can't do: blackhole") as caught:
            await client.inject(Blackhole("alpha", "beta"))
        assert "UnsupportedError" == caught.value.kind


async def test_a_fault_for_a_while_ends_without_its_asker(runtime: Runtime, client: ControlClient) -> None:
    """Nobody comes back to undo it: the devnet itself does, when the time is over."""
    fault = DiskFull("alpha", 10**6)
    await client.inject(fault, 0.3)
    assert (fault,) == runtime.faults()

    async def over() -> bool:
        return not runtime.faults()

    await eventually(over, 10.0, "its end", every_s=0.01)


@pytest.mark.parametrize("for_s", [0, -1.0, 1e12, "5", [1]])
async def test_no_time_is_refused(runtime: Runtime, client: ControlClient, for_s: object) -> None:
    """What is no time is an error, and nothing is done."""
    with pytest.raises(RefusedError) as caught:
        await client.inject(DiskFull("alpha"), for_s)  # type: ignore[arg-type]
    assert ("BadFaultError", ()) == (caught.value.kind, runtime.faults())
