"""Attacks on messengers and standard bridges: refused or harmless, ether and tokens add up after each, and nothing that failed is lost.

The names X… and INV-… are those of the protocol reference.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.contracts.artifacts import artifact
from bridge.wire.deposits import apply_alias
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.settlement.testing_accounting import (
    BRIDGE,
    MESSENGER,
    Message,
    Token,
    add_token,
    erc20,
    ether,
    relayed,
    sent,
    tokens,
)
from orchestrator.settlement.testing_bridge import PERIOD_S, finalizing
from orchestrator.settlement.testing_chains import Refused
from orchestrator.settlement.testing_scene import (
    ACCEPT,
    ETHER,
    FRIEND,
    REFUSE,
    Intruder,
    Scene,
    scene_of_attack,
)
from orchestrator.settlement.testing_sides import Call, Side, theirs
from orchestrator.topology.plan import Account

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX = 2**256 - 1
NOBODY = "0x" + "00" * 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """One scene for all tests; each leaves it as it was."""
    async with scene_of_attack(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def scene(stage: Scene) -> AsyncIterator[Scene]:
    """The scene; whatever a test did in it, every wei and every unit of the token is accounted for."""
    async with stage.bridge.undone():
        yield stage
        assert 0 == (await ether(stage.bridge, stage.alpha)).surplus
        found = await tokens(stage.bridge, stage.alpha, stage.token)
        assert (0, found.booked) == (found.surplus, found.held)


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of the messengers, for tests that hold in both."""

    scene: Scene
    up: bool
    """To L1."""

    @property
    def there(self) -> Side:
        """Where messages arrive."""
        return self.scene.bridge.l1 if self.up else self.scene.alpha

    @property
    def messenger(self) -> str:
        """Delivers there."""
        return self.scene.alpha.where.messenger if self.up else L2_CROSS_DOMAIN_MESSENGER

    @property
    def intruder(self) -> Intruder:
        """Stands there."""
        return self.scene.on_l1 if self.up else self.scene.on_l2

    async def deliver(
        self, account: Account, target: str, data: bytes, value: int = 0, gas: int = 200_000
    ) -> Message:
        """Send a message and bring it all the way, whatever becomes of it."""
        if self.up:
            passed, receipt = await self.scene.message_to_l1(account, target, data, value, gas)
            await self.scene.bridge.finish(self.scene.crook, self.scene.alpha, passed)
            return sent(receipt, L2_CROSS_DOMAIN_MESSENGER)[0]
        receipt = await self.scene.message_to_l2(account, target, data, value, gas)
        await self.scene.alpha.follow()
        return sent(receipt, self.scene.alpha.where.messenger)[0]

    async def state(self, message: Message) -> tuple[bool, bool]:
        """Whether it succeeded, and whether it ever failed."""
        return await relayed(self.there, self.messenger, message)

    async def relay(self, message: Message, gas: int = 3_000_000) -> None:
        """The crook relays it by hand.

        Raises:
            Refused: the messenger does not.
        """
        await self.there.send(self.scene.crook, replace(message.relay(self.messenger), gas=gas))


@pytest.fixture(params=[True, False], ids=["to-l1", "to-l2"])
def lane(scene: Scene, request: pytest.FixtureRequest) -> Lane:
    """Both directions, one after the other."""
    return Lane(scene, request.param)


# -- messages


async def test_a_message_runs_once_and_carries_its_sender_and_value(lane: Lane) -> None:
    """INV-06, INV-14: delivered, it can't be relayed again; its target sees who sent it, and nobody does afterwards."""
    await lane.intruder.ask(lane.scene.crook, theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 500_000)
    assert (True, False) == await lane.state(message)
    assert from_hex(lane.scene.user.address).rjust(32, b"\0") == await lane.intruder.read("before")
    assert (1, ETHER) == (
        await lane.intruder.read("visits"),
        await lane.there.balance(lane.intruder.address),
    )
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(message)
    with pytest.raises(Refused, match="is not set"):
        await lane.there.simulate(theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))


async def test_a_message_that_failed_waits_and_runs_once(lane: Lane) -> None:
    """A target that refuses loses nothing: the messenger keeps the ether, anybody replays, the target is paid once."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER)
    assert (False, True) == await lane.state(message)
    assert ETHER == await lane.there.balance(lane.messenger)
    await lane.relay(message)  # still refused; the relay itself goes well
    assert (False, True) == await lane.state(message)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    await lane.relay(message)
    assert (True, True) == await lane.state(message)
    assert (0, ETHER) == (
        await lane.there.balance(lane.messenger),
        await lane.there.balance(lane.intruder.address),
    )
    with pytest.raises(Refused, match="already been relayed"):
        await lane.relay(message)


async def test_a_failed_message_is_replayed_as_it_was_sent(lane: Lane) -> None:
    """INV-11: with any field changed it is a message that never came; with ether on top it is refused."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    changes: dict[str, Any] = {
        "nonce": message.nonce + 1,
        "sender": lane.scene.crook.address,
        "target": FRIEND,
        "value": 2 * ETHER,
        "gas": message.gas - 1,
        "data": b"\2",
    }
    for name, value in changes.items():
        with pytest.raises(Refused, match="cannot be replayed"):
            await lane.relay(replace(message, **{name: value}))
    with pytest.raises(Refused, match="value must be zero"):
        await lane.there.send(lane.scene.crook, replace(message.relay(lane.messenger), value=1))
    await lane.relay(message)


async def test_a_message_of_another_version_is_none(lane: Lane) -> None:
    """The version in the nonce's first bytes doesn't open a second name for a message that ran."""
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", 0, 500_000)
    for version, why in (
        (0, "cannot be replayed"),
        (2, "only version 0 or 1"),
        (0xFFFF, "only version 0 or 1"),
    ):
        nonce = message.nonce % 2**240 + (version << 240)
        with pytest.raises(Refused, match=why):
            await lane.relay(replace(message, nonce=nonce))


async def test_nobody_else_delivers(lane: Lane) -> None:
    """X4: a message that was never sent is refused, from an account, from a contract, and from whom the bridge trusts most."""
    scene, messenger = lane.scene, lane.messenger
    loot = Message(2**240 + 99, L2_STANDARD_BRIDGE, scene.crook.address, 0, 0, b"")
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(loot)
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.there.send(scene.crook, lane.intruder.acting(loot.relay(messenger)))
    message = await lane.deliver(scene.crook, messenger, loot.relay(messenger).data)
    assert (False, False) == await lane.state(loot)
    assert not (await lane.state(message))[0]


async def test_unsafe_targets_are_refused_and_cost_only_their_sender(lane: Lane) -> None:
    """X5, INV-13: a message to the messenger, the portal or the passer does not arrive; what it carried is its sender's loss."""
    scene = lane.scene
    targets = [lane.messenger, scene.alpha.portal if lane.up else L2_TO_L1_MESSAGE_PASSER]
    alias = to_hex(apply_alias(from_hex(scene.alpha.where.messenger)))
    for count, target in enumerate(targets, 1):
        before = await ether(scene.bridge, scene.alpha)
        message = await lane.deliver(scene.crook, target, b"", ETHER)
        after = await ether(scene.bridge, scene.alpha)
        assert (False, False) == await lane.state(message)
        with pytest.raises(Refused, match="cannot be replayed"):
            await lane.relay(message)
        if lane.up:
            assert (before.held, before.stranded + ETHER) == (after.held, after.stranded)
        else:
            assert count * ETHER == await scene.alpha.balance(alias)  # the mint of a deposit that failed


async def test_a_target_without_code_takes_a_message_for_good(lane: Lane) -> None:
    """X14: it is done when it ran against nothing; code that is put there later can't have it again."""
    message = await lane.deliver(lane.scene.user, FRIEND, b"\1\2\3\4", ETHER)
    assert (True, False) == await lane.state(message)
    assert ETHER == await lane.there.balance(FRIEND)
    with pytest.raises(Refused, match="cannot be replayed"):
        await lane.relay(message)


async def test_a_message_into_itself_is_not_run_twice(lane: Lane) -> None:
    """X8: a target that relays the message that it is called by, while it runs or while it is replayed, is called once."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 1_000_000)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    await lane.intruder.rehearse(lane.scene.crook, message.relay(lane.messenger))
    await lane.relay(message)
    assert [True] == [success for success, _ in await lane.intruder.outcomes(1)]  # noted as failed once more
    assert (True, True) == await lane.state(message)
    assert [1, 0] == [await lane.intruder.read("visits"), await lane.intruder.read("nested")]
    assert ETHER == await lane.there.balance(lane.intruder.address)
    with pytest.raises(Refused, match="already been relayed"):
        await lane.relay(message)


async def test_a_message_into_another_neither_runs_it_nor_lends_it_a_sender(lane: Lane) -> None:
    """X8, INV-14: inside a relay, other messages don't run; the sender that a target sees stays its own; all run later."""
    scene = lane.scene
    await lane.intruder.feel(scene.crook, REFUSE)
    other = await lane.deliver(scene.crook, lane.intruder.address, b"\2", 7)
    await lane.intruder.feel(scene.crook, ACCEPT)
    await lane.intruder.rehearse(scene.crook, other.relay(lane.messenger))
    await lane.intruder.ask(scene.crook, theirs(MESSENGER, lane.messenger, "xDomainMessageSender"))
    message = await lane.deliver(scene.user, lane.intruder.address, b"\1", 0, 1_500_000)
    assert ((True, False), (False, True)) == (await lane.state(message), await lane.state(other))
    asked = [await lane.intruder.read(when) for when in ("before", "afterwards")]
    assert [from_hex(scene.user.address).rjust(32, b"\0")] * 2 == asked
    assert (0, 7) == (
        await lane.there.balance(lane.intruder.address),
        await lane.there.balance(lane.messenger),
    )
    await lane.intruder.rehearse(scene.crook)
    await lane.relay(other)
    assert 7 == await lane.there.balance(lane.intruder.address)


async def test_a_target_may_send_on_while_it_is_called(lane: Lane) -> None:
    """A message out of a message is a new one, from the target, paid by the target."""
    back, source = lane.scene, lane.messenger
    answer = theirs(MESSENGER, source, "sendMessage", FRIEND, b"", 100_000, value=ETHER)
    await lane.intruder.rehearse(back.crook, answer)
    message = await lane.deliver(back.user, lane.intruder.address, b"\1", ETHER, 2_000_000)
    assert (True, False) == await lane.state(message)
    assert [True] == [success for success, _ in await lane.intruder.outcomes(1)]
    assert 0 == await lane.there.balance(lane.intruder.address)
    if lane.up:
        await back.alpha.follow()
        assert ETHER == await back.alpha.balance(FRIEND)
    else:
        await back.bridge.finish(back.crook, back.alpha, back.alpha.passed[-1])
        assert ETHER == await back.bridge.l1.balance(FRIEND)


async def test_too_little_gas_fails_a_message_but_never_loses_it(scene: Scene) -> None:
    """X10: for every amount of gas of a relayer, a withdrawn message is refused, run with the gas it asked for, or kept for replay."""
    lane, wanted = Lane(scene, up=True), 300_000
    passed, receipt = await scene.message_to_l1(scene.user, scene.on_l1.address, b"\1", ETHER, wanted)
    (message,) = sent(receipt, L2_CROSS_DOMAIN_MESSENGER)
    await scene.bridge.prove(scene.crook, scene.alpha, passed)
    scene.bridge.l1.wait(PERIOD_S)
    call, outcomes = finalizing(scene.alpha, passed.withdrawal), set()
    for gas in range(300_000, 1_000_000, 20_000):
        async with scene.bridge.undone():
            try:
                await scene.bridge.l1.send(scene.crook, replace(call, gas=gas))
            except Refused:
                outcome = "refused"
                await scene.bridge.l1.send(scene.crook, call)
            else:
                outcome = {(True, False): "ran", (False, True): "kept"}[await lane.state(message)]
            if outcome == "kept":
                await lane.relay(message)
            outcomes.add(outcome)
            assert (True, outcome == "kept") == await lane.state(message)
            assert wanted - 500 < await scene.on_l1.read("gasSeen")
            assert ETHER == await scene.bridge.l1.balance(scene.on_l1.address)
    assert {"refused", "ran"} <= outcomes


async def test_a_replay_with_too_little_gas_can_be_repeated(lane: Lane) -> None:
    """X10: a starved replay is refused or fails; the message stays as replayable as before."""
    await lane.intruder.feel(lane.scene.crook, REFUSE)
    message = await lane.deliver(lane.scene.user, lane.intruder.address, b"\1", ETHER, 300_000)
    await lane.intruder.feel(lane.scene.crook, ACCEPT)
    starved = set()
    for gas in range(25_000, 400_000, 25_000):
        try:
            await lane.relay(message, gas)
        except Refused:
            starved.add("refused")
        else:
            starved.add("noted")
        assert (False, True) == await lane.state(message)
    assert {"refused", "noted"} == starved
    await lane.relay(message)
    assert (True, True) == await lane.state(message)
    assert wanted_gas(message) < await lane.intruder.read("gasSeen")


def wanted_gas(message: Message) -> int:
    """What a target has at least when it looks: what it was promised, less its own way to the note."""
    return message.gas - 500


async def test_a_deposited_message_always_has_the_gas_to_be_noted(scene: Scene) -> None:
    """X10: the L1 messenger buys enough gas for whatever minimum is asked, none included, so that no message is lost in the deposit."""
    for gas in (0, 1, 1_000, 21_000, 1_000_000):
        for data in (b"\1", b"\1" * 5_000):
            message = await Lane(scene, up=False).deliver(scene.user, scene.on_l2.address, data, 1, gas)
            assert True in await Lane(scene, up=False).state(message)


async def test_a_pause_keeps_messages_on_l1_from_running(scene: Scene) -> None:
    """The guardian stops replays on L1 and what the bridge pays there; deposits to the rollup go on."""
    lane, guardian = Lane(scene, up=True), scene.bridge.role("guardian")
    await scene.on_l1.feel(scene.crook, REFUSE)
    message = await lane.deliver(scene.user, scene.on_l1.address, b"\1", ETHER)
    await scene.on_l1.feel(scene.crook, ACCEPT)
    await scene.bridge.l1.send(guardian, theirs("SuperchainConfig", scene.superchain, "pause", "attack"))
    with pytest.raises(Refused, match="paused"):
        await lane.relay(message)
    down = await Lane(scene, up=False).deliver(scene.user, FRIEND, b"", ETHER)
    assert (True, False) == await Lane(scene, up=False).state(down)
    await scene.bridge.l1.send(guardian, theirs("SuperchainConfig", scene.superchain, "unpause"))
    await lane.relay(message)


# -- standard bridges


async def bridge_ether(scene: Scene, *, up: bool, to: str, value: int) -> Message:
    """The user bridges ether to somebody, all the way."""
    here, at = (
        (scene.alpha, L2_STANDARD_BRIDGE) if up else (scene.bridge.l1, scene.alpha.where.standard_bridge)
    )
    call = theirs(BRIDGE, at, "bridgeETHTo", to, 200_000, b"", value=value)
    receipt = await here.send(scene.user, call)
    return await _arrive(scene, receipt, up=up)


async def bridge_token(
    scene: Scene,
    *,
    up: bool,
    to: str,
    amount: int,
    token: Token | None = None,
    account: Account | None = None,
) -> Message:
    """Bridge some of a token to somebody, all the way."""
    token = token or scene.token
    here, at = (
        (scene.alpha, L2_STANDARD_BRIDGE) if up else (scene.bridge.l1, scene.alpha.where.standard_bridge)
    )
    pair = (token.l2, token.l1) if up else (token.l1, token.l2)
    call = theirs(BRIDGE, at, "bridgeERC20To", *pair, to, amount, 300_000, b"")
    receipt = await here.send(account or scene.user, call)
    return await _arrive(scene, receipt, up=up)


async def _arrive(scene: Scene, receipt: Any, *, up: bool) -> Message:
    if up:
        await scene.bridge.finish(scene.crook, scene.alpha, scene.alpha.passed[-1])
        return sent(receipt, L2_CROSS_DOMAIN_MESSENGER)[0]
    await scene.alpha.follow()
    return sent(receipt, scene.alpha.where.messenger)[0]


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
