"""Accounts for ``options_*``: who owns what, margin, positions, orders, Greeks; and what the rollup itself holds."""

from dataclasses import asdict
from typing import Any

from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads import views
from rollup_node.engines.options.reads.accounts import withdrawable
from rollup_node.engines.options.reads.market import FIGURES, contracts, order_json
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.combos import State, combos_of
from rollup_node.engines.options.transition.letters import post
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.values import QUANTITY_UNIT


def accounts(scene: Scene, address: bytes) -> dict[str, Any]:
    """``options_getAccounts``: what an address owns, the primary account first."""
    found = owner_of(scene.world, address)
    return {
        "owner": to_hex(address),
        "nonce": found.nonce if found else 0,
        "accounts": list(found.accounts) if found else [],
    }


def account(scene: Scene, number: int) -> dict[str, Any]:
    """``options_getAccount``: all that is written of one."""
    found = views.known(scene, number)
    return {
        "account": number,
        "owner": to_hex(found.owner),
        "nonce": found.nonce,
        "cash": str(found.cash),
        "reserved": str(found.reserved),
        "locked": str(found.locked),
        "due": str(found.due),
        "locks": [{"series": series, "quantity": str(quantity)} for series, quantity in found.locks],
        "mode": "portfolio" if found.portfolio else "standard",
        "liquidating": bool(found.flags & LIQUIDATING),
        "keys": [
            {"key": to_hex(key.address), "scope": key.scope, "expiry": key.expiry, "nonce": key.nonce}
            for key in found.keys
        ],
    }


def margin(scene: Scene, number: int) -> dict[str, Any]:
    """``options_getMargin``: open orders counted at their worst."""
    views.known(scene, number)
    context = scene.context()
    found = margin_of(scene.world, context, number)
    return {
        "account": number,
        "block": scene.number,
        "equity": str(found.equity),
        "initial": str(found.initial),
        "maintenance": str(found.maintenance),
        "surplus": str(found.surplus),
        "covered": found.covered,
        "liquidatable": found.liquidatable,
        "withdrawable": str(withdrawable(scene.world, context, number)),
    }


def positions(scene: Scene, number: int) -> list[dict[str, Any]]:
    """``options_getPositions``, at their marks; values are rounded down."""
    world = scene.world
    return [
        {
            "series": series,
            "quantity": str(quantity),
            "mark": str(world.risk[series].mark),
            "value": str(quantity * world.risk[series].mark // QUANTITY_UNIT),
        }
        for series, quantity in views.known(scene, number).positions
    ]


def combos(scene: Scene, number: int) -> list[dict[str, Any]]:
    """``options_getCombos``: locked ones, and settled ones that other rollups still owe something; the oldest first."""
    views.known(scene, number)
    return [
        {
            "combo": place,
            "name": to_hex(combo.name),
            "legsHash": to_hex(combo.legs_hash),
            "state": State(combo.state).name.lower(),
            "snapshot": combo.snapshot,
            "legs": [{"series": series, "quantity": str(quantity)} for series, quantity in combo.legs],
            "required": str(combo.required),
            "due": str(combo.due),
            "deadline": combo.deadline,
            "pledges": [
                {
                    "direction": "pays" if quantity > 0 else "is paid",
                    "series": series,
                    "chainId": chain,
                    "account": account,
                    "strike": str(strike),
                    "isCall": is_call,
                    "quantity": str(abs(quantity)),
                }
                for series, chain, account, strike, is_call, quantity in combo.pledges
            ],
        }
        for place, combo in combos_of(scene.world, number)
    ]


def orders(scene: Scene, number: int) -> list[dict[str, Any]]:
    """``options_getOrders``: what rests in the books."""
    views.known(scene, number)
    return list(map(order_json, scene.world.orders_of(number)))


def greeks(scene: Scene, number: int) -> dict[str, Any]:
    """``options_getGreeks``: of each position and of all; floats, in dollars."""
    held = views.known(scene, number).positions
    each = contracts(scene, [series for series, _ in held])
    rows = []
    total = dict.fromkeys(FIGURES, 0.0)
    for series, quantity in held:
        size = quantity / QUANTITY_UNIT
        figures = {name: size * value for name, value in each.get(series, {}).items()}
        total = {name: value + figures.get(name, 0.0) for name, value in total.items()}
        rows.append({"series": series, "quantity": str(quantity), **figures})
    return {"account": number, "block": scene.number, "positions": rows, "total": total}


def totals(scene: Scene) -> dict[str, Any]:
    """``options_getTotals``: what the rollup holds beside accounts, and what L1 holds for it."""
    now = scene.world.globals
    return {
        "block": scene.number,
        "insurance": str(now.insurance),
        "sequencerFees": str(now.sequencer_fees),
        "protocolFees": str(now.protocol_fees),
        "sharedLoss": str(now.shared_loss),
        "cash": str(sum(account.cash for account in scene.world.accounts.values())),
        "pools": str(sum(series.pool for series in scene.world.series.values())),
        "dust": str(now.dust),
        "undelivered": str(post(scene.world).held),
        "vault": str(now.vault),
        "withdrawals": now.withdrawals,
        "accounts": len(scene.world.accounts),
    }


def parameters(scene: Scene) -> dict[str, Any]:
    """``options_getParameters``: what is fixed for the rollup's whole life."""
    said = asdict(scene.parameters)
    markets = said.pop("markets")
    said["peers"] = {str(chain): to_hex(portal) for chain, portal in said["peers"].items()}
    said["l1"] = {name: to_hex(end) for name, end in said["l1"].items()}
    for market in markets.values():
        market["symbol"] = market["symbol"].rstrip(b"\0").decode()
    return said | {"markets": {str(number): market for number, market in markets.items()}}
