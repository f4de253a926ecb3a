"""``rollnet deposit --token`` and ``rollnet withdraw --token``, and ETH over the standard bridges, on a running devnet: nothing is made or lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import L2_STANDARD_BRIDGE
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.wire.keccak import from_hex
from orchestrator.bridging.following import follow_deposit
from orchestrator.bridging.reading import only_passed
from orchestrator.bridging.testing import balance, create, does, view
from orchestrator.bridging.tokens import BRIDGE, FACTORY, MINTABLE, token_of
from orchestrator.cli.testing import Rollnet, within
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

QUICK = "l1: {block_time: 400ms, confirmations: 1}"
SETTLED = "{block_time: 500ms, settlement: {challenge_period: 1s, proposal_interval: 500ms}}"
ETHER = 10**18
CASH = artifact("CashToken")


@dataclass(frozen=True)
class World:
    """A devnet with a token."""

    net: Devnet
    token: str
    """On L1; user 7 has 1,000 of it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """A rollup that settles quickly."""
    async with launched(topology_file("tokens", ("alpha",), extra=QUICK, alpha=SETTLED)) as net:
        token = await create(net, net.l1, 7, CASH.deployment(net.accounts[7].address))
        mint = CASH.interface.encode_call("mint", net.accounts[7].address, 1000 * 10**6)
        await does(net, net.l1, 7, token, mint)
        yield World(net, token)


def withdrawn(receipt: Any) -> str:
    """Hash of the withdrawal that a transaction made."""
    return only_passed(receipt).withdrawal.hash


async def test_tokens_there_and_back(world: World, rollnet: Rollnet) -> None:
    """Two first deposits at once create one twin; what the bridge holds on L1 is what there is on the rollup, before and after a withdrawal."""
    net, alpha, token = world.net, world.net.rollup("alpha"), world.token
    bridge, friend = deployments(net.plan).rollups["alpha"].standard_bridge, "0x" + "d7" * 20
    deposit = ("deposit", "alpha", "12.5", "--token", token, "--account", "7", "--json")
    both = await asyncio.gather(rollnet(*deposit), rollnet(*deposit, "--to", friend))
    assert [0, 0] == [said.code for said in both], both
    assert 1 == sum("created just now" in said.err for said in both)
    found = both[0].json
    twin = found["token"]["rollup_token"]
    assert ("12.5", "12500000", "USDR") == (found["amount"], found["amount_units"], found["token"]["symbol"])

    async def held() -> list[int]:
        me = net.accounts[7].address
        return [
            await view(net.l1, CASH.interface, token, "balanceOf", me),
            await view(net.l1, CASH.interface, token, "balanceOf", bridge),
            await view(alpha, MINTABLE.interface, twin, "totalSupply"),
            await view(alpha, MINTABLE.interface, twin, "balanceOf", me),
            await view(alpha, MINTABLE.interface, twin, "balanceOf", friend),
            await view(net.l1, CASH.interface, token, "allowance", me, bridge),
        ]

    assert [975_000_000, 25_000_000, 25_000_000, 12_500_000, 12_500_000, 0] == await held()
    withdraw = ("withdraw", "alpha", "2.25", "--token", token, "--account", "7", "--json")
    too_much = await rollnet("withdraw", "alpha", "13", "--token", token, "--account", "7")
    said = await rollnet(*withdraw)
    assert (0, "finalized", "2.25") == (said.code, said.json["outcome"], said.json["amount"]), said
    assert (2, True) == (too_much.code, "has 1" in too_much.err), too_much
    assert [977_250_000, 22_750_000, 22_750_000, 10_250_000, 12_500_000, 0] == await held()
    again = await rollnet("withdraw", "--status", said.json["hash"], "--json")
    assert (0, "2.25", found["token"]) == (again.code, again.json["amount"], again.json["token"]), again


async def test_ether_over_the_standard_bridges(world: World, rollnet: Rollnet) -> None:
    """Both ways to the wei; the relayer brings it back as it does any withdrawal, and ``withdraw --status`` follows it."""
    net, alpha, there, here = world.net, world.net.rollup("alpha"), "0x" + "d8" * 20, "0x" + "d9" * 20
    where = deployments(net.plan).rollups["alpha"]

    def bridging(to: str) -> bytes:
        return BRIDGE.encode_call("bridgeETHTo", to, 200_000, b"")

    await does(net, net.l1, 8, where.standard_bridge, bridging(there), ETHER + 1)
    sent = await does(net, alpha, 8, L2_STANDARD_BRIDGE, bridging(here), ETHER // 4)
    said = await rollnet("withdraw", "--status", withdrawn(sent), "--wait", "--json")
    assert (0, "finalized") == (said.code, said.json["outcome"]), said
    assert (ETHER + 1, ETHER // 4) == (await balance(alpha, there), await balance(net.l1, here))


async def test_what_messengers_have_to_keep(world: World, rollnet: Rollnet) -> None:
    """Tokens for nobody, sent past the command line: neither end pays, both messengers keep the message, and both ways that is exit 1, not success."""
    net, alpha, token, nobody = world.net, world.net.rollup("alpha"), world.token, "0x" + "00" * 20
    where, me = deployments(net.plan).rollups["alpha"], net.accounts[7].address
    named = await token_of(net, alpha, token)
    approve = CASH.interface.encode_call("approve", where.standard_bridge, 5_000_000)
    await does(net, net.l1, 7, token, approve)
    # An allowance that is left from before, too small for what is deposited now: some tokens only change it by way of zero.
    before = await rollnet("deposit", "alpha", "6", "--token", token, "--account", "7", "--json")
    assert (0, "6") == (before.code, before.json["amount"]), before
    await does(net, net.l1, 7, token, approve)
    supply = await view(alpha, MINTABLE.interface, named.twin, "totalSupply")

    there = BRIDGE.encode_call("bridgeERC20To", token, named.twin, nobody, 1_000_000, 200_000, b"")
    sent = await does(net, net.l1, 7, where.standard_bridge, there)
    told: list[str] = []
    deposited = await follow_deposit(
        net, alpha, sent["transactionHash"], "kept", told.append, started=time.monotonic(), wait=True
    )
    assert ("failed", "its call failed; kept") == (deposited.outcome, deposited.reason)
    assert supply == await view(alpha, MINTABLE.interface, named.twin, "totalSupply")

    back = BRIDGE.encode_call("bridgeERC20To", named.twin, token, nobody, 1_000_000, 200_000, b"")
    digest = withdrawn(await does(net, alpha, 7, L2_STANDARD_BRIDGE, back))
    held = await view(net.l1, CASH.interface, token, "balanceOf", where.standard_bridge)
    said = await rollnet("withdraw", "--status", digest, "--wait", "--json")
    assert (1, "failed", me, nobody) == (said.code, *(said.json[key] for key in ("outcome", "from", "to"))), (
        said
    )
    assert "the messenger on L1 holds the message" in said.json["reason"]
    assert held == await view(net.l1, CASH.interface, token, "balanceOf", where.standard_bridge)


async def test_twins_of_other_names(world: World, rollnet: Rollnet) -> None:
    """One that somebody named otherwise can be given; one of another token is refused, for what is sent to it would be gone."""
    net, alpha, token = world.net, world.net.rollup("alpha"), world.token
    minter = op_artifact("OptimismMintableERC20Factory").interface
    twins = []
    for remote in (token, "0x" + "d2" * 20):
        made = await does(
            net, alpha, 7, FACTORY, minter.encode_call("createOptimismMintableERC20", remote, "twin", "TWIN")
        )
        topics = [from_hex(topic) for topic in made["logs"][-1]["topics"]]
        event = minter.decode_event(topics, from_hex(made["logs"][-1]["data"]))
        assert event is not None
        twins.append(event.arguments["localToken"])
    deposit = ("deposit", "alpha", "1", "--token", token, "--account", "7", "--to", "0x" + "d3" * 20)
    good, bad = [await rollnet(*deposit, "--rollup-token", twin) for twin in twins]
    assert (0, 2, True) == (good.code, bad.code, "it belongs to" in bad.err), bad
    assert 10**6 == await view(alpha, MINTABLE.interface, twins[0], "balanceOf", "0x" + "d3" * 20)


async def test_mistakes_move_nothing(world: World, module_home: Path) -> None:
    """Every mistake has words and exit 2, and no transaction is sent for it."""
    net = world.net
    deposit = ("deposit", "alpha", "--account", "6", "--token")
    withdraw = ("withdraw", "alpha", "--account", "6", "--token")
    portal = deployments(net.plan).rollups["alpha"].portal
    expected = {
        (*deposit, world.token, "1"): "has 0 USDR on l1",
        (*deposit, world.token, "1.1234567"): "at most 6 decimals",
        (*deposit, world.token, "1", "--to", "0x" + "00" * 20): "nobody's address",
        (*deposit, world.token, "1", "--rollup-token", world.token): "no OptimismMintableERC20",
        (*deposit, "0x" + "d1" * 20, "1"): "no contract at",
        (*deposit, portal, "1"): "is no ERC-20",
        (*deposit, "", "1"): "not an address",
        (*withdraw, world.token, "1"): "USDR",
        ("deposit", "alpha", "1", "--rollup-token", world.token): "give --token as well",
        ("withdraw", "--status", "0x" + "00" * 32, "--token", world.token): "--status sends nothing",
    }
    for arguments, words in expected.items():
        said = await within(module_home, *arguments)
        assert (2, 1, True) == (said.code, said.err.count("error:"), words in said.err), said
    for chain in (net.l1, net.rollup("alpha")):
        assert "0x0" == await chain.rpc("eth_getTransactionCount", net.accounts[6].address, "pending")
