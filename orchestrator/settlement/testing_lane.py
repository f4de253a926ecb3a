"""For tests of attacks on messages: one direction of the messengers, and what is sent over it."""

from dataclasses import dataclass, replace
from typing import Any

from bridge.contracts.addresses import (
    L2_CROSS_DOMAIN_MESSENGER,
    L2_STANDARD_BRIDGE,
)
from orchestrator.settlement.testing_accounting import (
    BRIDGE,
    Message,
    Token,
    relayed,
    sent,
)
from orchestrator.settlement.testing_scene import (
    Intruder,
    Scene,
)
from orchestrator.settlement.testing_sides import Side, theirs
from orchestrator.topology.plan import Account


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
