"""Loads compiled contracts from ``artifacts/``.

The JSON files are committed, so that Node is needed to change a contract but not to run one; ``compile.mjs --check``
holds them to their sources.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from bridge.contracts.codec import Interface
from bridge.contracts.errors import ArtifactMissing

FOLDER = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    source: str
    """Path of the source, relative to ``src/``."""
    solc: str
    """Full version of the compiler."""
    abi: tuple[dict[str, Any], ...]
    creation_code: bytes
    """Runs the constructor; constructor arguments are appended."""
    runtime_code: bytes
    """What the constructor returns, with zeros in the place of immutables."""
    immutables: tuple[tuple[tuple[int, int], ...], ...]
    """Per immutable the (start, length) of its places in the runtime code."""
    storage: dict[str, int]
    """Slot by variable, for reading state past the ABI."""
    interface: Interface

    def deployment(self, *arguments: Any) -> bytes:
        """Creation code with encoded constructor arguments.

        Raises:
            AbiMismatch: the arguments don't fit the constructor.
        """
        return self.creation_code + self.interface.encode_constructor(*arguments)


@cache
def artifact(name: str) -> Artifact:
    """Load a contract by name, such as ``OptionsMarket``.

    Raises:
        ArtifactMissing: there is no such artifact.
    """
    path = FOLDER / f"{name}.json"
    try:
        fields = orjson.loads(path.read_bytes())
    except FileNotFoundError as exc:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "none"
        raise ArtifactMissing(
            f"no artifact named {name} (there are: {known}); mend the name, or run "
            "`node bridge/contracts/compile.mjs` after adding the source"
        ) from exc
    return Artifact(
        name=fields["name"],
        source=fields["source"],
        solc=fields["solc"],
        abi=tuple(fields["abi"]),
        creation_code=bytes.fromhex(fields["bytecode"][2:]),
        runtime_code=bytes.fromhex(fields["deployedBytecode"][2:]),
        immutables=tuple(
            tuple((place["start"], place["length"]) for place in places)
            for places in fields["immutableReferences"]
        ),
        storage={entry["label"]: entry["slot"] for entry in fields["storageLayout"]},
        interface=Interface(fields["abi"]),
    )
