"""Wires one rollup node and keeps it alive: ``python -m rollup_node`` (configuration: ``bridge.wire.configuration``).

The public listener opens only once the chain is recovered, so whoever gets an answer gets the right one. When the engine dies the
node rebuilds it in place. When a block that it committed executes differently now the node stops, because serving on would hide a broken
promise; what others say of a block is no such thing.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.l1.errors import DatabaseUnusable
from bridge.l1.follower import L1Follower
from bridge.wire.configuration import read_configuration
from bridge.wire.crash_points import arm_at_boot, crash_order
from bridge.wire.derivation import Derivation, Member, Rules
from bridge.wire.errors import RESOURCE_UNAVAILABLE, RpcError
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client, dispatcher
from bridge.wire.server import run_until_signalled, serve
from rollup_node.chain import Chain
from rollup_node.derivation.joint import VOTE, Joint, Peer, RemotePeer
from rollup_node.derivation.live import LiveDerivation
from rollup_node.derivation.votes import Place
from rollup_node.engines.base import Header
from rollup_node.engines.choice import (
    AnvilPlace,
    OwnedEngine,
    discovery_of,
    feeds_of,
    open_engine,
    reads_of,
)
from rollup_node.errors import Diverged, EngineFailed, NodeError, NotNext, StaleTerm
from rollup_node.feeds import FeedHub
from rollup_node.following import Following
from rollup_node.messages import Commit, StageRequest
from rollup_node.outputs import Outputs
from rollup_node.recovery import recover
from rollup_node.rollup_rpc import RollupRpc
from rollup_node.rpc import PublicRpc
from rollup_node.settling import SettlingConfig, settling
from rollup_node.store import Store

CHECKPOINT_BLOCKS = 250
"""Blocks between two checkpoints: at about 4 ms a block a restart replays for at most a second."""
EXIT_DIVERGED = 70
"""Exit code of a node whose chain is not what it committed."""

STALE_TERM, NOT_NEXT = -39001, -39002
"""Error codes of the control listener."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a rollup node is told."""

    name: str
    chain_id: int
    engine: str
    """``evm`` or ``options``."""
    rpc_port: int
    control_port: int
    engine_port: int
    """Of an EVM rollup's engine; 0 where it has none."""
    token: str
    """Bearer token of the control listener: the sequencer's."""
    vote_token: str
    """Bearer token with which the other rollups ask for this one's votes, there and nothing else."""
    sequencer_url: str
    l1_url: str
    l1_chain_id: int
    l1_poll_s: float
    """Between two looks at L1."""
    members: tuple[Member, ...]
    """Every rollup of its sequencing set, itself included."""
    peers: Mapping[int, tuple[str, str]]
    """The others' control listeners by chain id: address and voting token."""
    batch_inbox: str
    batcher: str
    """Address that superbatches come from."""
    window: int
    """Sequencing window, L1 blocks."""
    output_oracle: str
    """Address of its L2OutputOracle on L1."""
    proposer_key: str
    challenger_key: str
    proposal_interval: int
    """L2 blocks between two outputs."""
    genesis: str
    data_dir: str
    journal: str
    anvil: str
    block_gas_limit: int
    dev_methods: bool

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Config":
        """From decoded JSON; ports may be text."""
        ports = {key: int(value) for key, value in fields.items() if key.endswith("_port")}
        members = tuple(Member(member["chain_id"], member["portal"].lower()) for member in fields["members"])
        peers = {
            member["chain_id"]: (member["control_url"], member["vote_token"])
            for member in fields["members"]
            if member["chain_id"] != fields["chain_id"]
        }
        return cls(**{**fields, **ports, "members": members, "peers": peers})

    @property
    def rules(self) -> Rules:
        """The derivation rules of its sequencing set."""
        return Rules(self.members, self.batch_inbox.lower(), self.batcher.lower(), self.window)


class ControlRpc:
    """What the sequencer may ask of a rollup node, on a listener of its own behind a token; and, behind another, what the other rollups may."""

    def __init__(self, chain: Chain, following: Following, joint: Joint, engine: str) -> None:
        self._chain, self._following, self._joint = chain, following, joint
        self._failed: asyncio.Future[NodeError] = asyncio.get_running_loop().create_future()
        self.handle = dispatcher(
            {
                "rollup_greet": self._greet,
                "rollup_stage": self._stage,
                "rollup_commit": self._commit,
                "rollup_rewind": self._rewind,
                "rollup_accounts": self._accounts,
                "rollup_ping": self._ping,
                "rollnet_crashAt": crash_order("rollup", engine),
            }
        )
        self.handle_vote = dispatcher({VOTE: self._vote})
        """For the other rollups."""

    async def failed(self) -> NodeError:
        """The error that ends this chain, once there is one."""
        return await asyncio.shield(self._failed)

    async def _greet(self, term: int, expected: int) -> dict[str, Any]:
        async with self._translated():
            head = await self._chain.greet(term)
            if head.number < expected:
                self._following.wake()
            return self._with_payload(head)

    def _with_payload(self, head: Header) -> dict[str, Any]:
        """A head with the digest of its payload: a sequencer knows no hash of a block that L1 forced."""
        return {**asdict(head), "payload": self._chain.claim}

    async def _stage(self, message: Mapping[str, Any]) -> Any:
        async with self._translated():
            executed, results, events = await self._chain.stage(StageRequest.from_json(message))
            return {"header": executed.header, "results": results, "events": events}

    async def _commit(self, message: Mapping[str, Any]) -> Header:
        async with self._translated():
            return await self._chain.commit(Commit.from_json(message))

    async def _rewind(self, term: int, number: int, digest: str | None) -> dict[str, Any]:
        async with self._translated():
            await self._chain.greet(term)
            return self._with_payload(await self._chain.rewind(number, digest))

    async def _ping(self) -> None:
        """Alive: answered at once, whatever else is going on."""

    async def _accounts(self, addresses: list[str]) -> list[list[str]]:
        async with self._translated():
            return await self._chain.accounts(addresses)

    async def _vote(self, l1_number: int, l1_hash: str, slot: str, dropped: list[str]) -> Any:
        word = self._joint.vote(Place(l1_number, l1_hash), slot, frozenset(dropped))
        return None if word is None else word.to_json()

    @contextlib.asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except StaleTerm as exc:
            raise RpcError(STALE_TERM, str(exc)) from exc
        except NotNext as exc:
            self._following.wake()
            raise RpcError(NOT_NEXT, str(exc)) from exc
        except EngineFailed as exc:
            if not self._failed.done():
                self._failed.set_result(exc)
            raise RpcError(RESOURCE_UNAVAILABLE, f"{type(exc).__name__}: {exc}") from exc


async def run(config: Config) -> None:
    """Run until SIGTERM.

    Raises:
        Diverged: a block that was committed here executes differently now.
    """
    data = Path(config.data_dir)
    arm_at_boot(data)
    store = Store(data)
    with Journal(Path(config.journal), config.name, "rollup") as journal:
        journal.emit("node.started")
        stop = asyncio.ensure_future(run_until_signalled())
        try:
            while not stop.done():
                await _one_life(config, store, journal, stop)
        finally:
            stop.cancel()
            store.close()
            journal.emit("node.stopped")


async def _one_life(config: Config, store: Store, journal: Journal, stop: "asyncio.Future[None]") -> None:
    """From the engine's start to its end; returns when the engine failed (so that the caller starts over) or on ``stop``."""
    place = AnvilPlace(config.anvil, config.engine_port, config.chain_id, config.block_gas_limit)
    engine = open_engine(config.engine, Path(config.genesis), Path(config.data_dir), place)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.stop)
        outputs = Outputs(engine, Path(config.data_dir) / "outputs.log", config.proposal_interval)
        chain = await recover(engine, store, journal, [outputs.note])
        sequencer = await stack.enter_async_context(Client(config.sequencer_url))
        following = Following(chain, sequencer, config.chain_id)
        peers: dict[int, Peer] = {}
        for peer_id, (url, token) in config.peers.items():
            peers[peer_id] = RemotePeer(await stack.enter_async_context(Client(url, token=token)))
        joint = Joint(chain, config.chain_id, peers)
        control = ControlRpc(chain, following, joint, config.engine)
        l1 = await stack.enter_async_context(Client(config.l1_url))
        portals = [member.portal for member in config.members]
        follower = L1Follower(l1, portals, [config.batch_inbox.lower()], poll_s=config.l1_poll_s)
        derivation = Derivation(config.rules)
        deriving = LiveDerivation(chain, config.chain_id, derivation, joint, follower, following.wake)
        rollup_rpc = RollupRpc(chain, derivation, outputs)
        messages = feeds_of(config.engine)
        hub = None if messages is None else FeedHub(chain, messages)
        public = PublicRpc(
            chain,
            config.chain_id,
            sequencer,
            dev_methods=config.dev_methods,
            more={**rollup_rpc.methods, **discovery_of(config.engine)},
            more_reads=reads_of(config.engine),
            hub=hub,
        )
        guests = {config.vote_token: control.handle_vote}
        await stack.enter_async_context(
            serve(control.handle, config.control_port, token=config.token, guests=guests)
        )
        await stack.enter_async_context(serve(public.handle, config.rpc_port, websocket=public.websocket))
        log.info("node.ready", head=chain.gate.number)
        settlement = SettlingConfig(
            config.l1_chain_id,
            config.l1_poll_s,
            config.output_oracle,
            config.proposer_key,
            config.challenger_key,
        )
        work = stack.enter_context(
            settling(
                settlement,
                l1=l1,
                folder=Path(config.data_dir),
                chain=chain,
                derivation=derivation,
                caught_up=lambda: deriving.caught_up,
                outputs=outputs,
                journal=journal,
            )
        )
        tasks = {
            *map(asyncio.create_task, work),
            asyncio.create_task(following.run()),
            asyncio.create_task(deriving.run(l1)),
            asyncio.create_task(_keep_checkpoints(chain)),
            asyncio.create_task(_fail_with(engine)),
            asyncio.create_task(_raise(control)),
            *([] if hub is None else [asyncio.create_task(hub.run())]),
        }
        try:
            done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                task.result()
        except EngineFailed as exc:
            log.error("engine.failed", error=str(exc))
            journal.emit("engine.failed", error=str(exc))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_checkpoints(chain: Chain) -> None:
    due = asyncio.Event()
    chain.on_commit.append(lambda _: due.set() if chain.replayed >= CHECKPOINT_BLOCKS else None)
    if chain.replayed >= CHECKPOINT_BLOCKS:
        due.set()
    while True:
        await due.wait()
        due.clear()
        await chain.checkpoint()


async def _fail_with(engine: OwnedEngine) -> None:
    raise EngineFailed(f"the engine ended by itself with code {await engine.ended()}")


async def _raise(control: ControlRpc) -> None:
    raise await control.failed()


def main() -> None:
    """Entry point of ``python -m rollup_node``."""
    config = Config.parse(read_configuration())
    structlog.contextvars.bind_contextvars(node=config.name)
    try:
        uvloop.run(run(config))
    except Diverged as exc:
        log.error("node.diverged", error=str(exc))
        sys.exit(EXIT_DIVERGED)
    except (NodeError, DatabaseUnusable, OSError) as exc:
        log.error("node.failed", error=str(exc))
        sys.exit(1)
