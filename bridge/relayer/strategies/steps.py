"""What can be done for a strategy, each one intention of an account: on L1, and on each rollup. Anybody may do the same at any time."""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER, LEG_ESCROW
from bridge.l1.account import L1Account
from bridge.l1.account_store import Receipt
from bridge.relayer.carried import Places
from bridge.relayer.messages.steps import relay
from bridge.relayer.strategies.chains import ESCROW, REGISTRY, Registry
from bridge.relayer.strategies.lifecycle import Abort, Action, Count, Deliver, Refund, Send, Standing
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex

_COUNT_GAS = 120_000
"""As in ``StrategyRegistry``: gas on L1 of a decision, and for each rollup and leg that it is sent to."""
_SEND_GAS = 480_000
_DECISION_GAS = 60_000
_DECISION_LEG_GAS = 140_000


@dataclass(frozen=True, slots=True)
class StrategySteps:
    """Takes the steps of strategies; whether to, is not asked here."""

    registry: Registry
    on_l1: L1Account
    rollups: Mapping[int, Client]
    """Public RPCs, by chain id."""
    on_rollups: Mapping[int, L1Account]
    """The relayer's account on each rollup, by chain id."""
    places: Mapping[int, Places]
    """Where the rollups' withdrawals go on L1, by chain id."""

    async def take(self, strategy: str, standing: Standing, action: Action) -> Receipt:
        """Do what a step says.

        Raises:
            NotDone: the chain doesn't take it.
            InVain: the messenger's call failed again.
            WireError: a chain refused or did not answer.
        """
        name = from_hex(strategy, 32)
        match action:
            case Abort():
                # An estimate would find the gas with which nothing is sent: the registry decides all the same, and says so.
                return await self._at_registry(f"abort/{strategy}", "abort", name, gas=abort_gas(standing))
            case Send(chain_id, again):
                key = f"decide/{strategy}/{chain_id}/{again}"
                return await self._at_registry(key, "sendDecision", name, chain_id)
            case Deliver(chain_id, call):
                account = self.on_rollups[chain_id]
                return await relay(self.rollups[chain_id], account, L2_CROSS_DOMAIN_MESSENGER, call)
            case Count(chain_id, call):
                return await relay(self.registry.client, self.on_l1, self.places[chain_id].messenger, call)
            case Refund(chain_id):
                data = ESCROW.encode_call("refundLegs", name)
                account = self.on_rollups[chain_id]
                return await account.send(f"refund/{strategy}", LEG_ESCROW, data, interface=ESCROW)

    async def _at_registry(
        self, key: str, function: str, *arguments: object, gas: int | None = None
    ) -> Receipt:
        data = REGISTRY.encode_call(function, *arguments)
        return await self.on_l1.send(key, self.registry.address, data, gas=gas, interface=REGISTRY)


def abort_gas(standing: Standing) -> int:
    """Gas of deciding and of sending the decision to every rollup, as ``StrategyRegistry`` reckons for the vote that decides. Pure."""
    return _COUNT_GAS + sum(
        _SEND_GAS + _DECISION_GAS + legs * _DECISION_LEG_GAS for legs in standing.legs.values()
    )


def key_of(action: Action) -> str:
    """What an action is, in words that stay the same for as long as it is due. Pure."""
    match action:
        case Abort():
            return "abort"
        case Send(chain_id, again):
            return f"send/{chain_id}/{again}"
        case Deliver(chain_id, call):
            return f"deliver/{chain_id}/{call.hash}"
        case Count(chain_id, call):
            return f"count/{chain_id}/{call.hash}"
        case Refund(chain_id):
            return f"refund/{chain_id}"
