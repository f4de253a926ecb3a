"""What goes into the image, and the digest that names it: equal contents, equal name, on whatever base."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from bridge.contracts import op
from orchestrator.market.scratch import anvil_binary

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[3]
PACKAGES = ("bridge", "orchestrator", "rollup_node", "shared_sequencer")
LOCK = FOLDER / "requirements.lock"
"""The dependencies of nodes, with hashes."""
REPOSITORY = "rollnet"
"""Name of the images; their tags are digests."""
ANVIL = "/opt/rollnet/bin/anvil"
"""Where the image keeps it."""

_HEAD_ENDS = b',"deployedBytecode":'
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Contents:
    """The image's own files, by their names in the build context."""

    files: dict[str, Path | bytes]
    digest: str

    @property
    def name(self) -> str:
        """Of the image that holds them."""
        return f"{REPOSITORY}:{self.digest}"


def gather() -> Contents:
    """Read this checkout.

    Raises:
        GenesisError: anvil is not installed.
        ArtifactMissing: the OP Stack's contracts are not installed.
    """
    files: dict[str, Path | bytes] = {"Dockerfile": (FOLDER / "Dockerfile").read_bytes()}
    for path in _sources():
        files[f"source/{path.relative_to(ROOT)}"] = path.read_bytes()
    files["source/health.py"] = (FOLDER / "health.py").read_bytes()
    digest = hashlib.blake2b(LOCK.read_bytes(), digest_size=16)
    for name, content in sorted(files.items()):
        assert isinstance(content, bytes), "only what is small is read for the digest"
        digest.update(f"{name} {len(content)}\n".encode() + content)
    # 170 MB of npm packages are told by what names their versions.
    anvil = anvil_binary().resolve()
    digest.update(f"{anvil.stat().st_size}\n".encode() + _version_of(anvil.parent.parent))
    digest.update(_version_of(op.PACKAGE))
    files["bin/anvil"] = anvil
    return Contents(files, digest.hexdigest()[:_SHOWN_DIGITS])


def write_context(contents: Contents, dependencies: Path, file: BinaryIO) -> None:
    """The build context as a tar file, the same bytes for the same contents, so that the engine's cache works.

    Args:
        contents: the image's own files.
        dependencies: folder of unpacked wheels.
        file: is written to.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(contents.files.items()):
            _add(tar, name, content, executable=name.startswith("bin/"))
        for name, content in _contracts():
            _add(tar, f"contracts/{name}", content)
        for path in sorted(path for path in dependencies.rglob("*") if path.is_file()):
            _add(tar, f"lib/{path.relative_to(dependencies)}", path)


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.startswith("testing"):  # support of tests
                yield path
    yield from sorted((ROOT / "bridge" / "contracts" / "artifacts").glob("*.json"))


def _contracts() -> Iterator[tuple[str, bytes]]:
    """ABI and creation code of every contract that the package has the source of; nodes read no more, and it is a tenth."""
    folder = op.PACKAGE / "forge-artifacts"
    yield "package.json", (op.PACKAGE / "package.json").read_bytes()
    for source in sorted((op.PACKAGE / "src").rglob("*.sol")):
        path = folder / source.name / f"{source.stem}.json"
        if path.is_file():
            head, found, _ = path.read_bytes().partition(_HEAD_ENDS)
            yield f"forge-artifacts/{source.name}/{path.name}", head + b"}" if found else head


def _version_of(package: Path) -> bytes:
    try:
        return (package / "package.json").read_bytes()
    except OSError:
        return b""


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes, *, executable: bool = False) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755 if executable else 0o644
    if isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))
        return
    with content.open("rb") as file:
        entry.size = content.stat().st_size
        tar.addfile(entry, file)
