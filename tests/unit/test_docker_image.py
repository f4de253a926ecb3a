"""What goes into the image: equal contents give equal names, and the lock of its dependencies is part of ours."""

import re
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtimes.docker.errors import ImageError
from orchestrator.runtimes.docker.image.contents import LOCK, gather, write_context
from orchestrator.runtimes.docker.image.dependencies import Interpreter


def pins(lock: str) -> dict[str, frozenset[str]]:
    """Pinned requirement to its hashes."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in lock.splitlines():
        if match := re.match(r"(\S+==\S+)", line):
            name = match[1]
            found[name] = set()
        found[name].update(re.findall(r"--hash=(\S+)", line))
    return {pinned: frozenset(hashes) for pinned, hashes in found.items()}


def test_the_image_has_what_is_locked_here(repository: Path) -> None:
    """Every dependency of the image is one of ours, in the same version, with the same hashes, and has some."""
    ours, images = pins((repository / "requirements.lock").read_text()), pins(LOCK.read_text())
    assert images
    assert {name: ours.get(name) for name in images} == images
    assert all(images.values())


def test_contents_are_the_same_twice(tmp_path: Path) -> None:
    """The same checkout gives the same name and, byte for byte, the same context; what tests need is not in it."""
    one, other = gather(), gather()
    assert one.name == other.name
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1")
    contexts = []
    for contents in (one, other):
        file = BytesIO()
        write_context(contents, tmp_path, file)
        contexts.append(file.getvalue())
    assert contexts[0] == contexts[1]
    with tarfile.open(fileobj=BytesIO(contexts[0])) as tar:
        names = tar.getnames()
    assert {"Dockerfile", "bin/anvil", "lib/package/module.py", "source/rollup_node/node.py"} <= set(names)
    assert "contracts/forge-artifacts/L2OutputOracle.sol/L2OutputOracle.json" in names
    assert [] == [name for name in names if "/testing" in name or "__pycache__" in name]


def test_interpreters_too_old_or_silent_are_refused() -> None:
    """A base without a fit Python is named, and so is what it said."""
    with pytest.raises(ImageError, match=r"base:1 has Python 3\.9"):
        Interpreter.parse("base:1", {"python": [3, 9], "machine": "x86_64", "libc": ["glibc", "2.36"]})
    with pytest.raises(ImageError, match="base:1"):
        Interpreter.parse("base:1", {"python": None})


@given(st.integers(5, 60), st.sampled_from(["x86_64", "aarch64"]))
def test_wheels_fit_the_base(minor: int, machine: str) -> None:
    """No tag asks for a newer C library than the base has; the old names stand at the end; musl has its own."""
    said = {"python": [3, 12], "machine": machine, "libc": ["glibc", f"2.{minor}"]}
    tags = Interpreter.parse("base", said).platforms()
    numbered = [int(match[1]) for tag in tags if (match := re.match(r"manylinux_2_(\d+)_", tag))]
    assert (minor, sorted(numbered, reverse=True)) == (max(numbered), numbered)
    assert f"manylinux2014_{machine}" in tags
    musl = Interpreter.parse("base", {**said, "libc": ["", ""]}).platforms()
    assert all(tag.startswith("musllinux_1_") for tag in musl)
