"""Ethereum's Merkle Patricia trie with secured keys (Yellow Paper, appendix D), for the storage of the message passer.

OptimismPortal proves a withdrawal against the storage root of the L2's message passer with Ethereum's own trie verifier. So the one
contract's storage that an options rollup has is kept in this form, to the byte; a test compares it with what anvil proves.

Keys are hashed before they are used (that is what "secured" says), so every path has 64 nibbles and no value stands in a branch. Values are
what the caller gives: of storage, the RLP of the number without leading zeros.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256

_EMPTY: Final = rlp.encode(b"")
EMPTY_ROOT: Final = keccak256(_EMPTY)
"""Of a trie without entries."""
_Nibbles: TypeAlias = bytes


class _Node:
    """Keeps its form in RLP, and the reference that its parent has to it, until something below it changes."""

    __slots__ = ("encoded", "reference")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """It has changed."""
        self.encoded: bytes | None = None
        self.reference: Any = None

    def items(self) -> list[Any]:
        """What it is in RLP."""
        raise NotImplementedError

    def refer(self) -> Any:
        """What stands for it in its parent: its hash, or itself if it is shorter than one."""
        if self.encoded is None:
            items = self.items()
            self.encoded = rlp.encode(items)
            self.reference = items if len(self.encoded) < 32 else keccak256(self.encoded)
        return self.reference


class _Short(_Node):
    """A leaf or an extension: a path, and what it leads to."""

    __slots__ = ("path", "target")

    def __init__(self, path: _Nibbles, target: "bytes | _Branch") -> None:
        super().__init__()
        self.path = path
        self.target = target

    def items(self) -> list[Any]:
        if isinstance(self.target, bytes):
            return [_compact(self.path, 2), self.target]
        return [_compact(self.path, 0), self.target.refer()]


class _Branch(_Node):
    """Sixteen ways on."""

    __slots__ = ("children",)

    def __init__(self) -> None:
        super().__init__()
        self.children: list[_Short | _Branch | None] = [None] * 16

    def items(self) -> list[Any]:
        return [*(b"" if child is None else child.refer() for child in self.children), b""]


class Trie:
    """A map from byte strings to byte strings that has a root."""

    def __init__(self) -> None:
        self._top: _Short | _Branch | None = None

    @property
    def root(self) -> bytes:
        """Of the entries as they are; only what changed is hashed."""
        if self._top is None:
            return EMPTY_ROOT
        self._top.refer()
        assert self._top.encoded is not None
        return keccak256(self._top.encoded)

    def put(self, key: bytes, value: bytes) -> None:
        """Set an entry; an empty value removes it."""
        path = _nibbles(keccak256(key))
        self._top = _put(self._top, path, value) if value else _drop(self._top, path)

    def prove(self, key: bytes) -> list[bytes]:
        """Nodes from the root to the key's value, or to where the way to it ends; as ``eth_getProof`` gives them."""
        path, node, proof = _nibbles(keccak256(key)), self._top, list[bytes]()
        if node is None:
            return [_EMPTY]
        while node is not None:
            reference = node.refer()
            assert node.encoded is not None
            if not proof or isinstance(reference, bytes):  # a node within its parent isn't listed
                proof.append(node.encoded)
            if isinstance(node, _Branch):
                node, path = node.children[path[0]], path[1:]
                continue
            target = node.target
            if not isinstance(target, _Branch) or not path.startswith(node.path):
                break
            path, node = path[len(node.path) :], target
        return proof


def verify(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The value that the trie of this root has under a key; None if it has none.

    Raises:
        Malformed: the proof doesn't show either.
    """
    path, rest = _nibbles(keccak256(key)), list(proof)
    if root == EMPTY_ROOT and not rest:
        return None
    node: Any = root
    value: Any = b""
    while (members := _resolved(node, rest)) is not None:
        if len(members) == 17:
            if not path:
                raise Malformed("the trie's proof has a path that doesn't end in a leaf")
            path, node = path[1:], members[path[0]]
            continue
        part, is_leaf = _expanded(members[0])
        if is_leaf:
            value = members[1] if part == path else b""
            break
        if not path.startswith(part):
            break
        path, node = path[len(part) :], members[1]
    if rest or not isinstance(value, bytes):
        raise Malformed("the trie's proof goes on after the way ends, or ends in no value")
    return value or None


def _resolved(node: Any, rest: list[bytes]) -> list[Any] | None:
    """The members of the node that a reference stands for: the next of the proof, or itself; None of no node."""
    if node == b"":
        return None
    if isinstance(node, bytes):
        if not rest or keccak256(rest[0]) != node:
            raise Malformed("a node of the trie's proof is missing or hashes to something else")
        node = rlp.decode(rest.pop(0))
        if node == b"":
            return None
    if not isinstance(node, list) or len(node) not in {2, 17}:
        raise Malformed("a node of the trie's proof has neither 2 nor 17 members")
    return node


def _put(node: _Short | _Branch | None, path: _Nibbles, value: bytes) -> _Short | _Branch:
    if node is None:
        return _Short(path, value)
    if isinstance(node, _Branch):
        node.forget()
        node.children[path[0]] = _put(node.children[path[0]], path[1:], value)
        return node
    common = _common(node.path, path)
    if common == len(node.path):
        node.forget()
        if isinstance(node.target, bytes):
            node.target = value
        else:
            _put(node.target, path[common:], value)
        return node
    branch = _Branch()
    branch.children[node.path[common]] = _shortened(node, common + 1)
    branch.children[path[common]] = _Short(path[common + 1 :], value)
    return _Short(path[:common], branch) if common else branch


def _drop(node: _Short | _Branch | None, path: _Nibbles) -> _Short | _Branch | None:
    if node is None:
        return None
    if isinstance(node, _Branch):
        node.forget()
        node.children[path[0]] = _drop(node.children[path[0]], path[1:])
        left = [place for place, child in enumerate(node.children) if child is not None]
        return node if len(left) > 1 else _joined(bytes(left), node.children[left[0]])
    if not path.startswith(node.path):
        return node
    if isinstance(node.target, bytes):
        return None
    node.forget()
    return _joined(node.path, _drop(node.target, path[len(node.path) :]))


def _joined(path: _Nibbles, node: _Short | _Branch | None) -> _Short | _Branch:
    """A path before a node: two paths after each other are one."""
    assert node is not None
    if isinstance(node, _Short):
        return _Short(path + node.path, node.target)
    return _Short(path, node)


def _shortened(node: _Short, count: int) -> _Short | _Branch:
    path = node.path[count:]
    return node.target if isinstance(node.target, _Branch) and not path else _Short(path, node.target)


def _common(one: _Nibbles, other: _Nibbles) -> int:
    count = 0
    while count < len(one) and one[count] == other[count]:
        count += 1
    return count


def _nibbles(data: bytes) -> _Nibbles:
    return bytes.fromhex("0" + "0".join(data.hex()))


def _compact(path: _Nibbles, flag: int) -> bytes:
    """Hex-prefix encoding: a flag for leaves, one for odd lengths, and two nibbles a byte."""
    odd = len(path) % 2
    nibbles = bytes([flag + odd]) + (b"" if odd else b"\0") + path
    return bytes(nibbles[place] << 4 | nibbles[place + 1] for place in range(0, len(nibbles), 2))


def _expanded(data: Any) -> tuple[_Nibbles, bool]:
    if (
        not isinstance(data, bytes)
        or not data
        or data[0] >> 4 > 3
        or (data[0] >> 4 & 1 == 0 and data[0] & 15)
    ):
        raise Malformed("a path in the trie's proof isn't in hex-prefix form")
    nibbles = _nibbles(data)
    return nibbles[1 if nibbles[0] & 1 else 2 :], nibbles[0] >= 2


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Root of a list as Ethereum has it: under the RLP of their places, not hashed (a block's transactions, its receipts).

    Built from above in one go, since all of it is there at once: a third of the time of putting in one by one.
    """
    if not values:
        return EMPTY_ROOT
    entries = sorted((_nibbles(rlp.encode(place)), value) for place, value in enumerate(values))
    return keccak256(rlp.encode(_above(entries, 0)))


def _above(entries: Sequence[tuple[_Nibbles, bytes]], depth: int) -> list[Any]:
    """The node that holds sorted entries whose paths agree up to ``depth``."""
    first, last = entries[0][0], entries[-1][0]
    if len(entries) == 1:
        return [_compact(first[depth:], 2), entries[0][1]]
    shared = _common(first[depth:], last[depth:])
    if shared:
        below = _above(entries, depth + shared)
        return [_compact(first[depth : depth + shared], 0), _referred(below)]
    children: list[Any] = [b""] * 17
    start = 0
    while start < len(entries):
        digit, end = entries[start][0][depth], start
        while end < len(entries) and entries[end][0][depth] == digit:
            end += 1
        children[digit] = _referred(_above(entries[start:end], depth + 1))
        start = end
    return children


def _referred(items: list[Any]) -> Any:
    encoded = rlp.encode(items)
    return items if len(encoded) < 32 else keccak256(encoded)
