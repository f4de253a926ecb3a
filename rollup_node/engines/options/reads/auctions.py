"""Auctions for ``options_*`` and ``eth_call``: what is for sale, at which price, and how much of it may be bid for."""

from typing import Any

from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.transition import auctions
from rollup_node.engines.options.transition.accounts import account, owner_of
from rollup_node.engines.options.transition.backstop import BACKSTOP

PHASES = ("solvent", "insolvent", "paused")


def auction(scene: Scene, number: int) -> dict[str, Any] | None:
    """``options_getAuction``: null if the account isn't up for auction."""
    account(scene.world, number)
    return auction_json(scene, number) if number in scene.world.auctions else None


def all_auctions(scene: Scene) -> list[dict[str, Any]]:
    """``options_getAuctions``, by account."""
    return [auction_json(scene, number) for number in sorted(scene.world.auctions)]


def auction_json(scene: Scene, number: int) -> dict[str, Any]:
    """An auction as of a block's end; the price falls on with the next block's timestamp."""
    offer = auctions.offer_of(scene.world, scene.context(), number)
    return {
        "account": number,
        "block": scene.number,
        "phase": PHASES[_phase(scene, number)],
        "started": offer.auction.started,
        "maintenance": str(offer.auction.maintenance),
        "missing": str(max(0, offer.missing)),
        "value": str(offer.whole.value),
        "cash": str(offer.whole.cash),
        "reserved": str(offer.auction.reserved),
        "priceShare": offer.share,
        "most": offer.most,
        "positions": [
            {"series": series, "quantity": str(quantity)} for series, quantity in offer.whole.positions
        ],
    }


def auction_of(scene: Scene, number: int) -> tuple[Any, ...]:
    """``auctionOf``."""
    account(scene.world, number)
    if number not in scene.world.auctions:
        return (0,) * 6
    offer = auctions.offer_of(scene.world, scene.context(), number)
    phase = _phase(scene, number)
    return offer.auction.started, phase, offer.whole.value, offer.auction.reserved, offer.share, offer.most


def vault(scene: Scene) -> tuple[bytes, int]:
    """The backstop vault's owner and account; zero while there is none."""
    owner = owner_of(scene.world, BACKSTOP)
    return BACKSTOP, owner.accounts[0] if owner and owner.accounts else 0


def vault_json(scene: Scene) -> dict[str, Any]:
    """``options_getBackstop``: where cash for the vault goes, and which account it is once it has some."""
    owner, number = vault(scene)
    cash = scene.world.accounts[number].cash if number else 0
    return {"owner": to_hex(owner), "account": number or None, "cash": str(cash)}


def _phase(scene: Scene, number: int) -> int:
    found = scene.world.auctions[number]
    if found.paused:
        return auctions.PAUSED
    return auctions.INSOLVENT if found.turned else auctions.SOLVENT
