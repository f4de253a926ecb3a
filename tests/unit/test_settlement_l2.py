"""Every rollup starts with the OP Stack's predeploys, which speak with the rollup's own contracts on L1 and work from block 0."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from bridge.contracts.addresses import (
    L1_BLOCK,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
    PREDEPLOYS,
    PROXY_ADMIN,
)
from bridge.contracts.op import op_artifact
from bridge.wire import rlp
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.errors import GenesisError
from orchestrator.market.testing import example_plan
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.l2 import (
    DEPOSITOR,
    REMOTES,
    VAULTS,
    for_rollup,
    implementation_of,
    l2_recipe,
)
from orchestrator.settlement.recipes import build
from orchestrator.settlement.testing_chains import OpChain, Refused, events, rollup_chain

PLAN = example_plan(("alpha", "beta"))
BETA = deployments(PLAN).rollups["beta"]
USER, STRANGER, DEPLOYER = PLAN.users[0], PLAN.users[1], PLAN.role("deployer")
PROXIED = [name for name in PREDEPLOYS if name != "WETH"]


@pytest.fixture
async def beta(tmp_path: Path) -> AsyncIterator[OpChain]:
    """The engine of a plan's second rollup, from its genesis."""
    async with rollup_chain(PLAN, tmp_path, rollup=1) as chain:
        yield chain


async def _deposit(chain: OpChain, sender: str, to: str, data: bytes, unique: int) -> dict[str, Any]:
    fields = [keccak256(bytes([unique])), from_hex(sender), from_hex(to), 0, 0, 1_000_000, 0, data]
    return await chain.send_raw(b"\x7e" + rlp.encode(fields))


async def test_every_address_that_was_told_beforehand_has_code(beta: OpChain) -> None:
    """Predeploys, our own contracts and what tools expect are where ``deployments`` says."""
    addresses = list(BETA.l2.values())
    assert dict.fromkeys(addresses, True) == await beta.codes(addresses)


async def test_predeploys_answer_with_their_versions(beta: OpChain) -> None:
    """Each proxy leads to its implementation in the code namespace, and ProxyAdmin, owned by the deployer, owns it."""
    for name in PROXIED:
        at = PREDEPLOYS[name]
        if name != "ProxyAdmin":
            assert await beta.read(name, at, "version") == await beta.read(
                name, implementation_of(name), "version"
            )
        code = await beta.read("ProxyAdmin", PROXY_ADMIN, "getProxyImplementation", at)
        owner = await beta.read("ProxyAdmin", PROXY_ADMIN, "getProxyAdmin", at)
        assert (implementation_of(name), PROXY_ADMIN) == (*code, *owner)
        assert f"0xc0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d3c0d3{at[-4:]}" == implementation_of(name)
    assert (DEPLOYER.address.lower(),) == await beta.read("ProxyAdmin", PROXY_ADMIN, "owner")


async def test_counterparts_are_the_rollups_own_contracts_on_l1(beta: OpChain) -> None:
    """Messenger and bridges know the L1 side of this rollup, not of another, and each other."""
    messenger, bridge = L2_CROSS_DOMAIN_MESSENGER, L2_STANDARD_BRIDGE
    nft = PREDEPLOYS["L2ERC721Bridge"]
    wiring = [
        ("L2CrossDomainMessenger", messenger, "otherMessenger", BETA.messenger),
        ("L2CrossDomainMessenger", messenger, "l1CrossDomainMessenger", BETA.messenger),
        ("L2StandardBridge", bridge, "otherBridge", BETA.standard_bridge),
        ("L2StandardBridge", bridge, "l1TokenBridge", BETA.standard_bridge),
        ("L2StandardBridge", bridge, "messenger", messenger),
        ("L2ERC721Bridge", nft, "otherBridge", BETA.l1["L1ERC721BridgeProxy"]),
        ("L2ERC721Bridge", nft, "messenger", messenger),
        (
            "OptimismMintableERC20Factory",
            PREDEPLOYS["OptimismMintableERC20Factory"],
            "bridge",
            bridge,
        ),
        (
            "OptimismMintableERC721Factory",
            PREDEPLOYS["OptimismMintableERC721Factory"],
            "BRIDGE",
            nft,
        ),
    ]
    for contract, address, function, expected in wiring:
        assert (expected.lower(),) == await beta.read(contract, address, function), (contract, function)
    factory = PREDEPLOYS["OptimismMintableERC721Factory"]
    (origin,) = await beta.read("OptimismMintableERC721Factory", factory, "REMOTE_CHAIN_ID")
    assert PLAN.l1.chain_id == origin


async def test_a_withdrawal_is_passed_and_kept_where_proofs_look_for_it(beta: OpChain) -> None:
    """``initiateWithdrawal`` logs the hash of the withdrawal and sets its bit in the mapping at slot 0."""
    receipt = await beta.send(
        USER,
        "L2ToL1MessagePasser",
        L2_TO_L1_MESSAGE_PASSER,
        "initiateWithdrawal",
        *(STRANGER.address, 100_000, b"\1\2"),
        value=5,
    )
    (passed,) = events(receipt, "L2ToL1MessagePasser", L2_TO_L1_MESSAGE_PASSER)
    nonce = 1 << 240
    types = ["uint256", "address", "address", "uint256", "uint256", "bytes"]
    expected = keccak256(encode(types, [nonce, USER.address, STRANGER.address, 5, 100_000, b"\1\2"]))
    assert ("MessagePassed", expected) == (passed.name, passed.arguments["withdrawalHash"])
    slot = keccak256(expected + bytes(32))
    word = await beta.client.call("eth_getStorageAt", L2_TO_L1_MESSAGE_PASSER, to_hex(slot), "latest")
    assert int(word, 16) == 1
    assert (nonce + 1,) == await beta.read("L2ToL1MessagePasser", L2_TO_L1_MESSAGE_PASSER, "messageNonce")


async def test_messenger_and_bridge_withdraw_through_the_message_passer(beta: OpChain) -> None:
    """A message and an ETH withdrawal end as withdrawals to this rollup's messenger on L1."""
    sent = await beta.send(
        USER,
        "L2CrossDomainMessenger",
        L2_CROSS_DOMAIN_MESSENGER,
        "sendMessage",
        *(STRANGER.address, b"", 1_000),
    )
    bridged = await beta.send(
        USER, "L2StandardBridge", L2_STANDARD_BRIDGE, "bridgeETH", 1_000, b"", value=10**18
    )
    for receipt, value in ((sent, 0), (bridged, 10**18)):
        (passed,) = events(receipt, "L2ToL1MessagePasser", L2_TO_L1_MESSAGE_PASSER)
        seen = [passed.arguments[key] for key in ("sender", "target", "value")]
        assert [L2_CROSS_DOMAIN_MESSENGER, BETA.messenger.lower(), value] == seen


async def test_a_message_from_l1_is_relayed_only_for_the_aliased_counterpart(beta: OpChain) -> None:
    """The messenger takes a deposit from its own aliased counterpart; from anybody else it is refused."""
    relay = op_artifact("L2CrossDomainMessenger").interface.encode_call(
        "relayMessage", 1 << 240, USER.address, STRANGER.address, 0, 0, b""
    )
    alias = (int(BETA.messenger, 16) + 0x1111000000000000000000000000000000001111) % 2**160
    stranger = await _deposit(beta, STRANGER.address, L2_CROSS_DOMAIN_MESSENGER, relay, 1)
    relayed = await _deposit(beta, f"0x{alias:040x}", L2_CROSS_DOMAIN_MESSENGER, relay, 2)
    assert ["0x0", "0x1"] == [stranger["status"], relayed["status"]]
    names = [event.name for event in events(relayed, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)]
    assert ["RelayedMessage"] == names


async def test_l1_attributes_are_taken_from_the_depositor_alone(beta: OpChain) -> None:
    """``setL1BlockValuesEcotone`` by a deposit of the system sender is what L1Block then answers."""
    selector = keccak256(b"setL1BlockValuesEcotone()")[:4]
    head = (0).to_bytes(4, "big") * 2 + (3).to_bytes(8, "big") + (1_800_000_000).to_bytes(8, "big")
    data = (
        selector
        + head
        + (42).to_bytes(8, "big")
        + (7).to_bytes(32, "big")
        + (9).to_bytes(32, "big")
        + b"\5" * 32
        + b"\6" * 32
    )
    refused = await _deposit(beta, STRANGER.address, L1_BLOCK, data, 1)
    taken = await _deposit(beta, DEPOSITOR, L1_BLOCK, data, 2)
    assert ["0x0", "0x1"] == [refused["status"], taken["status"]]
    names = ("sequenceNumber", "timestamp", "number", "basefee", "blobBaseFee", "hash", "batcherHash")
    found = [(await beta.read("L1Block", L1_BLOCK, name))[0] for name in names]
    assert [3, 1_800_000_000, 42, 7, 9, b"\5" * 32, b"\6" * 32] == found
    blocks = PREDEPLOYS["L1BlockNumber"]
    assert (42,) == await beta.read("L1BlockNumber", blocks, "getL1BlockNumber")
    oracle = PREDEPLOYS["GasPriceOracle"]
    assert (7,) == await beta.read("GasPriceOracle", oracle, "l1BaseFee")
    assert (0,) == await beta.read("GasPriceOracle", oracle, "getL1Fee", b"\1" * 200)


async def test_the_gas_price_oracle_knows_its_forks(beta: OpChain) -> None:
    """Ecotone and Fjord are active, for good."""
    oracle = PREDEPLOYS["GasPriceOracle"]
    for fork, setter in (("isEcotone", "setEcotone"), ("isFjord", "setFjord")):
        assert (True,) == await beta.read("GasPriceOracle", oracle, fork)
        with pytest.raises(Refused, match="already active"):
            await beta.simulate("GasPriceOracle", oracle, setter, sender=DEPOSITOR)


async def test_nothing_can_be_initialised_twice(beta: OpChain) -> None:
    """Attack X7: neither a stranger, the owner nor the system sender initialises a predeploy or its code again."""
    for name in (*REMOTES, "OptimismMintableERC20Factory"):
        for address in (PREDEPLOYS[name], implementation_of(name)):
            for who in (STRANGER.address, DEPLOYER.address, DEPOSITOR, PROXY_ADMIN):
                if who == PROXY_ADMIN and address == PREDEPLOYS[name]:
                    continue  # a proxy's admin reaches the proxy's own functions only
                with pytest.raises(Refused, match="already initialized"):
                    await beta.simulate(name, address, "initialize", STRANGER.address, sender=who)


async def test_only_the_deployer_upgrades(beta: OpChain) -> None:
    """ProxyAdmin refuses strangers, and its proxy's storage has an owner."""
    target = ("ProxyAdmin", PROXY_ADMIN, "upgrade", L1_BLOCK, implementation_of("GasPriceOracle"))
    with pytest.raises(Refused, match="not the owner"):
        await beta.simulate(*target, sender=STRANGER.address)
    await beta.send(DEPLOYER, *target)
    assert await beta.read("GasPriceOracle", L1_BLOCK, "DECIMALS") == (6,)


async def test_vaults_pay_the_deployer_on_l1(beta: OpChain) -> None:
    """A full vault is withdrawn by anybody, over the standard bridge, to the deployer; an empty one not at all."""
    for name in VAULTS:
        vault = PREDEPLOYS[name]
        assert (DEPLOYER.address.lower(),) == await beta.read(name, vault, "RECIPIENT")
        with pytest.raises(Refused, match="minimum withdrawal"):
            await beta.simulate(name, vault, "withdraw")
        await beta.client.call("anvil_setBalance", vault, hex(10**15))
        receipt = await beta.send(STRANGER, name, vault, "withdraw")
        (passed,) = events(receipt, "L2ToL1MessagePasser", L2_TO_L1_MESSAGE_PASSER)
        assert 10**15 == passed.arguments["value"]


async def test_priority_fees_go_to_the_sequencer_vault_of_the_genesis(beta: OpChain) -> None:
    """Block 0 names the fee vault as its coinbase."""
    block = await beta.client.call("eth_getBlockByNumber", "0x0", False)
    assert PREDEPLOYS["SequencerFeeVault"] == block["miner"].lower()


async def test_tools_find_multicall_and_the_deployment_proxy(beta: OpChain) -> None:
    """MultiCall3 and the deterministic deployment proxy run at the addresses that tools have built in."""
    number = to_hex(keccak256(b"getBlockNumber()")[:4])
    call = {"to": BETA.l2["MultiCall3"], "data": number}
    assert int(await beta.client.call("eth_call", call, "latest"), 16) == 0
    proxy, code = BETA.l2["DeterministicDeploymentProxy"], "6001600c60003960016000f300"
    call = {"to": proxy, "data": "0x" + "00" * 32 + code}
    preimage = b"\xff" + from_hex(proxy) + bytes(32) + keccak256(bytes.fromhex(code))
    assert "0x" + keccak256(preimage)[12:].hex() == await beta.client.call("eth_call", call, "latest")


async def test_replacing_marks_equals_initialising_with_the_addresses(tmp_path: Path) -> None:
    """Building once with marks and replacing them gives, slot for slot, what building for one rollup alone gives."""
    marked = await build(l2_recipe(DEPLOYER.address, PLAN.l1.chain_id), tmp_path)
    for rollup in deployments(PLAN).rollups.values():
        direct = await build(l2_recipe(DEPLOYER.address, PLAN.l1.chain_id, rollup.l1), tmp_path)
        assert direct == for_rollup(marked, rollup.l1)


async def test_an_unexpected_storage_layout_is_noticed(tmp_path: Path) -> None:
    """When a predeploy no longer keeps its counterpart in one slot, building stops instead of leaving a mark behind."""
    built = await build(l2_recipe(DEPLOYER.address, PLAN.l1.chain_id), tmp_path)
    for storage in ({}, dict(enumerate(2 * [next(iter(_marked_words(built)))]))):
        changed = built | {L2_STANDARD_BRIDGE: {**built[L2_STANDARD_BRIDGE], "storage": storage}}
        with pytest.raises(GenesisError, match="not in one"):
            for_rollup(changed, BETA.l1)


def _marked_words(built: dict[str, dict[str, Any]]) -> list[str]:
    plain = for_rollup(built, dict.fromkeys(REMOTES.values(), "0x" + "00" * 20))
    before, after = (found[L2_STANDARD_BRIDGE]["storage"] for found in (built, plain))
    return [word for slot, word in before.items() if after[slot] != word]
