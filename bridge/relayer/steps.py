"""The two steps of a withdrawal on L1: proving it, and finalizing it. Each is one intention of the relayer's account."""

from dataclasses import dataclass

from bridge.l1.account import L1Account
from bridge.l1.account_store import Receipt
from bridge.relayer.errors import StateGone
from bridge.relayer.lifecycle import Output, Prove, Proven
from bridge.relayer.portal import PORTAL, Portal
from bridge.relayer.prover import inclusion
from bridge.relayer.store import Message
from bridge.relayer.withdrawal import Inclusion
from bridge.wire.jsonrpc import Client


@dataclass(frozen=True, slots=True)
class Steps:
    """Takes the steps of one rollup's withdrawals; whether to, is not asked here."""

    client: Client
    """The rollup's public RPC."""
    portal: Portal
    account: L1Account

    async def prove(self, message: Message, step: Prove) -> Receipt:
        """Prove a withdrawal.

        Raises:
            RelayerError: there is no proof, or none that should be given.
            NotDone: L1 doesn't take it.
            WireError: a chain refused or did not answer.
        """
        output, proof = await self._proof(message, step.output)
        data = self.portal.proving(message.withdrawal, output, proof)
        return await self.account.send(message.proof_key, self.portal.address, data, interface=PORTAL)

    async def finalize(self, message: Message) -> Receipt:
        """Make the portal make the call; raises as :meth:`prove`."""
        key = final_key(message)
        own = await self.account.receipt(key)
        if own is not None:
            return own
        data = self.portal.finalizing(message.withdrawal)
        gas = await self.portal.finalizing_gas(data, self.account.address)
        return await self.account.send(key, self.portal.address, data, gas=gas, interface=PORTAL)

    async def proof_receipt(self, message: Message) -> Receipt | None:
        """What this relayer paid for the last proof; None if it was somebody else's."""
        return await self.account.receipt(message.proof_key) if message.proof_key else None

    async def final_receipt(self, message: Message) -> Receipt | None:
        """What this relayer paid for the finalization; None if it was somebody else's."""
        return await self.account.receipt(final_key(message))

    async def _proof(self, message: Message, output: Output) -> tuple[Output, Inclusion]:
        """A proof against an output or, if its state is gone, against the newest: a withdrawal stays in all later states."""
        try:
            return output, await inclusion(self.client, message.hash, output)
        except StateGone:
            newest = (await self.portal.standing()).last
            if newest is None or newest.block <= output.block:
                raise
            return newest, await inclusion(self.client, message.hash, newest)


def proof_key(message: Message, replaces: Proven | None) -> str:
    """One intention for each proof that the portal can take: the first, and one in the place of each that lost its output."""
    after = f"/{replaces.timestamp}-{replaces.index}-{replaces.root[:18]}" if replaces else ""
    return f"prove/{message.chain_id}/{message.hash}{after}"


def final_key(message: Message) -> str:
    """The one intention to finalize."""
    return f"finalize/{message.chain_id}/{message.hash}"
