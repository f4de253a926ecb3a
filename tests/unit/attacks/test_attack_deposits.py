"""Attacks on deposits: refused or harmless, every wei that the portal takes appears on the rollup exactly once, and nobody speaks for another.

The names X… and INV-… are those of the protocol reference.
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import (
    L1_BLOCK,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.contracts.op import op_artifact
from bridge.wire.deposits import DEPOSITED_TOPIC, DEPOSITOR, apply_alias, decode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.settlement.testing_accounting import BRIDGE, MESSENGER, Message, erc20, ether
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import BURN, ETHER, FRIEND, REFUSE, Scene
from orchestrator.settlement.testing_sides import Call, Receipt, theirs
from orchestrator.topology.plan import Account

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOBODY = "0x" + "00" * 20
MAX = 2**256 - 1
MOST_GAS = 20_000_000
"""L2 gas that the deposits of one L1 block may buy."""
FULL_GAS = 29_000_000
"""Of a transaction that nearly fills a block of L1."""
INITCODE_LIMIT = 49_152
"""Longest initcode that the EVM takes (EIP-3860), bytes."""


def depositing(
    scene: Scene,
    to: str,
    value: int = 0,
    data: bytes = b"",
    gas: int = 200_000,
    *,
    mint: int = 0,
    creates: bool = False,
) -> Call:
    """``depositTransaction`` at alpha's portal."""
    return theirs(
        "OptimismPortal",
        scene.alpha.portal,
        "depositTransaction",
        *(to, value, gas, creates, data),
        value=mint,
    )


async def deposit(scene: Scene, account: Account, call: Call) -> Receipt:
    """Deposit and derive; the receipt on the rollup."""
    await scene.bridge.l1.send(account, call)
    (receipt,) = await scene.alpha.follow()
    return receipt


def statuses(receipts: list[Receipt]) -> list[str]:
    """Of each."""
    return [receipt["status"] for receipt in receipts]


async def test_equal_deposits_of_one_block_are_all_executed(scene: Scene) -> None:
    """X15: two equal transactions of one sender, and two equal calls in one transaction: four deposits, four names, four payments."""
    one = depositing(scene, FRIEND, ETHER, mint=ETHER)
    twice = scene.on_l1.acting(one, one, value=2 * ETHER)
    await scene.bridge.l1.together((scene.user, one), (scene.user, one), (scene.crook, twice))
    receipts = await scene.alpha.follow()
    assert ["0x1"] * 4 == statuses(receipts)
    found = [decode_deposit(from_hex(raw)) for raw in scene.alpha.deposited[-4:]]
    assert 4 == len({one.source_hash for one in found})
    assert 1 == len({replace(one, source_hash=bytes(32), sender=bytes(20)) for one in found})
    assert 4 * ETHER == await scene.alpha.balance(FRIEND)
    numbers = {receipt["blockNumber"] for receipt in receipts}
    assert {hex(scene.alpha.head.number)} == numbers


async def test_equal_deposits_of_two_blocks_are_both_executed(scene: Scene) -> None:
    """X15: the same log index in another block is another deposit."""
    for _ in range(2):
        await scene.bridge.l1.send(scene.user, depositing(scene, FRIEND, ETHER, mint=ETHER))
    assert ["0x1"] * 2 == statuses(await scene.alpha.follow())
    assert 2 * ETHER == await scene.alpha.balance(FRIEND)


async def test_a_deposit_is_derived_once_however_often_l1_is_read(scene: Scene) -> None:
    """INV-16: later blocks of the same epoch, and of later ones, don't repeat it."""
    await scene.bridge.l1.send(scene.user, depositing(scene, FRIEND, ETHER, mint=ETHER))
    for _ in range(3):
        await scene.alpha.mine()
    await scene.bridge.l1.mine()
    await scene.alpha.mine()
    assert ETHER == await scene.alpha.balance(FRIEND)


async def test_a_deposit_that_l1_takes_back_is_gone(scene: Scene) -> None:
    """X23: after a reorganisation of L1 it is derived where it stands now, under another name, and only there."""
    call = depositing(scene, FRIEND, ETHER, mint=ETHER)
    async with scene.bridge.undone():
        await deposit(scene, scene.user, call)
        first = scene.alpha.deposited[-1]
    assert 0 == await scene.alpha.balance(FRIEND)
    await scene.bridge.l1.mine()
    await deposit(scene, scene.user, call)
    assert first != scene.alpha.deposited[-1]
    assert ETHER == await scene.alpha.balance(FRIEND)


@pytest.mark.parametrize("mint", [0, 1, 9_000 * ETHER])
async def test_a_deposit_mints_and_sends_to_the_wei(scene: Scene, mint: int) -> None:
    """INV-04, INV-05: none, one wei, nearly all that there is."""
    before = await ether(scene.bridge, scene.alpha)
    receipt = await deposit(scene, scene.user, depositing(scene, FRIEND, mint, mint=mint))
    after = await ether(scene.bridge, scene.alpha)
    assert "0x1" == receipt["status"]
    assert mint == await scene.alpha.balance(FRIEND)
    assert (mint, mint) == (after.held - before.held, after.alive - before.alive)


async def test_ether_sent_to_the_portal_is_deposited_for_its_sender(scene: Scene) -> None:
    """Without any call data; a contract's comes from its alias, which is where it stays if the call has too little gas."""
    alias = to_hex(apply_alias(from_hex(scene.on_l1.address)))
    before = await scene.alpha.balance(scene.user.address)
    await scene.bridge.l1.send(scene.user, Call(scene.alpha.portal, value=ETHER))
    await scene.bridge.l1.send(scene.crook, scene.on_l1.acting(Call(scene.alpha.portal, value=7), value=7))
    assert ["0x1", "0x0"] == statuses(await scene.alpha.follow())
    assert before + ETHER == await scene.alpha.balance(scene.user.address)
    assert (7, 0) == (await scene.alpha.balance(alias), await scene.alpha.balance(scene.on_l1.address))


async def failing(scene: Scene) -> dict[str, Call]:
    """Deposits of three wei that can't do what they ask for."""
    await scene.on_l2.feel(scene.crook, REFUSE)
    return {
        "reverts": depositing(scene, scene.on_l2.address, 1, b"\1", mint=3),
        "more than it has": depositing(scene, FRIEND, 10**30, mint=3),
        "more than there is": depositing(scene, FRIEND, MAX, mint=3),
        "less gas than its data cost": depositing(
            scene, FRIEND, 1, b"\1" * 1_000, 21_000 + 16 * 1_000, mint=3
        ),
        "less gas than a creation costs": depositing(scene, NOBODY, 1, b"", 21_000, mint=3, creates=True),
        "creation that reverts": depositing(scene, NOBODY, 1, b"\xfd", mint=3, creates=True),
        "creation of forbidden code": depositing(
            scene, NOBODY, 1, bytes.fromhex("60ef60005360016000f3"), mint=3, creates=True
        ),
        "precompile that fails": depositing(scene, "0x" + "00" * 19 + "08", 1, b"\1", mint=3),
        "system contract": depositing(scene, L1_BLOCK, 1, b"\1\2\3\4", mint=3),
    }


async def test_a_deposit_that_fails_still_mints(scene: Scene) -> None:
    """INV-16: it is in the block, failed, and what it brought is its sender's; nothing else moved."""
    for name, call in (await failing(scene)).items():
        before = await scene.alpha.balance(scene.user.address)
        nonce = int(await scene.alpha.request("eth_getTransactionCount", scene.user.address, "latest"), 16)
        receipt = await deposit(scene, scene.user, call)
        assert "0x0" == receipt["status"], name
        assert before + 3 == await scene.alpha.balance(scene.user.address), name
        assert nonce + 1 == int(
            await scene.alpha.request("eth_getTransactionCount", scene.user.address, "latest"), 16
        ), name
    assert 0 == await scene.alpha.balance(FRIEND)


async def test_deposits_that_fail_do_not_disturb_the_rest_of_their_block(scene: Scene) -> None:
    """All of the above between good ones, from one sender in one block: each mints, and the good ones are executed."""
    good = depositing(scene, FRIEND, 3, mint=3)
    bad = list((await failing(scene)).values())
    before = await scene.alpha.balance(scene.user.address)
    calls = [call for each in bad for call in (each, good)]
    await scene.bridge.l1.together(*((scene.user, replace(call, gas=1_500_000)) for call in calls))
    receipts = await scene.alpha.follow()
    assert ["0x0", "0x1"] * len(bad) == statuses(receipts)
    assert 3 * len(bad) == await scene.alpha.balance(FRIEND)
    assert before + 3 * len(bad) == await scene.alpha.balance(scene.user.address)


async def test_a_deposit_that_burns_all_its_gas_burns_only_that(scene: Scene) -> None:
    """The users' transactions of the same block run behind it."""
    await scene.on_l2.feel(scene.crook, BURN)
    await scene.bridge.l1.send(
        scene.user,
        replace(depositing(scene, scene.on_l2.address, 0, b"\1", MOST_GAS, mint=3), gas=FULL_GAS),
    )
    await scene.alpha.send(scene.crook, Call(FRIEND, value=1, gas=21_000))
    assert 1 == await scene.alpha.balance(FRIEND)


@settings(max_examples=40)
@given(
    sent=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([0, 1, 5, ETHER]),
            st.sampled_from([0, 1, 5, ETHER, 10**26, MAX]),
            st.booleans(),
            st.binary(max_size=60),
            st.sampled_from([0, 1_000, 60_000, 300_000]),
        ),
        min_size=1,
        max_size=6,
    )
)
async def test_any_deposits_of_one_block_are_all_in_it_and_conserve_ether(
    stage: Scene, sent: list[tuple[int, int, int, bool, bytes, int]]
) -> None:
    """INV-16: whatever values, data and gas; the rollup has the same number of deposits in the order of L1, and every wei."""
    accounts = (stage.user, stage.crook)
    async with stage.bridge.undone():
        calls = []
        for who, mint, value, creates, data, gas in sent:
            to = NOBODY if creates else FRIEND
            wanted = 21_000 + 16 * len(data) + gas
            calls.append(
                (accounts[who], depositing(stage, to, value, data, wanted, mint=mint, creates=creates))
            )
        await stage.bridge.l1.together(*calls)
        receipts = await stage.alpha.follow()
        assert [account.address.lower() for account, _ in calls] == [one["from"].lower() for one in receipts]
        found = await ether(stage.bridge, stage.alpha)
        assert (0, 0) == (found.surplus, found.stranded)


async def test_a_contract_is_not_the_contract_of_its_address_on_the_other_side(scene: Scene) -> None:
    """X12: a contract of L1 comes as its alias; what the contract (or account) of its own address has is out of its reach."""
    at = scene.on_l1.address
    assert at == scene.on_l2.address
    alias = to_hex(apply_alias(from_hex(at)))
    await scene.alpha.send(scene.user, Call(at, value=5 * ETHER))
    call = depositing(scene, at, 0, b"\1", 500_000)
    assert "0x1" == (await deposit(scene, scene.crook, scene.on_l1.acting(call)))["status"]
    assert alias == (await scene.on_l2.read("caller")).lower()
    steal = depositing(scene, FRIEND, 5 * ETHER)
    assert "0x0" == (await deposit(scene, scene.crook, scene.on_l1.acting(steal)))["status"]
    assert (5 * ETHER, 0) == (await scene.alpha.balance(at), await scene.alpha.balance(FRIEND))


async def test_an_account_is_itself_on_both_sides(scene: Scene) -> None:
    """X12: an account comes without alias, and with its own ether; through a contract it comes as that contract's alias."""
    await deposit(scene, scene.crook, depositing(scene, scene.on_l2.address, 0, b"\1", 500_000))
    assert scene.crook.address.lower() == (await scene.on_l2.read("caller")).lower()
    before = await scene.alpha.balance(scene.user.address)
    steal = depositing(scene, FRIEND, ETHER)
    assert "0x0" == (await deposit(scene, scene.user, scene.on_l1.acting(steal)))["status"]
    assert before == await scene.alpha.balance(scene.user.address)
    assert "0x1" == (await deposit(scene, scene.user, steal))["status"]
    assert before - ETHER == await scene.alpha.balance(scene.user.address)


async def test_no_deposit_speaks_for_the_system(scene: Scene) -> None:
    """X12: from an account or a contract of L1, the rollup's system contracts take no word that is for L1's own counterpart."""
    crook, token = scene.crook.address, scene.token
    loot = Message(2**240 + 7, scene.alpha.where.standard_bridge, crook, 0, 0, b"")
    attributes = op_artifact("L1Block").interface.encode_call(
        "setL1BlockValues", *(1, 1, 1, bytes(32), 0, bytes(32), 0, 0)
    )
    calls = [
        loot.relay(L2_CROSS_DOMAIN_MESSENGER),
        theirs(
            BRIDGE, L2_STANDARD_BRIDGE, "finalizeBridgeERC20", *(token.l2, token.l1, crook, crook, 1, b"")
        ),
        theirs(BRIDGE, L2_STANDARD_BRIDGE, "finalizeBridgeETH", crook, crook, 0, b""),
        erc20(token.l2, "mint", crook, 1),
        Call(L1_BLOCK, attributes),
        theirs("ProxyAdmin", "0x4200000000000000000000000000000000000018", "transferOwnership", crook),
        theirs("Proxy", L2_TO_L1_MESSAGE_PASSER, "upgradeTo", L1_BLOCK),
        theirs(MESSENGER, L2_CROSS_DOMAIN_MESSENGER, "initialize", *[NOBODY] * 3),
    ]
    number = await scene.alpha.read(theirs("L1Block", L1_BLOCK, "number"))
    for call in calls:
        assert call.to is not None
        wanted = depositing(scene, call.to, 0, call.data, 1_000_000)
        for each in (wanted, scene.on_l1.acting(wanted)):
            assert "0x0" == (await deposit(scene, scene.crook, each))["status"], call.function
    assert 0 == await scene.alpha.read(erc20(token.l2, "balanceOf", crook))
    assert number < await scene.alpha.read(theirs("L1Block", L1_BLOCK, "number"))


async def test_only_the_portal_deposits(scene: Scene) -> None:
    """INV-11: the portal's event, emitted by another contract to the last bit, before or behind a true one, is nothing."""
    opaque = b"".join(
        (
            (10**6 * ETHER).to_bytes(32, "big"),
            (10**6 * ETHER).to_bytes(32, "big"),
            (100_000).to_bytes(8, "big"),
            b"\0",
        )
    )
    data = (32).to_bytes(32, "big") + len(opaque).to_bytes(32, "big") + opaque + bytes(-len(opaque) % 32)
    for sender in (from_hex(scene.crook.address), DEPOSITOR):
        fake = Call(None, _emitting(data, sender, from_hex(scene.crook.address)))
        true = depositing(scene, FRIEND, 1, mint=1)
        before = len(scene.alpha.deposited)
        receipts = await scene.bridge.l1.together(
            (scene.crook, fake), (scene.user, true), (scene.crook, fake)
        )
        assert [[DEPOSITED_TOPIC]] * 3 == [[log["topics"][0] for log in one["logs"]] for one in receipts]
        await scene.alpha.follow()
        assert 1 == len(scene.alpha.deposited) - before
    assert 2 == await scene.alpha.balance(FRIEND)


def _emitting(data: bytes, sender: bytes, to: bytes) -> bytes:
    """Initcode that logs what the portal would."""
    topics = [bytes(32), to.rjust(32, b"\0"), sender.rjust(32, b"\0"), from_hex(DEPOSITED_TOPIC)]
    pushes = b"".join(b"\x7f" + topic for topic in topics)
    size = b"\x61" + len(data).to_bytes(2, "big")
    length = 3 + 3 + 2 + 1 + len(pushes) + 3 + 2 + 1 + 1
    code = size + b"\x61" + length.to_bytes(2, "big") + b"\x60\x00\x39" + pushes + size + b"\x60\x00\xa4\x00"
    assert length == len(code)
    return code + data


async def test_one_rollups_deposits_are_not_anothers(scene: Scene) -> None:
    """Wrong chain: what one portal takes appears on its rollup alone."""
    await scene.bridge.l1.send(scene.user, depositing(scene, FRIEND, ETHER, mint=ETHER))
    assert [1, 0] == [len(await scene.alpha.follow()), len(await scene.beta.follow())]
    assert (ETHER, 0) == (await scene.alpha.balance(FRIEND), await scene.beta.balance(FRIEND))


async def test_the_portal_bounds_what_a_deposit_may_ask_for(scene: Scene) -> None:
    """X16: too little gas for its bytes, too many bytes, a creation with a target, more gas than a block may sell."""
    flaws = {
        "SmallGasLimit": depositing(scene, FRIEND, 0, b"\1" * 100, 21_000 + 16 * 100 - 1),
        "LargeCalldata": depositing(scene, FRIEND, 0, bytes(120_001), 21_000 + 16 * 120_001),
        "BadTarget": depositing(scene, FRIEND, 0, b"", creates=True),
        "OutOfGas": depositing(scene, FRIEND, 0, b"", MOST_GAS + 1),
    }
    for flaw, call in flaws.items():
        with pytest.raises(Refused, match=flaw):
            await scene.bridge.l1.send(scene.crook, replace(call, gas=FULL_GAS))
    assert [] == await scene.alpha.follow()


async def test_the_largest_deposit_is_executed(scene: Scene) -> None:
    """X16: 120,000 bytes of call data reach the rollup."""
    gas = 21_000 + 40 * 120_000
    call = depositing(scene, FRIEND, 1, b"\1" * 120_000, gas, mint=1)
    receipt = await deposit(scene, scene.user, replace(call, gas=FULL_GAS))
    assert "0x1" == receipt["status"]
    assert 1 == await scene.alpha.balance(FRIEND)


async def test_a_flood_of_deposits_leaves_room_for_users(scene: Scene) -> None:
    """X16: a hundred deposits of one sender in one L1 block are all executed, in order, and a user's transaction behind them."""
    flood = [
        depositing(scene, f"0x{0xF00D0000 + index:040x}", index, gas=30_000, mint=index)
        for index in range(100)
    ]
    await scene.bridge.l1.together(*((scene.crook, replace(call, gas=150_000)) for call in flood))
    before = await scene.alpha.balance(FRIEND)
    await scene.alpha.send(scene.user, Call(FRIEND, value=1, gas=21_000))
    assert before + 1 == await scene.alpha.balance(FRIEND)
    values = [decode_deposit(from_hex(raw)).value for raw in scene.alpha.deposited[-100:]]
    assert list(range(100)) == values
    assert [] == scene.alpha.left_out
    assert list(range(100)) == [
        await scene.alpha.balance(f"0x{0xF00D0000 + index:040x}") for index in range(100)
    ]


async def test_a_depositors_own_transaction_runs_behind_his_deposits(scene: Scene) -> None:
    """Deposits raise their sender's nonce on the rollup: what he signed for the nonce behind them runs in the same block."""
    await scene.bridge.l1.together(*((scene.user, depositing(scene, FRIEND, 1, mint=1)) for _ in range(3)))
    nonce = int(await scene.alpha.request("eth_getTransactionCount", scene.user.address, "latest"), 16)
    raw = scene.alpha.signed(scene.user, Call(FRIEND, value=10, gas=21_000), nonce + 3)
    (receipt,) = await scene.alpha.mine(raw)
    assert ("0x1", 13) == (receipt["status"], await scene.alpha.balance(FRIEND))
    assert to_hex(keccak256(raw)) == receipt["transactionHash"]


async def test_a_creation_beyond_the_limit_costs_only_its_depositor(scene: Scene) -> None:
    """anvil's pool keeps out initcode beyond EIP-3860's limit: the block goes on without it, what it brought stays in the portal."""
    good = depositing(scene, FRIEND, 1, mint=1)
    oversize = depositing(scene, NOBODY, 0, bytes(INITCODE_LIMIT + 1), 2_000_000, mint=3, creates=True)
    before = await ether(scene.bridge, scene.alpha)
    await scene.bridge.l1.together(
        (scene.user, good), (scene.crook, replace(oversize, gas=10_000_000)), (scene.user, good)
    )
    receipts = await scene.alpha.follow()
    after = await ether(scene.bridge, scene.alpha)
    assert ["0x1"] * 2 == statuses(receipts)
    assert 2 == await scene.alpha.balance(FRIEND)
    assert (5, 2, 3) == (
        after.held - before.held,
        after.alive - before.alive,
        after.stranded - before.stranded,
    )
