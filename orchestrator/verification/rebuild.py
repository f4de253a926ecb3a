"""Rebuilding every sequencing set of a devnet and comparing."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.l1.blocks import read_blocks
from bridge.l1.errors import L1Moved
from bridge.wire.derivation import Derivation, Member, Rules
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from orchestrator.market.scratch import anvil_binary
from orchestrator.runtimes.ports import PortReservations
from orchestrator.topology.plan import RollupPlan
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets
from orchestrator.verification.errors import CannotVerify, Moved
from orchestrator.verification.ineffective import Inboxed, inboxed, telling
from orchestrator.verification.proposals import proposed_outputs
from orchestrator.verification.sources import Served, Sources
from rollup_node.derivation.verifier import Finding, Verified, Verifier, compare_outputs, compare_served
from rollup_node.engines.choice import AnvilPlace, OwnedEngine, open_engine
from rollup_node.errors import EngineFailed

Progress = Callable[[int, int], None]
"""Told of the L1 blocks read and of how many there are."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome."""

    l1_block: int
    """The last L1 block that was read."""
    blocks: Mapping[str, int]
    """L2 blocks rebuilt, by rollup."""
    slots: int
    bundles: int
    forced: int
    """Blocks that the end of a sequencing window forced."""
    outputs: int
    """Output roots on L1 that were compared."""
    served: Mapping[str, int]
    """Blocks of the nodes' own chains that were compared, by rollup."""
    strangers: int
    """Transactions of strangers in the inboxes, without effect."""
    uncompared: Mapping[str, str]
    """Why a rollup's own chain could not be compared, or not to its end, by rollup."""
    findings: tuple[tuple[str, Finding], ...]
    """Each with the rollup's name, or the sequencer's where no one rollup is meant."""

    @property
    def verdict(self) -> str:
        """``valid``, ``invalid``, or ``unknown`` when too little was seen to say."""
        if self.findings:
            return "invalid"
        return "valid" if self.slots + self.forced and not self.uncompared else "unknown"


async def verify(sources: Sources, progress: Progress | None = None) -> Verification:
    """Rebuild everything that L1 holds, in fresh engines.

    Raises:
        CannotVerify: L1 does not answer, or an engine does not come up.
        Moved: L1 was reorganised meanwhile.
    """
    try:
        head = int(await sources.l1.call("eth_blockNumber"), 16)
        sets = [await _one_set(sources, one, head, progress) for one in sequencing_sets(sources.plan)]
    except (PeerUnreachable, RpcError, Malformed) as exc:
        raise CannotVerify(f"L1 cannot be read: {exc}", "look at `rollnet status`") from exc
    except L1Moved as exc:
        raise Moved(f"L1 was reorganised while it was read: {exc}", "verify again") from exc
    except EngineFailed as exc:
        raise CannotVerify(f"a fresh engine failed: {exc}", "run 'make setup'") from exc
    return _summed(sources, head, sets)


@dataclass(frozen=True, slots=True)
class _SetResult:
    sequenced: SequencingSet
    verified: Verified
    outputs: int
    findings: tuple[tuple[str, Finding], ...]
    uncompared: Mapping[str, str]


async def _one_set(sources: Sources, one: SequencingSet, head: int, progress: Progress | None) -> _SetResult:
    contracts = sources.deployments.rollups
    rules = Rules(
        members=tuple(Member(r.chain_id, contracts[r.name].portal.lower()) for r in one.rollups),
        inbox=contracts[one.rollups[0].name].batch_inbox.lower(),
        batcher=contracts[one.rollups[0].name].batcher.lower(),
        window=sources.plan.messaging.sequencing_window,
    )
    proposed = {
        rollup.chain_id: await proposed_outputs(sources.l1, contracts[rollup.name].output_oracle, head)
        for rollup in one.rollups
    }
    async with contextlib.AsyncExitStack() as stack:
        # ports are given back last, and files go when no engine writes any more
        ports = stack.enter_context(PortReservations())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rollnet-verify-")))
        engines: dict[int, OwnedEngine] = {}
        for rollup in one.rollups:
            engines[rollup.chain_id] = _engine(sources, rollup, ports.reserve(), scratch)
            stack.push_async_callback(engines[rollup.chain_id].stop)
        verifier = Verifier(rules, engines, proposed)
        await verifier.start()
        portals = [member.portal for member in rules.members]
        sent: dict[str, Inboxed] = {}
        hashes: list[str] = []

        def hash_of(number: int) -> str | None:
            return hashes[number] if number < len(hashes) else None

        async for block in read_blocks(sources.l1, portals, [rules.inbox], 0, head):
            hashes.append(block.info.hash)
            told, counted = len(verifier.result.findings), sum(each.counts for each in sent.values())
            await verifier.add(block)
            ours = [batch for batch in block.batches if batch.sender == rules.batcher]
            sent |= inboxed(ours, verifier.result.findings[told:], counted, hash_of)
            if progress is not None:
                progress(block.info.number, head)
    own = telling(verifier.result.findings, sent)
    compared, uncompared = _compared(sources, one, verifier, proposed)
    names = {rollup.chain_id: rollup.name for rollup in one.rollups}
    findings = tuple((names.get(found.chain_id or -1, one.node), found) for found in (*own, *compared))
    return _SetResult(one, verifier.result, sum(map(len, proposed.values())), findings, uncompared)


def _engine(sources: Sources, rollup: RollupPlan, port: int, scratch: Path) -> OwnedEngine:
    anvil = AnvilPlace(str(anvil_binary()), port, rollup.chain_id, rollup.block_gas_limit)
    return open_engine(rollup.engine, sources.genesis_of(rollup), scratch / rollup.name, anvil)


def _compared(
    sources: Sources, one: SequencingSet, verifier: Verifier, proposed: Mapping[int, Mapping[int, str]]
) -> tuple[list[Finding], dict[str, str]]:
    """What differs from what the nodes and L1's outputs say; and why the rest of a node's chain is beyond this L1, by rollup."""
    verified = verifier.result
    findings: list[Finding] = []
    uncompared: dict[str, str] = {}
    for rollup in one.rollups:
        served = sources.served.get(rollup.name)
        if served is not None:
            _require_one_l1(verifier.derivation, served)
            found = compare_served(verified, rollup.chain_id, served.hashes, served.safe, served.where)
            for finding in found:
                if finding.what == "missing" and not sources.complete:
                    uncompared[rollup.name] = _unseen(finding, served)
                else:
                    findings.append(finding)
        findings += compare_outputs(verified, rollup.chain_id, proposed[rollup.chain_id], "L2OutputOracle")
    return findings, uncompared


def _require_one_l1(derivation: Derivation, served: Served) -> None:
    """What a node said before a reorganisation is no claim about the chain after it."""
    for number, digest in served.derived_from:
        block = derivation.l1_block(number)
        if block is None or block.info.hash != digest:
            raise L1Moved(f"{served.where} had derived from another L1 block {number}, {digest}")


def _unseen(finding: Finding, served: Served) -> str:
    return (
        f"the stored L1 ends before blocks {finding.block} to {served.safe}, which its node held for safe:"
        " it was killed before it saved"
    )


def _summed(sources: Sources, head: int, sets: list[_SetResult]) -> Verification:
    verified = [result.verified for result in sets]
    unseen = {name: why for result in sets for name, why in result.uncompared.items()}
    return Verification(
        l1_block=head,
        blocks={
            rollup.name: len(result.verified.hashes[rollup.chain_id]) - 1
            for result in sets
            for rollup in result.sequenced.rollups
        },
        slots=sum(one.slots for one in verified),
        bundles=sum(one.bundles for one in verified),
        forced=sum(one.forced for one in verified),
        outputs=sum(result.outputs for result in sets),
        served={name: len(served.hashes) for name, served in sources.served.items()},
        strangers=sum(one.strangers for one in verified),
        uncompared=unseen | dict(sources.uncompared),
        findings=tuple(finding for result in sets for finding in result.findings),
    )
