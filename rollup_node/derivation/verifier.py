"""The verifier: a whole sequencing set again, from L1 alone, in fresh engines.

::

    L1Block ─► Derivation ─► DerivedSlot ─► execute on all its rollups, judge bundles, execute again without the failed ─┐
                         └─► ForcedBlock ─► execute ────────────────────────────────────────────────────────────────────┴─► Derived
    Derived against what the batch claims (hash, state root), what L1's outputs claim, what the nodes serve ─► Finding…

It runs the builder's own rules (``bridge.wire.wholeness`` and ``bridge.wire.atomic`` for bundles, ``bridge.wire.slot`` for what a block
holds), but believes nothing that the builder says: hashes, roots and outcomes are what the engines give.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bridge.wire.atomic import LegResult, judge
from bridge.wire.derivation import Derivation, DerivedSlot, ForcedBlock, Ignored, Rules
from bridge.wire.errors import Malformed
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block
from bridge.wire.slot import Block, Payload, Slot, block_transactions, without
from bridge.wire.superbatch import decode_superbatch
from bridge.wire.wholeness import torn
from rollup_node.derivation.votes import REASONS, failing
from rollup_node.engines.base import BlockInput, Engine, ExecutedBlock, Header
from rollup_node.outputs import Output, read_output


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it is claimed to be."""

    chain_id: int | None
    block: int | None
    """L2 block number, where one can be named."""
    what: str
    """``block hash``, ``state root``, ``output root``, ``superbatch``, ``bundle`` or ``missing``."""
    claimed: str
    derived: str
    where: str
    """Who claims it."""
    l1_tx: str = ""
    """Hash of the L1 transaction, of a superbatch that has no effect."""


@dataclass(slots=True)
class Verified:
    """What was rebuilt, and what was found."""

    l1_blocks: int = 0
    slots: int = 0
    forced: int = 0
    strangers: int = 0
    """Transactions in the inbox that were not the batcher's: harmless, only counted."""
    bundles: int = 0
    compared: int = 0
    """Claims (block hashes, state roots, output roots) that were held against what was rebuilt: with none, nothing is verified."""
    hashes: dict[int, dict[int, str]] = field(default_factory=dict)
    """Block hash by chain id and number."""
    outputs: dict[int, dict[int, Output]] = field(default_factory=dict)
    """Output by chain id and block number, where one was asked for."""
    findings: list[Finding] = field(default_factory=list)


class Verifier:
    """Rebuilds one sequencing set.

    Args:
        rules: of the set.
        engines: fresh ones by chain id; the caller stops them.
        outputs: L2 block numbers by chain id whose output root is wanted.
    """

    def __init__(
        self, rules: Rules, engines: Mapping[int, Engine], outputs: Mapping[int, Iterable[int]] | None = None
    ) -> None:
        self.derivation = Derivation(rules)
        self.result = Verified(
            hashes={chain: {} for chain in engines}, outputs={chain: {} for chain in engines}
        )
        self._engines = engines
        self._wanted = {chain: frozenset(numbers) for chain, numbers in (outputs or {}).items()}
        self._heads: dict[int, Header] = {}

    async def start(self) -> None:
        """Start the engines from genesis.

        Raises:
            EngineFailed: one does not come up.
        """
        for chain, engine in self._engines.items():
            self._heads[chain] = await engine.start()
            self.result.hashes[chain][0] = self._heads[chain].hash

    async def add(self, block: L1Block) -> None:
        """The next L1 block.

        Raises:
            EngineFailed: an engine broke down.
        """
        batches = {batch.hash: batch for batch in block.batches}
        self.result.l1_blocks += 1
        for event in self.derivation.add(block):
            if isinstance(event, Ignored):
                self._ignored(event, batches[event.l1_tx])
            elif isinstance(event, ForcedBlock):
                self.result.forced += 1
                await self._keep(event.chain_id, await self._execute(event.chain_id, event.payload))
            else:
                await self._slot(event)

    def _ignored(self, event: Ignored, batch: BatchTransaction) -> None:
        if batch.sender != self.derivation.rules.batcher:
            self.result.strangers += 1
            return
        chain_id, number = _first_block(batch.data)
        where = f"L1 block {event.l1_block}, transaction {event.l1_tx}"
        heads = ", ".join(f"chain {chain} at {head.number}" for chain, head in sorted(self._heads.items()))
        self.result.findings.append(
            Finding(
                chain_id,
                number,
                "superbatch",
                "a superbatch",
                f"{event.reason} ({heads})",
                where,
                event.l1_tx,
            )
        )

    async def _slot(self, event: DerivedSlot) -> None:
        self.result.slots += 1
        where = f"superbatch {event.superbatch} in L1 block {event.l1_block}"
        blocks = {block.chain_id: block for block in event.slot.blocks}
        broken = torn(event.slot)
        executed, false = await self._jointly(event.slot, broken)
        self.result.bundles += len(
            {part.bundle for block in event.slot.blocks for part in block.payload.bundles} | set(broken)
        )
        for bundle, reason in broken.items():
            self._false(blocks.values(), bundle, None, f"torn: {reason}", where)
        for bundle, legs in false.items():
            first = next(leg for leg in legs if leg.status != "success")
            self._false(blocks.values(), bundle, first.chain_id, failing(legs), where)
        for chain, result in executed.items():
            await self._keep(chain, result)
            self._compare(blocks[chain], result.header, where)

    def _false(
        self, blocks: Iterable[Block], bundle: str, chain_id: int | None, why: str, where: str
    ) -> None:
        """A bundle that the slot says is committed has no effect; told of the rollup that it fails on, else of the first that has it."""
        held = [
            block
            for block in blocks
            if chain_id in (None, block.chain_id)
            and any(part.bundle == bundle for part in block.payload.bundles)
        ]
        chain, number = (held[0].chain_id, held[0].number) if held else (None, None)
        derived = f"{why}, so the bundle has no effect"
        self.result.findings.append(Finding(chain, number, "bundle", f"committed: {bundle}", derived, where))

    async def _jointly(
        self, slot: Slot, broken: Collection[str]
    ) -> tuple[dict[int, ExecutedBlock], dict[str, list[LegResult]]]:
        """Execute a slot on all its rollups: a bundle that is broken or has a failing leg takes effect on none; its legs are told."""
        payloads = {block.chain_id: without(block.payload, broken) for block in slot.blocks}
        order = [terms.bundle for terms in slot.bundles if terms.bundle not in broken]
        false: dict[str, list[LegResult]] = {}
        while True:
            executed = {chain: await self._execute(chain, payload) for chain, payload in payloads.items()}
            results = _leg_results(payloads, executed)
            verdict = judge(order, results)
            if verdict.settled:
                return executed, false
            gone = {abort.bundle for abort in verdict.aborted} | set(verdict.deferred)
            for bundle in (bundle for bundle in results if bundle in gone):
                told = sum(bool(leg.reason) for legs in false.values() for leg in legs)
                legs = await self._explained(bundle, results[bundle], payloads, REASONS - told)
                false[bundle] = legs
            order = [bundle for bundle in order if bundle not in gone]
            for chain, payload in payloads.items():
                await self._engines[chain].rewind(self._heads[chain].number)
                payloads[chain] = without(payload, gone)

    async def _explained(
        self, bundle: str, legs: list[LegResult], payloads: Mapping[int, Payload], room: int
    ) -> list[LegResult]:
        """A bundle's legs with the reasons of those that failed, while the engines still have what they did; of many the first."""
        reasons = {}
        for leg in [leg for leg in legs if leg.status == "failed"][: max(room, 0)]:
            part = next(part for part in payloads[leg.chain_id].bundles if part.bundle == bundle)
            raw = part.transactions[part.legs.index(leg.leg)]
            reasons[leg.leg], _ = await self._engines[leg.chain_id].explain(to_hex(keccak256(from_hex(raw))))
        return [replace(leg, reason=reasons.get(leg.leg, leg.reason)) for leg in legs]

    async def _execute(self, chain: int, payload: Payload) -> ExecutedBlock:
        head = self._heads[chain]
        fee = next_base_fee(head.base_fee, head.gas_used, head.gas_limit)
        transactions = block_transactions(payload, head.number + 1)
        return await self._engines[chain].execute(BlockInput(head, payload.timestamp, fee, transactions))

    async def _keep(self, chain: int, executed: ExecutedBlock) -> None:
        header = executed.header
        self._heads[chain] = header
        self.result.hashes[chain][header.number] = header.hash
        if header.number in self._wanted.get(chain, ()):
            self.result.outputs[chain][header.number] = await read_output(self._engines[chain], header)

    def _compare(self, claimed: Block, derived: Header, where: str) -> None:
        for what, said, found in (
            ("state root", claimed.state_root, derived.state_root),
            ("block hash", claimed.hash, derived.hash),
        ):
            self.result.compared += 1
            if said != found:
                self.result.findings.append(
                    Finding(claimed.chain_id, claimed.number, what, said, found, where)
                )


def compare_served(
    verified: Verified, chain_id: int, served: Mapping[int, str], safe: int, where: str
) -> list[Finding]:
    """Hold what a node serves against what L1 gives.

    Args:
        verified: after the last L1 block.
        chain_id: whose blocks.
        served: block hash by number.
        safe: the node's safe head: up to here everything must be derivable.
        where: name of the node.
    """
    derived = verified.hashes[chain_id]
    both = [number for number in sorted(served) if number in derived]
    verified.compared += len(both)
    findings = [
        Finding(chain_id, number, "block hash", served[number], derived[number], where)
        for number in both
        if derived[number] != served[number]
    ]
    missing = [number for number in sorted(served) if number <= safe and number not in derived]
    if missing:
        findings.append(Finding(chain_id, missing[0], "missing", served[missing[0]], "nothing on L1", where))
    return findings


def compare_outputs(
    verified: Verified, chain_id: int, proposed: Mapping[int, str], where: str
) -> list[Finding]:
    """Hold outputs on L1 (root by L2 block number) against the rebuilt ones.

    Raises:
        KeyError: the verifier was not asked for the output of a block that it has.
    """
    findings = []
    for number, root in sorted(proposed.items()):
        verified.compared += 1
        derivable = number in verified.hashes[chain_id]
        derived = (
            verified.outputs[chain_id][number].root if derivable else "the block is not derivable from L1"
        )
        if derived != root:
            findings.append(Finding(chain_id, number, "output root", root, derived, where))
    return findings


def _first_block(data: bytes) -> tuple[int | None, int | None]:
    """Chain id and number of the first block that a superbatch holds, if it can be read."""
    try:
        superbatch = decode_superbatch(data)
    except Malformed:
        return None, None
    blocks = (block for slot in superbatch.slots for block in slot.blocks)
    first = next(blocks, None)
    return (None, None) if first is None else (first.chain_id, first.number)


def _leg_results(
    payloads: Mapping[int, Payload], executed: Mapping[int, ExecutedBlock]
) -> dict[str, list[LegResult]]:
    results: dict[str, list[LegResult]] = {}
    for chain, payload in payloads.items():
        told = {result.hash: result for result in executed[chain].results}
        for part in payload.bundles:
            for leg, raw in zip(part.legs, part.transactions, strict=True):
                result = told[to_hex(keccak256(from_hex(raw)))]
                results.setdefault(part.bundle, []).append(
                    LegResult(leg, chain, result.status, result.reason, result.data)
                )
    return results
