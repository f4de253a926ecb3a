"""What a read looks at: the chain, at the end of one of its blocks."""

from dataclasses import dataclass

from bridge.wire.errors import SERVER_ERROR, RpcError
from rollup_node.engines.options.archive import Archive, NotKept
from rollup_node.engines.options.blocks import Head
from rollup_node.engines.options.state.world import TooFarBack, World
from rollup_node.engines.options.transactions.receipts import Receipt
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.travel import Travel


@dataclass(slots=True)
class Chain:
    """Everything that an engine holds."""

    parameters: Parameters
    archive: Archive
    travel: Travel


@dataclass(frozen=True, slots=True)
class Scene:
    """A chain as of one block."""

    chain: Chain
    number: int
    """Of the block."""

    @property
    def parameters(self) -> Parameters:
        """Of the rollup."""
        return self.chain.parameters

    @property
    def archive(self) -> Archive:
        """Its blocks."""
        return self.chain.archive

    @property
    def head(self) -> Head:
        """Of the block.

        Raises:
            RpcError: it isn't known any more.
        """
        found = self.archive.head_of(self.number)
        if found is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return found

    @property
    def world(self) -> World:
        """The state after the block.

        Raises:
            RpcError: it isn't kept any more.
        """
        try:
            return self.chain.travel.go(self.number)
        except TooFarBack as exc:
            raise RpcError(SERVER_ERROR, f"required historical state unavailable: {exc}") from exc

    def context(self) -> Context:
        """What a call that is executed on this state is told of its block."""
        sealed = self.head.sealed
        return Context(self.parameters, self.number, sealed.timestamp, Risks(self.world), sealed.base_fee)

    def receipts(self, number: int | None = None) -> tuple[Receipt, ...]:
        """Of a block, this one by default.

        Raises:
            RpcError: they aren't kept.
        """
        try:
            return self.archive.receipts(self.number if number is None else number)
        except NotKept as exc:
            raise RpcError(SERVER_ERROR, f"pruned history unavailable: {exc}") from exc
