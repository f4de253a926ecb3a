"""What a section knows beside the world: the block, the running transaction, and who acts."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rollup_node.engines.options.transactions.receipts import Log, event
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.parameters import Parameters

if TYPE_CHECKING:
    from rollup_node.engines.options.transition.margins import Risks

NO_BUNDLE: Final = bytes(32)
WEI_PER_CASH: Final = 10**12
"""The native coin is the dollar in 18 decimals, cash the dollar in 6."""


@dataclass(slots=True)
class Context:
    """Of one block, moving along with its transactions. Not part of the state: it ends with the block."""

    parameters: Parameters
    number: int
    timestamp: int
    """Unix seconds; the only time that there is."""
    risks: "Risks"
    """What margin needs to know of series."""
    base_fee: int = 0
    """Wei per gas."""
    bundle: bytes = NO_BUNDLE
    """The open bundle."""
    actor: bytes = bytes(20)
    """In whose name the running call acts: a transaction's sender or an action's signer."""
    deferred: int | None = None
    """An account whose margin is looked at once all that is going on is done."""
    bound: int | None = None
    """The account that the running call must be about, where an action named it."""
    value: int = 0
    """Wei that came with the call."""
    from_l1: bool = False
    """Whether L1 forced the call."""
    moved: bool = False
    """Whether risk rows changed in this block."""
    marked: bool = False
    """Whether this block's rows are made: the oracle isn't heard any more in it."""
    gas: int = 0
    """Used by what the transaction carried, beside its own."""
    gas_limit: int | None = None
    """Of that; None: it isn't counted."""
    logs: list[Log] = field(default_factory=list)
    """Of the running transaction."""

    def emit(self, name: str, *values: Any) -> None:
        """Log an event of one of the interfaces."""
        self.logs.append(event(name, *values))

    def spend(self, gas: int) -> None:
        """Count gas where it is used; without enough of it the work stops here, not after all of it."""
        self.gas += gas
        if self.is_spent:
            raise Refused("OutOfGas", self.gas, self.gas_limit)

    @property
    def is_spent(self) -> bool:
        """Whether more gas is used than there is."""
        return self.gas_limit is not None and self.gas > self.gas_limit

    def require_bundle(self, bundle: bytes) -> None:
        """Refuse unless exactly this bundle is open; none means anywhere."""
        if bundle not in (NO_BUNDLE, self.bundle):
            raise Refused("BundleNotOpen", bundle, self.bundle)
