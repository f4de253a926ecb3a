"""Loads the OP Stack's contracts from npm ``@eth-optimism/contracts-bedrock``: ABI and creation code by contract name.

Unmodified: a devnet runs, byte for byte, what teams deploy. Only the head of an artifact file is read: the compiler's syntax
tree behind it is nine tenths of the bytes, and a node that needs four ABIs must not wait for it (0.2 ms a contract).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from bridge.contracts.codec import Interface
from bridge.contracts.errors import ArtifactMissing

PACKAGE = Path(__file__).parents[2] / "node_modules" / "@eth-optimism" / "contracts-bedrock"
_HEAD_ENDS = b',"deployedBytecode":'
_PREINSTALL = re.compile(r'internal constant (\w+)Code\s*=\s*hex"([0-9a-fA-F]+)"')


@dataclass(frozen=True, slots=True)
class OpArtifact:
    """One contract of the OP Stack."""

    name: str
    abi: tuple[dict[str, Any], ...]
    creation_code: bytes
    """Runs the constructor; constructor arguments are appended. Empty for interfaces."""
    interface: Interface

    def deployment(self, *arguments: Any) -> bytes:
        """Creation code with encoded constructor arguments.

        Raises:
            AbiMismatch: the arguments don't fit the constructor.
        """
        return self.creation_code + self.interface.encode_constructor(*arguments)


@cache
def op_artifact(name: str) -> OpArtifact:
    """Load a contract by name, such as ``OptimismPortal``.

    Raises:
        ArtifactMissing: the package isn't installed, or has no such contract.
    """
    raw = _read(PACKAGE / "forge-artifacts" / f"{name}.sol" / f"{name}.json")
    head, found, _ = raw.partition(_HEAD_ENDS)
    fields = orjson.loads(head + b"}" if found else raw)
    return OpArtifact(
        name=name,
        abi=tuple(fields["abi"]),
        creation_code=bytes.fromhex(fields["bytecode"]["object"].removeprefix("0x")),
        interface=Interface(fields["abi"]),
    )


@cache
def preinstalled_code() -> Mapping[str, bytes]:
    """Runtime code of the contracts that the OP Stack puts into every genesis for tools, by name, such as ``MultiCall3``.

    Raises:
        ArtifactMissing: the package isn't installed.
    """
    source = _read(PACKAGE / "src" / "libraries" / "Preinstalls.sol").decode()
    return {name: bytes.fromhex(code) for name, code in _PREINSTALL.findall(source)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        what = (
            f"the OP Stack's contracts have no {path.stem}" if PACKAGE.is_dir() else f"{PACKAGE} is missing"
        )
        raise ArtifactMissing(f"{what}; mend the name, or run 'make setup'") from exc
