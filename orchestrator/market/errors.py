"""Errors of the market package, by the reaction they ask for.

::

    RollnetError
    └── MarketError
        ├── UnitError            mend the number: it has no exact counterpart on chain
        ├── GenesisError         read the message: the toolchain is missing or a set-up call failed
        ├── MakerConfigError     mend the maker's configuration
        └── VenueError           a rollup refused a call or a transaction
"""

from orchestrator.errors import RollnetError


class MarketError(RollnetError):
    """Anything that goes wrong around the options market."""


class UnitError(MarketError):
    """A number can't be expressed in the market's integer units."""

    exit_code = 2


class GenesisError(MarketError):
    """The genesis state could not be built."""


class MakerConfigError(MarketError):
    """The market maker's configuration is incomplete or contradicts the chain."""

    exit_code = 2


class VenueError(MarketError):
    """A rollup refused what the market maker asked of it."""
