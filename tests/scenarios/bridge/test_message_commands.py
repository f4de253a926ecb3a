"""``rollnet message`` on a running devnet: to the wei, with exit codes, and with nodes and commands that die."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.contracts.artifacts import artifact
from bridge.relayer.messages.envelope import MAILBOX, account_word
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.bridging.terms import InvalidTransfer
from orchestrator.bridging.testing import balance, create, does, fee_of, view
from orchestrator.cli.testing import Rollnet, Said, started
from orchestrator.devnet import Devnet
from orchestrator.messaging.terms import MAX_DATA, MAX_GAS, MAX_VALIDITY_S, wish
from orchestrator.reorganisation import reorganise
from orchestrator.topology.hd_keys import checksum_address

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

QUICK = "l1: {block_time: 400ms, confirmations: 1}"
SETTLED = "{block_time: 500ms, settlement: {challenge_period: 1s, proposal_interval: 500ms}}"
LATE = "{block_time: 500ms, settlement: {challenge_period: 3s, proposal_interval: 500ms}}"
SLOW = "{settlement: {challenge_period: 300s, proposal_interval: 2s}}"
ETHER = 10**18
PUPPET = artifact("Puppet")
ACCEPT, REFUSE = 0, 1
WAY = ["sent", "batched", "proposed", "proven", "finalized", "deposited", "executed"]


@dataclass(frozen=True)
class World:
    """A devnet and what was put on it."""

    net: Devnet
    puppet: str
    """On beta; does as it is told."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """A rollup that settles at once, one in three seconds, and one that nobody waits for."""
    path = topology_file(
        "talking", ("alpha", "beta", "gamma"), extra=QUICK, alpha=SETTLED, beta=LATE, gamma=SLOW
    )
    async with launched(path) as net:
        yield World(net, await create(net, net.rollup("beta"), 9, PUPPET.deployment()))


@pytest.fixture(scope="module")
def send(rollnet: Rollnet) -> Rollnet:
    """``rollnet message send … --json``."""

    async def run(*arguments: str) -> Said:
        return await rollnet("message", "send", *arguments, "--json")

    return run


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def aside(world: World, send: Rollnet) -> AsyncIterator[Callable[[str], Awaitable[Said]]]:
    """Messages that take their time while other tests run: one that comes too late, and one whose target refuses."""
    net = world.net
    await does(net, net.rollup("beta"), 9, world.puppet, PUPPET.interface.encode_call("feel", REFUSE))
    late = ("beta", "alpha", "--value", "0.25", "--valid-for", "3s", "--account", "3")
    refused = ("alpha", "beta", "--to", world.puppet, "--data", "0x1234", "--value", "0.5", "--account", "2")
    tasks = {
        "late": asyncio.create_task(send(*late)),
        "refused": asyncio.create_task(send(*refused)),
    }
    yield lambda name: tasks[name]
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def test_two_at_once_to_the_wei(world: World, send: Rollnet, inside: Rollnet) -> None:
    """Two equal messages of one account at once are two messages; each passes every stage in order, and every balance is exact."""
    net = world.net
    alpha, beta, user = net.rollup("alpha"), net.rollup("beta"), net.accounts[1]
    target, before = "0x" + "d0" * 20, await balance(alpha, user.address)
    asked = ("alpha", "beta", "--to", target, "--value", "1.000000000000000001", "--account", "1")
    both = await asyncio.gather(send(*asked), send(*asked))
    assert [0, 0] == [said.code for said in both], both
    documents = [said.json for said in both]
    assert 2 == len({document["hash"] for document in documents})
    for said, document in zip(both, documents, strict=True):
        assert (WAY, "executed", None) == (document["reached"], document["state"], document["ask_again"])
        assert sorted(document["stages"].values()) == list(document["stages"].values())
        assert all(f"{stage} after" in said.err for stage in WAY), said.err
    wei = 2 * (ETHER + 1)
    fees = sum([await fee_of(alpha, document["l2_transaction"]) for document in documents])
    assert (wei, before - wei - fees) == (await balance(beta, target), await balance(alpha, user.address))

    document = documents[0]
    executed = await beta.receipt(document["destination_transaction"])
    routed = await net.l1.receipt(document["l1_transaction"])
    assert executed is not None
    assert routed is not None
    assert {"0x7e", "0x1"} == {executed["type"], executed["status"]}
    again = await inside("message", "status", document["hash"])
    short = await inside("message", "status", document["hash"][:12], "--json")
    trace = await inside("trace", document["hash"], "--json")
    assert (0, True) == (again.code, "with 1.000000000000000001 ETH: executed" in again.out), again
    same = ("hash", "state", "l1_transaction", "destination_transaction", "withdrawal", "reached")
    assert {key: document[key] for key in same} == {key: short.json[key] for key in same}
    assert 0 == trace.code, trace
    assert document["hash"] in trace.out
    assert "message.submitted" in trace.out


async def test_a_target_that_refuses(
    world: World, rollnet: Rollnet, inside: Rollnet, aside: Callable[[str], Awaitable[Said]]
) -> None:
    """Exit 1 with the reason once the call has failed; when the target takes it, the message is executed, once, with its data and value."""
    net, beta = world.net, world.net.rollup("beta")
    said = await aside("refused")
    found = said.json
    refused = to_hex(PUPPET.interface.encode_call("mood")[:4])
    assert (1, "failed", "failed") == (said.code, found["outcome"], found["state"]), said
    assert "its target reverted with 0x" in found["reason"]
    assert refused not in found["reason"]
    assert [*WAY[:-1], "failed"] == found["reached"]
    listed = await inside("message", "list", "--state", "failed", "--json")
    assert [found["hash"]] == [each["hash"] for each in listed.json["messages"]]
    await does(net, beta, 9, world.puppet, PUPPET.interface.encode_call("feel", ACCEPT))
    done = await rollnet("message", "status", found["hash"], "--wait", "--json")
    assert (0, "executed", "") == (done.code, done.json["outcome"], done.json["reason"]), done
    sender = account_word(net.accounts[2].address)
    assert (1, ETHER // 2, sender) == (
        await view(beta, PUPPET.interface, world.puppet, "calls"),
        await balance(beta, world.puppet),
        to_hex(await view(beta, PUPPET.interface, world.puppet, "senderSeen")),
    )


async def test_a_message_that_comes_too_late(
    world: World, inside: Rollnet, aside: Callable[[str], Awaitable[Said]]
) -> None:
    """It was said beforehand that it would; it is refunded to the wei, exit 1, and that is its end."""
    beta, user = world.net.rollup("beta"), world.net.accounts[3]
    said = await aside("late")
    found = said.json
    assert (1, "refunded", "refunded") == (said.code, found["outcome"], found["state"]), said
    assert "it may expire on its way" in said.err
    assert "after its last valid second" in found["reason"]
    assert ["returning", "refunded"] == found["reached"][-2:]
    paid = await fee_of(beta, found["l2_transaction"])
    start = 10_000 * ETHER
    assert start - paid == await balance(beta, user.address)
    assert (await beta.receipt(found["refund_transaction"]) or {})["status"] == "0x1"
    again = await inside("message", "status", found["hash"], "--wait")
    assert (1, True) == (again.code, ": refunded" in again.out), again


async def test_not_waiting(send: Rollnet, rollnet: Rollnet, inside: Rollnet) -> None:
    """A long challenge period is not waited for, and how to ask again is said; asking sends nothing, and waiting then comes to the end."""
    slow, quick = await asyncio.gather(
        send("gamma", "alpha", "--value", "1", "--account", "4"),
        send("beta", "gamma", "--no-wait", "--account", "4"),
    )
    assert (2, "unfinished", 2) == (slow.code, slow.json["outcome"], quick.code), slow
    assert "not waited for without --wait" in slow.err
    assert "not waited for" not in quick.err
    ask = quick.json["ask_again"].split()[1:]
    asked = await inside("message", "status", slow.json["hash"], "--json")
    done = await rollnet(*ask, "--json")
    assert (2, slow.json["hash"], slow.json["l2_block"]) == (
        asked.code,
        asked.json["hash"],
        asked.json["l2_block"],
    )
    assert (0, "executed") == (done.code, done.json["outcome"]), done


async def test_killed_while_waiting(
    world: World, module_home: Path, repository: Path, rollnet: Rollnet
) -> None:
    """A command that is killed right after sending has sent once; another one follows the message to its end."""
    asked = (
        "message",
        "send",
        "beta",
        "alpha",
        "--value",
        "0.125",
        "--to",
        "0x" + "d5" * 20,
        "--account",
        "5",
    )
    async with started(module_home, repository, *asked) as process:
        assert process.stderr is not None
        said = ""
        async with asyncio.timeout(30):
            while not (found := re.search(r"message (0x[0-9a-f]{64})", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        process.kill()
        await process.wait()
    done = await rollnet("message", "status", found[1], "--wait", "--json")
    assert (0, "executed") == (done.code, done.json["outcome"]), done
    assert ETHER // 8 == await balance(world.net.rollup("alpha"), "0x" + "d5" * 20)
    nonce = await world.net.rollup("beta").rpc(
        "eth_getTransactionCount", world.net.accounts[5].address, "latest"
    )
    assert "0x1" == nonce


async def test_lists(inside: Rollnet) -> None:
    """Newest first; by source, destination and state, and no more than asked for; all the same message by message as ``status`` says."""
    everything = await inside("message", "list", "--json")
    from_beta = await inside("message", "list", "--from", "beta", "--json")
    to_gamma = await inside("message", "list", "--to", "gamma", "--json")
    few = await inside("message", "list", "--state", "executed", "--limit", "1", "--json")
    text = await inside("message", "list", "--from", "gamma")
    messages = everything.json["messages"]
    assert [0] * 5 == [each.code for each in (everything, from_beta, to_gamma, few, text)]
    assert sorted((each["sent_at"] for each in messages), reverse=True) == [
        each["sent_at"] for each in messages
    ]
    assert everything.json["matching"] == len(messages)
    for said, field, name in ((from_beta, "source", "beta"), (to_gamma, "destination", "gamma")):
        expected = [each["hash"] for each in messages if each[field] == name]
        assert expected == [each["hash"] for each in said.json["messages"]] != []
    assert ["executed"] == [each["state"] for each in few.json["messages"]]
    assert few.json["matching"] > 1
    assert re.search(r"gamma +alpha +\w+ +1 ETH +0x[0-9a-f]{64}", text.out), text.out


async def test_mistakes_send_nothing(world: World, inside: Rollnet) -> None:
    """Every mistake has words and exit 2, and no transaction is sent for it."""
    somebody = ("--to", "0x" + "d1" * 20)
    send = ("message", "send", "alpha", "beta", "--account", "6")
    expected = {
        ("message", "send", "alpha", "alpha"): "both are alpha",
        ("message", "send", "alpha", "delta"): "no rollup 'delta'",
        ("message", "send", "delta", "alpha"): "no rollup 'delta'",
        (*send, "--to", "0x4200000000000000000000000000000000000016"): "predeploys",
        (*send, "--to", CROSS_ROLLUP_MAILBOX): "the mailbox itself",
        (*send, "--to", "0x" + "00" * 20): "nobody",
        (*send, "--to", ""): "not an address",
        (*send, "--value", "-1"): "zero or more",
        (*send, "--value", "10000"): "with fees",
        (*send, "--gas", str(MAX_GAS + 1)): "3,000,000 gas",
        (*send, *somebody, "--data", "0x123"): "half a byte",
        (*send, *somebody, "--data", "1234"): "no call data",
        (*send, *somebody, "--data", "0x" + "00" * (MAX_DATA + 1)): "16,384 bytes",
        (*send, *somebody, "--data", "0x1234"): "has no code on beta",
        (*send, "--valid-for", "10"): "is no duration",
        (*send, "--valid-for", "31d"): "valid for 1s to 30d",
        (*send, "--valid-for", "0s"): "valid for 1s to 30d",
        ("message", "send", "alpha", "beta", "--account", "99"): "no account 99",
        ("message", "status", "0x" + "00" * 32): "no message 0x0000",
        ("message", "status", "0xzz"): "not a message's hash",
        ("message", "list", "--from", "delta"): "no rollup 'delta'",
        ("message", "list", "--state", "lost"): "no state 'lost'",
        ("message", "list", "--limit", "0"): "--limit is from 1",
        ("message", "send", "alpha", "beta", "--net", "nope", "--json"): "not running",
    }
    for arguments, words in expected.items():
        said = await inside(*arguments)
        assert (2, 1, True) == (said.code, said.err.count("error:"), words in said.err), said
    assert {"error"} == set(said.json)
    for chain in (world.net.l1, *world.net.rollups.values()):
        assert "0x0" == await chain.rpc("eth_getTransactionCount", world.net.accounts[6].address, "pending")


async def test_the_mailbox_agrees(world: World) -> None:
    """What is refused beforehand the mailbox refuses, what is taken it takes: at the bounds, and around the predeploys."""
    alpha, beta = world.net.rollup("alpha"), world.net.rollup("beta")
    now = int((await alpha.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    edges = (
        0,
        1,
        0x42 << 152,
        (0x42 << 152) - 1,
        (0x42 << 152) + 0x7FF,
        (0x42 << 152) + 0x800,
        (1 << 160) - 1,
    )
    targets = [checksum_address(edge.to_bytes(20, "big")) for edge in edges] + [CROSS_ROLLUP_MAILBOX]
    usual = {"target": "0x" + "d1" * 20, "gas": 0, "data": b"", "valid_s": 600}
    tried = [{**usual, "target": target} for target in targets]
    tried += [{**usual, "gas": gas} for gas in (MAX_GAS, MAX_GAS + 1)]
    tried += [{**usual, "data": bytes(length)} for length in (MAX_DATA, MAX_DATA + 1)]
    tried += [{**usual, "valid_s": seconds} for seconds in (MAX_VALIDITY_S, MAX_VALIDITY_S + 3600)]
    calls = []
    for each in tried:
        target = from_hex(account_word(each["target"]), 32)
        arguments = (beta.chain_id, target, each["gas"], now + each["valid_s"], each["data"])
        data = to_hex(MAILBOX.encode_call("send", *arguments))
        sender = world.net.accounts[0].address
        calls.append(("eth_call", [{"from": sender, "to": CROSS_ROLLUP_MAILBOX, "data": data}, "latest"]))
    taken = [not isinstance(answer, Exception) for answer in await alpha.client.batch(calls)]
    said = []
    for each in tried:
        try:
            wish("alpha", "beta", value=0, **each)
            said.append(True)
        except InvalidTransfer:
            said.append(False)
    assert said == taken
    assert {True, False} == {*taken}


async def test_nodes_that_are_down(world: World, send: Rollnet, rollnet: Rollnet, inside: Rollnet) -> None:
    """Without a relayer a message stops, loses nothing and is executed once it is back; a silent rollup is named, and the others are listed."""
    net = world.net
    await net.node("relayer").kill()
    asked = ("alpha", "beta", "--value", "0.5", "--to", "0x" + "da" * 20, "--account", "6")
    said = await send(*asked)
    assert (2, "unfinished") == (said.code, said.json["outcome"]), said
    assert "rollnet node restart relayer" in said.json["reason"]
    await net.node("relayer").restart()
    await reorganise(net.l1, 3, net.plan.l1.block_time_s)
    done = await rollnet("message", "status", said.json["hash"], "--wait", "--json")
    assert (0, "executed") == (done.code, done.json["outcome"]), done
    assert ETHER // 2 == await balance(net.rollup("beta"), "0x" + "da" * 20)
    await net.node("gamma").kill()
    listed = await inside("message", "list", "--json")
    silent = await inside("message", "status", "0x" + "00" * 32)
    unsent = await inside("message", "send", "gamma", "alpha", "--account", "6")
    assert (2, True) == (listed.code, "gamma does not answer" in listed.json["trouble"][0]), listed
    assert said.json["hash"] in [each["hash"] for each in listed.json["messages"]]
    for each in (silent, unsent):
        assert (2, True) == (each.code, "gamma does not answer" in each.err), each
