"""Nodes of a simulated devnet: the sequencer as its own module wires it, and rollup nodes without listeners, proposers and real engines.

Both are the code that devnets run. What is put in its place: the disk, the network, L1, the engine, the journal and the clock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from bridge.wire.derivation import Derivation, Rules
from bridge.wire.jsonrpc import Client, Handler
from orchestrator.simulation.accounts import GAS_LIMIT, AccountEngine
from orchestrator.simulation.disk import SimulatedDisk
from orchestrator.simulation.journal import SilentJournal
from orchestrator.simulation.layer1 import Follower, Layer1
from orchestrator.simulation.network import Network, Remote
from rollup_node.chain import Chain
from rollup_node.derivation.joint import VOTE, Joint, RemotePeer
from rollup_node.derivation.live import LiveDerivation
from rollup_node.errors import EngineFailed
from rollup_node.following import Following
from rollup_node.node import ControlRpc
from rollup_node.recovery import recover
from rollup_node.store import Store
from shared_sequencer import node as sequencer_node
from shared_sequencer.testing_l1 import BATCHER_KEY, L1_CHAIN, portal
from shared_sequencer.wal import WriteAheadLog

LOG = "wal.log"
POLL_S = 0.7
"""Between two looks at L1."""
SLOT_S = 0.2
PUBLISH_S = 0.5
BLOCK_S = 3.0
"""Rollups make a block at least so often."""
SEQUENCER, L1, CLIENT = "sequencer", "l1", "client"


def rollup_name(chain_id: int) -> str:
    """Of a rollup's node."""
    return f"rollup-{chain_id}"


def sequencer_config(rules: Rules, confirmations: int) -> sequencer_node.Config:
    """What the sequencer is told."""
    rollups = tuple(
        sequencer_node.RollupConfig(
            rollup_name(member.chain_id),
            member.chain_id,
            GAS_LIMIT,
            BLOCK_S,
            rollup_name(member.chain_id),
            "token",
            portal(member.chain_id),
        )
        for member in rules.members
    )
    return sequencer_node.Config(
        name=SEQUENCER,
        rpc_port=0,
        l1_url=L1,
        l1_chain_id=L1_CHAIN,
        l1_poll_s=POLL_S,
        l1_confirmations=confirmations,
        private_key=BATCHER_KEY,
        batch_inbox=rules.inbox,
        window=rules.window,
        data_availability="calldata",
        rollups=rollups,
        slot_s=SLOT_S,
        mempool_limit=1_000,
        publish_every_s=PUBLISH_S,
        data_dir=".",
        journal="journal",
    )


def sequencer_edges(network: Network, disk: SimulatedDisk, layer1: Layer1, boot: int) -> sequencer_node.Edges:
    """The world of one life of the sequencer."""

    def connect(url: str, *, token: str | None = None) -> Client:  # noqa: ARG001 - nobody checks it here
        return Remote(network, url)

    def follow(client: Client, portals: Any, inboxes: Any, *, poll_s: float) -> Follower:  # noqa: ARG001 - the toy tells all
        return Follower(layer1, client, poll_s)

    @contextlib.asynccontextmanager
    async def listen(handler: Handler, port: int) -> AsyncIterator[None]:  # noqa: ARG001 - addresses are names here
        network.listen(SEQUENCER, handler)
        yield

    async def never() -> None:
        await network.loop.create_future()

    return sequencer_node.Edges(
        open_log=lambda path: WriteAheadLog(path, disk),
        open_journal=lambda path, node, role: SilentJournal(node, boot),  # noqa: ARG005 - as the journal has it
        connect=connect,
        listen=listen,
        follow=follow,
        stopped=never,
    )


async def run_rollup(
    network: Network,
    disk: SimulatedDisk,
    layer1: Layer1,
    rules: Rules,
    chain_id: int,
    boot: int,
    on_life: Callable[[Chain, AccountEngine, Derivation], None],
) -> None:
    """A rollup node until it is killed: as ``rollup_node.node``, life after life of its engine.

    Raises:
        Diverged: a block that was committed here executes differently now.
    """
    journal = SilentJournal(rollup_name(chain_id), boot)
    store = Store(disk.folder(), disk)
    while True:
        engine = AccountEngine(chain_id)
        chain = await recover(engine, store, journal)
        derivation = Derivation(rules)
        on_life(chain, engine, derivation)
        following = Following(chain, Remote(network, SEQUENCER), chain_id)
        others = [member.chain_id for member in rules.members if member.chain_id != chain_id]
        peers = {other: RemotePeer(Remote(network, rollup_name(other))) for other in others}
        joint = Joint(chain, chain_id, peers)
        control = ControlRpc(chain, following, joint, "evm")
        l1 = Remote(network, L1)
        follower = Follower(layer1, l1, POLL_S)
        deriving = LiveDerivation(chain, chain_id, derivation, joint, follower, following.wake)
        network.listen(rollup_name(chain_id), _with_votes(control))
        tasks = [
            asyncio.create_task(following.run()),
            asyncio.create_task(deriving.run(l1)),
            asyncio.create_task(_raise(control)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task in done:
                    task.result()
        except EngineFailed:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _with_votes(control: ControlRpc) -> Handler:
    """One address for the sequencer and the other rollups: nobody looks at tokens here."""

    async def handle(method: str, params: list[Any]) -> Any:
        return await (control.handle_vote if method == VOTE else control.handle)(method, params)

    return handle


async def _raise(control: ControlRpc) -> None:
    raise await control.failed()


def log_path() -> Path:
    """Where the sequencer's log is."""
    return Path() / LOG
