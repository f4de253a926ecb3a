"""For tests of messages on a running devnet: senders, contracts that take calls as they are told, and what the relayer says and spends."""

from dataclasses import dataclass
from typing import Any

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.contracts.artifacts import artifact
from bridge.relayer.messages.envelope import MAILBOX, SENT_TOPIC, Envelope, account_word, sent
from bridge.wire.errors import WireError
from bridge.wire.journal import Event, read_journal
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.settlement.testing_spending import Spent, spent
from orchestrator.topology.plan import Account
from orchestrator.verification.testing_settlement import next_nonce, send
from orchestrator.waiting import eventually

PUPPET = artifact("Puppet")
ACCEPT, REFUSE = 0, 1
WITHIN_S = 40.0
"""Anything that should happen happens sooner."""


@dataclass(frozen=True)
class World:
    """A devnet, and a contract on each rollup that takes calls as it is told."""

    net: Devnet
    puppets: dict[str, str]
    """Address by rollup."""

    async def send(
        self,
        source: str,
        destination: str | int,
        target: str,
        *,
        value: int = 0,
        data: bytes = b"",
        valid_s: int = 600,
        account: int = 0,
    ) -> Envelope:
        """Send a message and wait until it is in a block."""
        chain = self.net.rollup(source)
        to = destination if isinstance(destination, int) else self.net.rollup(destination).chain_id
        clock = int((await chain.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
        word = from_hex(account_word(target))
        call = MAILBOX.encode_call("send", to, word, 100_000, clock + valid_s, data)
        digest = await send(chain, self.net.accounts[account], CROSS_ROLLUP_MAILBOX, call, value=value)
        receipt = await receipt_of(chain, digest)
        (log,) = [log for log in receipt["logs"] if log["topics"][0] == SENT_TOPIC]
        return sent(log).envelope

    async def feel(self, rollup: str, mood: int) -> None:
        """Tell a rollup's puppet how to take calls."""
        chain = self.net.rollup(rollup)
        data = PUPPET.interface.encode_call("feel", mood)
        await receipt_of(chain, await send(chain, self.net.accounts[5], self.puppets[rollup], data))

    async def calls(self, rollup: str) -> int:
        """Calls with data that a rollup's puppet has taken."""
        return int(await self.read(rollup, self.puppets[rollup], PUPPET.interface, "calls"))

    async def read(self, rollup: str, to: str, interface: Any, function: str, *arguments: Any) -> Any:
        """What a view function returns."""
        call = {"to": to, "data": to_hex(interface.encode_call(function, *arguments))}
        answer = await self.net.rollup(rollup).rpc("eth_call", call, "latest")
        values = interface.decode_result(function, from_hex(answer))
        return values[0]

    async def told(self, message: Envelope) -> dict[str, Any]:
        """What the relayer says of a message; empty if it says nothing."""
        try:
            found: dict[str, Any] = await self.net.relayer.client.call("rollnet_message", message.hash)
        except WireError:  # it is killed all the time
            return {}
        return found

    async def until(self, state: str, *messages: Envelope) -> None:
        """Wait until the relayer says that messages are in a state, and its journal that they came there."""

        async def there() -> bool:
            states = [(await self.told(each)).get("state") for each in messages]
            return {state} == set(states) and all(
                f"message.{state}" in {event.event for event in self.journal(each.hash)} for each in messages
            )

        await eventually(there, WITHIN_S, f"{len(messages)} messages {state}")

    def journal(self, name: str) -> list[Event]:
        """What the relayer's journal says of a message, in order."""
        events = read_journal(self.net.directory.path / "journal" / "relayer.jsonl")
        return [event for event in events if event.msg_id == name]


async def receipt_of(chain: ChainHandle, digest: str) -> Any:
    """The receipt of a transaction that succeeded."""
    found: list[Any] = []

    async def there() -> bool:
        receipt = await chain.receipt(digest)
        found.extend([receipt] if receipt else [])
        return receipt is not None

    await eventually(there, WITHIN_S, f"the receipt of {digest}", every_s=0.02)
    assert found[0]["status"] == "0x1"
    return found[0]


async def balance(chain: ChainHandle, address: str) -> int:
    """Wei."""
    return int(await chain.rpc("eth_getBalance", address, "latest"), 16)


async def fee_of(chain: ChainHandle, digest: str) -> int:
    """What a transaction cost, wei."""
    receipt = await receipt_of(chain, digest)
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


async def deployed(chain: ChainHandle, account: Account) -> str:
    """A new puppet's address."""
    unsigned = UnsignedTransaction(
        chain.chain_id,
        await next_nonce(chain, account),
        10**11,
        10**9,
        3_000_000,
        b"",
        PUPPET.creation_code,
        0,
    )
    raw = sign_transaction(unsigned, account.private_key)
    receipt = await receipt_of(chain, str(await chain.rpc("eth_sendRawTransaction", to_hex(raw))))
    return str(receipt["contractAddress"])


async def world_of(net: Devnet) -> World:
    """The devnet with its puppets."""
    return World(net, {name: await deployed(chain, net.accounts[5]) for name, chain in net.rollups.items()})


async def spending(world: World) -> dict[str, list[Spent]]:
    """What the relayer's account has done, by chain."""
    own = world.net.plan.role("relayer").address
    chains = {"l1": world.net.l1, **world.net.rollups}
    return {name: await spent(chain.client, own) for name, chain in chains.items()}
