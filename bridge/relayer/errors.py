"""Errors of the relayer.

::

    RelayerError
    ├── StateGone       the rollup doesn't serve that block's state any more: prove by a later output
    ├── OutputWrong     the proposed output isn't what the rollup says of its block: wait for the challenger
    ├── NotPassed       the output's state doesn't have the withdrawal: the rollup was reorganised
    └── InVain          a messenger was made to try its call again, and it failed again: try later
"""


class RelayerError(Exception):
    """Base of what keeps a withdrawal or a message from being relayed."""


class StateGone(RelayerError):  # noqa: N818 - names what happened to the state
    """The rollup doesn't have the state of a block."""


class OutputWrong(RelayerError):  # noqa: N818 - says what the output is
    """The output on L1 contradicts the rollup."""


class NotPassed(RelayerError):  # noqa: N818 - says what the withdrawal did not
    """The withdrawal isn't in the state that the output is of."""


class InVain(RelayerError):  # noqa: N818 - says how it was done
    """It was paid for and changed nothing."""
