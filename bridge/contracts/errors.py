"""Errors of the contracts package.

::

    ContractsError
    ├── ArtifactMissing     compile the sources, or mend the name
    └── AbiMismatch         the data isn't what the contract's ABI describes
"""


class ContractsError(Exception):
    """Anything that goes wrong between Python and our contracts."""


class ArtifactMissing(ContractsError):  # noqa: N818 - the package's errors are named for what happened
    """No artifact of that name is committed."""


class AbiMismatch(ContractsError):  # noqa: N818 - as above
    """A call, a result or a log doesn't fit the contract's ABI."""
