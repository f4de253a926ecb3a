"""One schedule, lived through: nodes, faults, users, and everything that was seen."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import structlog

from bridge.wire.derivation import Derivation
from bridge.wire.errors import RESOURCE_UNAVAILABLE, PeerUnreachable, RpcError
from bridge.wire.keccak import to_hex
from bridge.wire.slot import Slot, slot_hash
from orchestrator.simulation.accounts import AccountEngine, Made, transfer
from orchestrator.simulation.disk import File, SimulatedDisk
from orchestrator.simulation.facts import Facts, Rollup, serve, waiting
from orchestrator.simulation.layer1 import Layer1
from orchestrator.simulation.ledger import Ledger, bundle_name
from orchestrator.simulation.loop import Clock, Process, SimulatedLoop
from orchestrator.simulation.network import Network, Remote
from orchestrator.simulation.nodes import (
    CLIENT,
    L1,
    LOG,
    SEQUENCER,
    rollup_name,
    run_rollup,
    sequencer_config,
    sequencer_edges,
)
from orchestrator.simulation.schedule import (
    HEAL,
    Crash,
    Deposit,
    DiskFull,
    Entry,
    Forge,
    L1Hold,
    L1Reorganise,
    L1Stall,
    Pause,
    Schedule,
    Skew,
    Submit,
    Trouble,
    TwoLeaders,
    told,
)
from rollup_node import chain as chain_module
from rollup_node.chain import Chain
from rollup_node.engines.base import Header
from shared_sequencer import node as sequencer_node
from shared_sequencer import publisher
from shared_sequencer import sequencer as sequencer_module
from shared_sequencer.errors import WalFailed
from shared_sequencer.testing_l1 import toy_rules

LIMIT = 60.0
"""Virtual seconds after which what has not drained never will."""
LOOK_S = 0.3
"""Between two looks whether everything has drained."""
SALT = bytes(32)


class World:
    """A devnet in one process, on a virtual clock.

    Args:
        schedule: what happens in it.
    """

    def __init__(self, schedule: Schedule) -> None:
        setting = schedule.setting
        self.loop = SimulatedLoop()  # type: ignore[abstract]  # no sockets, signals or children here
        self.network = Network(self.loop, setting.seed)
        self.rules = toy_rules(setting.chains, setting.window)
        self.layer1 = Layer1(self.loop, setting.l1_block_s, self.rules.inbox)
        self.disk = SimulatedDisk(self.loop)
        self.disk.on_sync = self._synced
        rollups = {chain: Rollup(chain, SimulatedDisk(self.loop)) for chain in setting.chains}
        self.facts = Facts(schedule, self.rules, Ledger(), self.layer1, rollups)
        self.network.on_answer.append(self._answered)
        self._config = sequencer_config(self.rules, setting.confirmations)
        self._sequencer: Process | None = None
        self._boots = 0
        self._client = Process(CLIENT)
        self._excused = 0
        """Reasons why the sequencer may end by itself at the moment."""
        self._mark: tuple[int, dict[int, int]] | None = None
        """Cuts of the log, and each rollup's blocks in it, when everything was decided."""
        self._finished = False

    def run(self) -> Facts:
        """Live through the schedule."""
        facts, loop = self.facts, self.loop
        self.network.listen_plainly(L1, self.layer1.handle)
        for chain in facts.rollups:
            self._boot_rollup(chain)
        self._boot_sequencer()
        for entry in facts.schedule.entries:
            loop.later(entry.at, self._begin, entry)
        last = max([HEAL, *(entry.at for entry in facts.schedule.entries)])
        loop.later(last + 0.2, self._look)
        with _silence(), _virtual_clocks(Clock(loop)):
            try:
                loop.run(lambda: self._finished, LIMIT)
            finally:
                facts.ended, facts.steps = loop.time(), loop.steps
                loop.bury()
        return facts

    def _boot_sequencer(self) -> None:
        self._boots += 1
        process = self._sequencer = Process(SEQUENCER)
        process.on_death = self._sequencer_died
        edges = sequencer_edges(self.network, self.disk, self.layer1, self._boots)
        self.facts.note(self.loop.time(), "the sequencer starts")
        self.loop.spawn(process, self._sequencing(process, edges))

    async def _sequencing(self, process: Process, edges: sequencer_node.Edges) -> None:
        try:
            await sequencer_node.run(self._config, edges)
        except Exception as exc:
            self._ended(process, exc)

    def _ended(self, process: Process, exc: BaseException) -> None:
        """A node ended by itself; it is started again, as a supervisor would."""
        if self.loop.is_closed():
            return
        while isinstance(exc, BaseExceptionGroup):
            exc = exc.exceptions[0]
        words = f"{process.name} ends: {type(exc).__name__}: {exc}"
        self.facts.note(self.loop.time(), words)
        if process is self._sequencer and not (self._excused and isinstance(exc, WalFailed | OSError)):
            self.facts.problems.append(("alive", words))
        process.on_death = None
        self.loop.kill(process)
        if process is self._sequencer:
            self.disk.revoke()
            self.loop.later(0.5, self._boot_sequencer)

    def _sequencer_died(self) -> None:
        self.disk.revoke()

    def _boot_rollup(self, chain_id: int) -> None:
        rollup = self.facts.rollups[chain_id]
        rollup.boots += 1
        process = rollup.process = Process(rollup_name(chain_id))
        process.on_death = rollup.disk.revoke
        self.facts.note(self.loop.time(), f"{process.name} starts")
        self.loop.spawn(process, self._rolling(rollup, process))

    async def _rolling(self, rollup: Rollup, process: Process) -> None:
        def on_life(chain: Chain, engine: AccountEngine, derivation: Derivation) -> None:
            rollup.chain, rollup.derivation = chain, derivation
            rollup.head = chain.gate.number
            for made in engine.blocks[1:]:
                self._serve(rollup, made)
            chain.on_commit.append(lambda header: self._serve(rollup, engine.blocks[header.number]))
            chain.on_rewind.append(lambda header: self._rewound(rollup, header))

        try:
            await run_rollup(
                self.network, rollup.disk, self.layer1, self.rules, rollup.chain_id, rollup.boots, on_life
            )
        except Exception as exc:
            if self.loop.is_closed():
                return
            words = f"{process.name} ends: {type(exc).__name__}: {exc}"
            self.facts.note(self.loop.time(), words)
            self.facts.problems.append(("alive", words))
            self.loop.kill(process)

    def _serve(self, rollup: Rollup, made: Made) -> None:
        facts, now = self.facts, self.loop.time()
        number = made.header.number
        facts.note(now, f"{rollup_name(rollup.chain_id)} serves block {number} {made.header.hash[:10]}")
        serve(facts, rollup, made)
        rollup.served[number], rollup.head = made, number

    def _rewound(self, rollup: Rollup, header: Header) -> None:
        self.facts.note(self.loop.time(), f"{rollup_name(rollup.chain_id)} goes back to {header.number}")
        rollup.head = header.number

    def _synced(self, file: File) -> None:
        if self.disk.files.get(LOG) is file:
            self.facts.ledger.read(file.content, self.loop.time())

    def _answered(self, _: Process, target: str, method: str, params: Sequence[Any], answer: Any) -> None:
        if isinstance(answer, Exception) or not target.startswith("rollup-"):
            return
        rollup = self.facts.rollups[int(target[7:])]
        term = None
        if method in ("rollup_greet", "rollup_rewind"):
            term = params[0]
        elif method in ("rollup_stage", "rollup_commit"):
            term = params[0]["term"]
        if term is None:
            return
        if term < rollup.term:
            words = f"{target} answered {method} of term {term} after term {rollup.term}"
            self.facts.problems.append(("fenced", words))
        rollup.term = max(rollup.term, term)

    def _begin(self, entry: Entry) -> None:
        """What a schedule says happens now."""
        self.facts.note(self.loop.time(), told(entry))
        begin: dict[type, Callable[[Any], None]] = {
            Submit: self._users,
            Deposit: lambda deposit: self.layer1.deposit(deposit.chain_id, deposit.account),
            Crash: self._arm,
            Pause: self._pause,
            TwoLeaders: self._replace_leader,
            Trouble: self._trouble,
            L1Stall: self._stall,
            L1Hold: self._hold,
            L1Reorganise: lambda back: self.layer1.reorganise(back.depth, keep=back.keep),
            Forge: lambda forge: self.layer1.forge(forge.kind),
            Skew: self._skew,
            DiskFull: self._fill_disk,
        }
        begin[type(entry)](entry)

    def _users(self, submit: Submit) -> None:
        self.loop.spawn(self._client, self._submit(submit))
        if submit.again:
            self.loop.later(submit.again, lambda: self.loop.spawn(self._client, self._submit(submit)))

    def _pause(self, pause: Pause) -> None:
        process = self._process(pause.node)
        if process is not None:
            self.loop.pause(process)
            self.loop.later(pause.seconds, self.loop.resume, process)

    def _stall(self, stall: L1Stall) -> None:
        self.layer1.stalled += 1
        self.loop.later(stall.seconds, self._unstall)

    def _hold(self, hold: L1Hold) -> None:
        self.layer1.held += 1
        self.loop.later(hold.seconds, self._unhold)

    def _skew(self, skew: Skew) -> None:
        process = self._process(skew.node)
        if process is not None:
            process.skew = skew.seconds
            self.loop.later(max(0.0, HEAL - self.loop.time()), setattr, process, "skew", 0.0)

    def _fill_disk(self, full: DiskFull) -> None:
        self.disk.full = True
        self._excused += 1
        self.loop.later(full.seconds, self._free_disk)

    def _process(self, node: str) -> Process | None:
        if node == SEQUENCER:
            return self._sequencer
        return self.facts.rollups[int(node[7:])].process

    def _arm(self, crash: Crash) -> None:
        process = self._process(crash.node)
        if process is None or not process.alive or process.countdown:
            return
        process.countdown = crash.boundary
        plain = process.on_death

        def die() -> None:
            facts = self.facts
            facts.deaths += 1
            facts.note(self.loop.time(), f"{crash.node} dies")
            if plain is not None:
                plain()
            if crash.node == SEQUENCER:
                self.disk.lose(crash.share)
                if process is self._sequencer:
                    self.loop.later(crash.down, self._boot_sequencer)
            else:
                rollup = facts.rollups[int(crash.node[7:])]
                rollup.disk.tear("blocks.log", crash.share)
                self.loop.later(crash.down, self._boot_rollup, rollup.chain_id)

        process.on_death = die

    def _replace_leader(self, entry: TwoLeaders) -> None:
        old = self._sequencer
        if old is None or not old.alive or old.paused:
            return
        self.loop.pause(old)
        old.countdown, old.on_death = 0, None
        self.disk.revoke()
        self.disk.lose(0.5)
        self._boot_sequencer()
        self.loop.later(entry.seconds, self.loop.resume, old)

    def _trouble(self, trouble: Trouble) -> None:
        link = self.network.link(trouble.source, trouble.target)
        match trouble.kind:
            case "cut":
                link.cut += 1
            case "deaf":
                self.network.link(trouble.target, trouble.source).deaf += 1
            case "slow":
                link.slow += 0.4
            case "doubled":
                link.doubled += 1
        self.loop.later(trouble.seconds, self._untrouble, trouble)

    def _untrouble(self, trouble: Trouble) -> None:
        link = self.network.link(trouble.source, trouble.target)
        match trouble.kind:
            case "cut":
                link.cut -= 1
            case "deaf":
                self.network.link(trouble.target, trouble.source).deaf -= 1
            case "slow":
                link.slow -= 0.4
            case "doubled":
                link.doubled -= 1

    def _unstall(self) -> None:
        self.layer1.stalled -= 1

    def _unhold(self) -> None:
        self.layer1.held -= 1

    def _free_disk(self) -> None:
        self.disk.full = False
        self._excused -= 1

    async def _submit(self, submit: Submit) -> None:
        legs = [transfer(leg.chain_id, leg.account, leg.nonce, leg.program) for leg in submit.legs]
        raws = [to_hex(leg.raw) for leg in legs]
        sequencer = Remote(self.network, SEQUENCER)
        deadline = int(Clock.EPOCH) + submit.deadline
        if submit.bundle:
            name = bundle_name(tuple(leg.raw for leg in legs), deadline, SALT)
            call: tuple[str, Any] = (
                "eth_sendBundle",
                {"txs": raws, "maxTimestamp": hex(deadline), "salt": to_hex(SALT)},
            )
        else:
            name, call = to_hex(legs[0].hash), ("eth_sendRawTransaction", raws[0])
        while True:
            try:
                await sequencer.call(*call, deadline=2.0)
            except PeerUnreachable:
                pass
            except RpcError as exc:
                if exc.code != RESOURCE_UNAVAILABLE:
                    self.facts.note(self.loop.time(), f"{name[:10]} is refused: {exc.message}")
                    return
            else:
                break
            if self.loop.time() > HEAL + 3:
                return
            later = self.loop.create_future()
            self.loop.call_later(0.3, later.set_result, None)
            await later
        self.facts.note(self.loop.time(), f"{name[:10]} is acknowledged")
        self.facts.acknowledged.setdefault(name, self.loop.time())
        if name not in self.facts.ledger.items:
            self.facts.problems.append(("acknowledged", f"{name[:10]} is acknowledged but not durable"))

    def _look(self) -> None:
        """Has everything drained? First what is to be decided, then what has been decided until then, on L1."""
        facts, ledger = self.facts, self.facts.ledger
        if self._mark is not None and self._mark[0] != ledger.cuts:
            self._mark = None
        if self._mark is None:
            if not waiting(facts):
                blocks = Counter(block["chain_id"] for slot in ledger.slots for block in slot["blocks"])
                blocks.update(block["chain_id"] for _, block in ledger.forced)
                self._mark, facts.safe_slots = (ledger.cuts, dict(blocks)), len(ledger.slots)
        elif all(self._safe(rollup, self._mark[1].get(chain, 0)) for chain, rollup in facts.rollups.items()):
            facts.drained = self._finished = True
            return
        self.loop.later(LOOK_S, self._look)

    def _safe(self, rollup: Rollup, blocks: int) -> bool:
        """Whether a rollup's node has found the log on L1, as far as the mark, and the log is what it found."""
        if rollup.chain is None or rollup.derivation is None or rollup.derivation.l1_head < 0:
            return False
        state, slots = rollup.derivation.state, self.facts.ledger.slots
        found = (
            0 < state.slots <= len(slots) and slot_hash(Slot.from_json(slots[state.slots - 1])) == state.slot
        )
        return found and state.slots >= self.facts.safe_slots and rollup.chain.safe >= blocks


@contextlib.contextmanager
def _virtual_clocks(clock: Clock) -> Iterator[None]:
    """The one place where the nodes' clocks are replaced: the name ``time`` in the modules that read it."""
    with contextlib.ExitStack() as stack:
        for module in (sequencer_module, sequencer_node, chain_module):
            stack.enter_context(patch.object(module, "time", clock))
        stack.enter_context(patch.object(publisher, "POLL_SECONDS", 0.5))
        yield


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nodes log nothing here: what happens is in the timeline."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
    try:
        yield
    finally:
        structlog.configure(**before)
