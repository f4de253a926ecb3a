"""What messenger, mailbox and escrow tell on ``eth_call``.

As the contracts at their addresses on EVM rollups do, so that relayer, keeper and clients ask an options rollup in the same words.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.state.leaves import Combo
from rollup_node.engines.options.transactions.interfaces import ENVELOPE, ESCROW, MAILBOX, MESSENGER
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import escrow, messenger
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.envelopes import MAX_VALIDITY, Envelope
from rollup_node.engines.options.transition.escrow import Lock
from rollup_node.engines.options.transition.letters import Box, find, post, state_of
from rollup_node.engines.options.transition.messenger import Relay
from rollup_node.engines.options.transition.promises import ABORTED, COMMITTED, PREPARED, Fill
from rollup_node.engines.options.transition.reservations import premium
from rollup_node.engines.options.transition.withdrawals import MESSAGE_VERSION

Answer: TypeAlias = Callable[..., tuple[Any, ...]]
Row: TypeAlias = tuple[bytes, str, str, str, Answer]
"""System address, function, types of its arguments and of its results, and who answers."""

_NOBODY: Final = bytes(20)
_RESERVATION: Final = "(bytes32,address,int88,address,uint64,uint128,uint64,uint128,uint128)"
_COMBO: Final = "(uint32,uint32,uint8,int128,uint32[],int64[])"


def _failed(scene: Scene, name: bytes) -> tuple[bool]:
    return (state_of(scene.world, Box.RELAY, name) == Relay.FAILED,)


def _successful(scene: Scene, name: bytes) -> tuple[bool]:
    return (state_of(scene.world, Box.RELAY, name) == Relay.SUCCESSFUL,)


def _call_nonce(scene: Scene) -> tuple[int]:
    return (MESSAGE_VERSION << 240 | post(scene.world).calls,)


def _counterpart(scene: Scene) -> tuple[bytes]:
    return (scene.parameters.l1.messenger,)


def _paused(_scene: Scene) -> tuple[bool]:
    return (False,)


def _base_gas(_scene: Scene, message: bytes, gas: int) -> tuple[int]:
    return (messenger.base_gas(len(message), gas),)


def _nobody_speaks(_scene: Scene) -> NoReturn:
    """Who sent what runs: between transactions nothing runs."""
    raise Refused("NoMessage")


def _incoming(scene: Scene, name: bytes) -> tuple[int]:
    return (state_of(scene.world, Box.INCOMING, name),)


def _outgoing(scene: Scene, name: bytes) -> tuple[tuple[Any, ...]]:
    found = find(scene.world, Box.OUTGOING, name)
    return ((found.sender, found.valid_until, found.state, found.value) if found else (_NOBODY, 0, 0, 0),)


def _nonce(scene: Scene) -> tuple[int]:
    return (post(scene.world).messages,)


def _router(scene: Scene) -> tuple[bytes]:
    return (scene.parameters.l1.router,)


def _claimable(_scene: Scene, _account: bytes) -> tuple[int]:
    return (0,)


def _message_hash(_scene: Scene, message: tuple[Any, ...]) -> tuple[bytes]:
    return (Envelope(*message).name,)


def _longest(_scene: Scene) -> tuple[int]:
    return (MAX_VALIDITY,)


def _registry(scene: Scene) -> tuple[bytes]:
    return (scene.parameters.l1.registry,)


def _lock_of(scene: Scene, strategy: bytes) -> tuple[tuple[Any, ...]]:
    found = escrow.lock_of(scene.world, strategy)
    return ((found.sender, found.valid_until, escrow.legs_count(found), found.state),)


def _reservations_of(scene: Scene, strategy: bytes) -> tuple[tuple[Any, ...]]:
    world = scene.world
    known = escrow.lock_of(world, strategy)
    if known.state != Lock.LOCKED:
        return ((),)
    combo = escrow.combo_of(world, known)
    fills = tuple(map(Fill._make, combo.fills))
    legs = [[fill for fill in fills if fill.leg == leg] for leg in range(escrow.legs_count(known))]
    return (tuple(_reservation(scene, known.sender, combo, leg, own) for leg, own in enumerate(legs)),)


def _reservation(
    scene: Scene, taker: bytes, combo: Combo, leg: int, fills: Sequence[Fill]
) -> tuple[Any, ...]:
    first = fills[0]
    return (
        first.series.to_bytes(32, "big"),
        scene.world.accounts[first.maker].owner,
        sum(fill.quantity for fill in fills),
        taker,
        first.price,
        sum(premium(fill) for fill in fills),
        0,
        sum(fill.pledge for fill in fills),
        0 if leg else combo.pledge,
    )


def _combo_of(scene: Scene, strategy: bytes) -> tuple[tuple[Any, ...]]:
    known = escrow.lock_of(scene.world, strategy)
    number = escrow.combo_number(known)
    if not number:
        return ((0, 0, PREPARED, 0, (), ()),)
    if known.state != Lock.LOCKED:  # its leaf went with its end; whose it was and how it ended is kept
        owner = owner_of(scene.world, known.sender)
        assert owner is not None, "whose legs were locked has an account"
        ended = COMMITTED if known.state == Lock.COMMITTED else ABORTED
        return ((number, owner.accounts[0], ended, 0, (), ()),)
    combo = escrow.combo_of(scene.world, known)
    series, quantities = (tuple(leg[part] for leg in combo.legs) for part in (0, 1))
    return ((number, combo.account, PREPARED, combo.pledge, series, quantities),)


BRIDGE_VIEWS: Final[tuple[Row, ...]] = (
    (MESSENGER, "failedMessages", "(bytes32)", "(bool)", _failed),
    (MESSENGER, "successfulMessages", "(bytes32)", "(bool)", _successful),
    (MESSENGER, "messageNonce", "()", "(uint256)", _call_nonce),
    (MESSENGER, "otherMessenger", "()", "(address)", _counterpart),
    (MESSENGER, "OTHER_MESSENGER", "()", "(address)", _counterpart),
    (MESSENGER, "l1CrossDomainMessenger", "()", "(address)", _counterpart),
    (MESSENGER, "paused", "()", "(bool)", _paused),
    (MESSENGER, "baseGas", "(bytes,uint32)", "(uint64)", _base_gas),
    (MESSENGER, "xDomainMessageSender", "()", "(address)", _nobody_speaks),
    (MAILBOX, "incoming", "(bytes32)", "(uint8)", _incoming),
    (MAILBOX, "outgoing", "(bytes32)", "((address,uint64,uint8,uint256))", _outgoing),
    (MAILBOX, "nonce", "()", "(uint256)", _nonce),
    (MAILBOX, "ROUTER", "()", "(address)", _router),
    (MAILBOX, "MAX_VALIDITY", "()", "(uint64)", _longest),
    (MAILBOX, "claimable", "(address)", "(uint256)", _claimable),
    (MAILBOX, "messageHash", f"({ENVELOPE})", "(bytes32)", _message_hash),
    (MAILBOX, "xSender", "()", "(bytes32)", _nobody_speaks),
    (MAILBOX, "xChainId", "()", "(uint64)", _nobody_speaks),
    (ESCROW, "REGISTRY", "()", "(address)", _registry),
    (ESCROW, "lockOf", "(bytes32)", "((address,uint64,uint8,uint8))", _lock_of),
    (ESCROW, "reservationsOf", "(bytes32)", f"({_RESERVATION}[])", _reservations_of),
    (ESCROW, "comboOf", "(bytes32)", f"({_COMBO})", _combo_of),
)
"""A test holds them to the compiled contracts."""
