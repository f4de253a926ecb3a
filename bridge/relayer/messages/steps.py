"""What can be done for a message, each one intention of an account: on L1, and on each rollup.

A messenger takes a call that it holds from anybody, any number of times, until it succeeds; and its transaction succeeds even when the call
fails again. So such an intention is counted: the next has another key, once the last is known to have been in vain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.l1.account import L1Account
from bridge.l1.account_store import Receipt
from bridge.l1.simulation import MARGIN, gas_for
from bridge.relayer.errors import InVain
from bridge.relayer.messages.envelope import MAILBOX, Envelope
from bridge.relayer.messages.facts import Chains
from bridge.relayer.messages.lifecycle import Action, Call, Export, Hop, RedeliverOnL2, Replay, ReplayOnL1
from bridge.relayer.messages.sightings import HELD_TOPIC, MESSENGER
from bridge.relayer.portal import ESTIMATOR
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex


@dataclass(frozen=True, slots=True)
class MessageSteps:
    """Takes the steps of messages between rollups; whether to, is not asked here."""

    chains: Chains
    on_l1: L1Account
    on_rollups: Mapping[int, L1Account]
    """The relayer's account on each rollup, by chain id."""

    async def take(self, envelope: Envelope, step: Action) -> Receipt:
        """Do what a step says.

        Raises:
            NotDone: the chain doesn't take it.
            InVain: the messenger's call failed again.
            WireError: a chain refused or did not answer.
        """
        match step:
            case ReplayOnL1(call):
                end = envelope.source if call.hop is Hop.FORWARD else envelope.destination
                messenger = self.chains.rollups[end].messenger
                return await relay(self.chains.l1, self.on_l1, messenger, call)
            case RedeliverOnL2(call):
                end = envelope.source if call.hop is Hop.REFUND else envelope.destination
                client = self.chains.rollups[end].client
                return await relay(client, self.on_rollups[end], L2_CROSS_DOMAIN_MESSENGER, call)
            case Replay():
                return await self._at_mailbox(envelope, "replay")
            case Export():
                return await self._at_mailbox(envelope, "exportUndelivered")

    async def paid(self, chain_id: int | None, transaction: str) -> Receipt | None:
        """What this relayer paid for a transaction, on a rollup or on L1 (None); None if it was somebody else's."""
        account = self.on_l1 if chain_id is None else self.on_rollups.get(chain_id)
        return await account.paid(transaction) if account else None

    async def _at_mailbox(self, envelope: Envelope, function: str) -> Receipt:
        account = self.on_rollups[envelope.destination]
        data = MAILBOX.encode_call(function, envelope.struct)
        key = f"{function}/{envelope.hash}"
        return await account.send(key, CROSS_ROLLUP_MAILBOX, data, interface=MAILBOX)


async def relay(client: Client, account: L1Account, messenger: str, call: Call) -> Receipt:
    """Make a messenger make a call that it holds.

    Args:
        client: the chain.
        account: on it.
        messenger: its address.
        call: what it holds.

    Raises:
        NotDone: it isn't held, or would fail again, with any gas.
        InVain: it failed again.
        WireError: the chain refused or did not answer.
    """
    number = 0
    while (done := await account.receipt(key := f"relay/{call.hash}/{number}")) is not None:
        if not _failed(done, call):
            return done
        number += 1
    # For this sender the messenger reverts when the call fails, so that the estimate covers what the call needs.
    gas = await gas_for(client, ESTIMATOR, from_hex(messenger, 20), call.data, 0, interface=MESSENGER)
    receipt = await account.send(key, messenger, call.data, gas=int(gas * MARGIN), interface=MESSENGER)
    if _failed(receipt, call):
        raise InVain(f"{call.hop} was replayed in {receipt.hash} and failed again")
    return receipt


def _failed(receipt: Receipt, call: Call) -> bool:
    """Whether a call failed in a transaction."""
    return any(log["topics"][:2] == [HELD_TOPIC, call.hash] for log in receipt.logs)
