"""Attacks on what crosses as a message: refused or harmless, and every wei and every unit of the token is accounted for after each. The standard bridges.

The names X… are those of the attacks in the protocol reference.
"""

import pytest

from bridge.contracts.addresses import (
    L2_STANDARD_BRIDGE,
)
from bridge.contracts.artifacts import artifact
from orchestrator.settlement.testing_accounting import (
    BRIDGE,
    Token,
    add_token,
    erc20,
    tokens,
)
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_lane import Lane, bridge_ether, bridge_token
from orchestrator.settlement.testing_scene import (
    ACCEPT,
    ETHER,
    FRIEND,
    REFUSE,
    Scene,
)
from orchestrator.settlement.testing_sides import Call, Side, theirs

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAX = 2**256 - 1


@pytest.mark.parametrize("value", [0, 1, ETHER, 9_000 * ETHER])
async def test_bridged_ether_arrives_to_the_wei(lane: Lane, value: int) -> None:
    """INV-04, INV-05: what leaves one side is what the other gets, none and nearly all of it included; fees are beside it."""
    scene = lane.scene
    here: Side = scene.alpha if lane.up else scene.bridge.l1
    before = [await here.balance(scene.user.address), await lane.there.balance(FRIEND)]
    held = await scene.bridge.l1.balance(scene.alpha.portal)
    message = await bridge_ether(scene, up=lane.up, to=FRIEND, value=value)
    paid = before[0] - await here.balance(scene.user.address)
    assert (True, False) == await lane.state(message)
    assert value == await lane.there.balance(FRIEND) - before[1]
    assert value <= paid < value + ETHER // 10
    assert (-value if lane.up else value) == await scene.bridge.l1.balance(scene.alpha.portal) - held


@pytest.mark.parametrize("amount", [0, 1, 10**30, MAX // 2])
async def test_bridged_tokens_arrive_to_the_unit(lane: Lane, amount: int) -> None:
    """INV-04, INV-05: locked here is minted there, burnt there is released here, for nothing and for all there is."""
    scene, token = lane.scene, lane.scene.token
    here: Side = scene.alpha if lane.up else scene.bridge.l1
    mine, its = (token.l2, token.l1) if lane.up else (token.l1, token.l2)
    before = await here.read(erc20(mine, "balanceOf", scene.user.address))
    supply = await tokens(scene.bridge, scene.alpha, token)
    message = await bridge_token(scene, up=lane.up, to=FRIEND, amount=amount)
    after = await tokens(scene.bridge, scene.alpha, token)
    assert (True, False) == await lane.state(message)
    assert amount == before - await here.read(erc20(mine, "balanceOf", scene.user.address))
    assert amount == await lane.there.read(erc20(its, "balanceOf", FRIEND))
    change = -amount if lane.up else amount
    assert (change, change) == (after.held - supply.held, after.alive - supply.alive)


async def test_nobody_bridges_more_than_he_has(lane: Lane) -> None:
    """One unit more than there is, of ether or of the token, leaves nowhere."""
    scene, token = lane.scene, lane.scene.token
    here: Side = scene.alpha if lane.up else scene.bridge.l1
    mine = token.l2 if lane.up else token.l1
    balance = await here.read(erc20(mine, "balanceOf", scene.user.address))
    with pytest.raises(Refused):
        await bridge_token(scene, up=lane.up, to=FRIEND, amount=balance + 1)
    with pytest.raises(Refused):
        await bridge_ether(scene, up=lane.up, to=FRIEND, value=await here.balance(scene.user.address))


async def test_ether_for_a_contract_that_refuses_it_waits_in_the_messenger(lane: Lane) -> None:
    """Bridged to a contract that doesn't take it, ether is neither lost nor paid twice: it is replayed when the contract does."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await bridge_ether(lane.scene, up=lane.up, to=lane.intruder.address, value=ETHER)
    assert (False, True) == await lane.state(message)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    await lane.intruder.rehearse(lane.scene.crook, message.relay(lane.messenger))
    await lane.relay(message)
    assert ETHER == await lane.there.balance(lane.intruder.address)
    with pytest.raises(Refused, match="already been relayed"):
        await lane.relay(message)


async def test_nobody_passes_for_the_other_bridge(lane: Lane) -> None:
    """X5, X12: paying out is for the other bridge alone: not for an account, nor for a message of anybody else."""
    scene, crook = lane.scene, lane.scene.crook
    at = scene.alpha.where.standard_bridge if lane.up else L2_STANDARD_BRIDGE
    pair = (scene.token.l1, scene.token.l2) if lane.up else (scene.token.l2, scene.token.l1)
    pays = (
        theirs(BRIDGE, at, "finalizeBridgeERC20", *pair, crook.address, crook.address, 1, b""),
        theirs(BRIDGE, at, "finalizeBridgeETH", crook.address, crook.address, ETHER, b"", value=ETHER),
    )
    for call in pays:
        with pytest.raises(Refused, match="only be called from the other bridge"):
            await lane.there.send(crook, call)
        message = await lane.deliver(crook, at, call.data, call.value, 300_000)
        assert (False, True) == await lane.state(message)
        await lane.relay(message)
        assert (False, True) == await lane.state(message)
    assert 0 == await lane.there.read(erc20(pair[0], "balanceOf", crook.address))
    if not lane.up:
        mint = erc20(scene.token.l2, "mint", crook.address, 1)
        with pytest.raises(Refused, match="only bridge"):
            await scene.alpha.send(crook, mint)


async def test_a_token_is_paid_out_only_for_its_own_twin(scene: Scene) -> None:
    """A worthless token whose twin claims to stand for a worthy one neither enters the bridge nor drains it."""
    code = artifact("CashToken").deployment(scene.crook.address)
    worthless = await add_token(scene.bridge, scene.alpha, scene.crook, code)
    at = scene.alpha.where.standard_bridge
    await scene.bridge.l1.send(scene.crook, erc20(worthless.l1, "mint", scene.crook.address, 10**30))
    await scene.bridge.l1.send(scene.crook, erc20(worthless.l1, "approve", at, 10**30))
    crossed = Token(worthless.l1, scene.token.l2)
    message = await bridge_token(
        scene, up=False, to=scene.crook.address, amount=10**18, token=crossed, account=scene.crook
    )
    assert (False, True) == await Lane(scene, up=False).state(
        message
    )  # locked for good, and its owner's own loss
    assert 0 == await scene.alpha.read(erc20(scene.token.l2, "balanceOf", scene.crook.address))
    await bridge_token(
        scene, up=False, to=scene.crook.address, amount=10**18, token=worthless, account=scene.crook
    )
    with pytest.raises(Refused, match="wrong remote token"):
        await bridge_token(
            scene,
            up=True,
            to=scene.crook.address,
            amount=1,
            token=Token(scene.token.l1, worthless.l2),
            account=scene.crook,
        )


async def test_a_twin_that_lies_about_itself_drains_nobody_else(scene: Scene) -> None:
    """A twin without honour can burn nothing and release nothing: the bridge on L1 books every pair by itself."""
    liar = await scene.alpha.create(scene.crook, artifact("CashToken").deployment(scene.crook.address))
    await scene.alpha.send(scene.crook, erc20(liar, "mint", scene.crook.address, 10**30))
    await scene.alpha.send(scene.crook, erc20(liar, "approve", L2_STANDARD_BRIDGE, 10**30))
    message = await bridge_token(
        scene,
        up=True,
        to=scene.crook.address,
        amount=1,
        token=Token(scene.token.l1, liar),
        account=scene.crook,
    )
    assert (False, True) == await Lane(scene, up=True).state(message)
    assert 0 == await scene.bridge.l1.read(erc20(scene.token.l1, "balanceOf", scene.crook.address))


async def test_a_hostile_token_calls_back_in_vain(scene: Scene) -> None:
    """X8: a token that re-enters the bridge while it is paid out takes nothing but its own message down."""
    hostile = await add_token(scene.bridge, scene.alpha, scene.crook, artifact("ReentrantCash").creation_code)
    at = scene.alpha.where.standard_bridge
    await scene.bridge.l1.send(scene.crook, erc20(hostile.l1, "approve", at, 10**20))
    await bridge_token(
        scene, up=False, to=scene.crook.address, amount=10**20, token=hostile, account=scene.crook
    )
    loot = theirs(
        BRIDGE, at, "finalizeBridgeERC20",
        *(scene.token.l1, scene.token.l2, scene.crook.address, scene.crook.address, 1, b""),
    )  # fmt: skip
    interface = artifact("ReentrantCash").interface
    for attack in (loot.data, b""):
        armed = Call(hostile.l1, interface.encode_call("setAttack", attack))
        await scene.bridge.l1.send(scene.crook, armed)
        message = await bridge_token(
            scene, up=True, to=scene.crook.address, amount=10**18, token=hostile, account=scene.crook
        )
        assert (attack == b"", attack != b"") == await Lane(scene, up=True).state(message)
        found = await tokens(scene.bridge, scene.alpha, hostile)
        assert (0, found.booked) == (found.surplus, found.held)
    assert 0 == await scene.bridge.l1.read(erc20(scene.token.l1, "balanceOf", scene.crook.address))


async def test_nothing_is_bridged_to_the_bridge_or_the_messenger(lane: Lane) -> None:
    """Ether for the bridge itself, or its messenger, fails there, is kept, and no replay moves it."""
    scene = lane.scene
    at = scene.alpha.where.standard_bridge if lane.up else L2_STANDARD_BRIDGE
    for count, target in enumerate((at, lane.messenger), 1):
        message = await bridge_ether(scene, up=lane.up, to=target, value=ETHER)
        await lane.relay(message)
        assert (False, True) == await lane.state(message)
        assert count * ETHER == await lane.there.balance(lane.messenger)
