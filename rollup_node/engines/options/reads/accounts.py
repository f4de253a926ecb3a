"""Addresses as Ethereum's tools see them: balance, nonce, code, storage, and proofs.

The state's root is that of our own tree, so ``accountProof`` of ``eth_getProof`` is empty: there is no Patricia trie of accounts to prove
in. Storage is one: the message passer's, in Ethereum's form to the byte, whose root the output root commits to. What the tree itself
holds is proven by ``options_getProof``.
"""

from typing import Any, Final

from bridge.wire import rlp
from bridge.wire.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from bridge.wire.keccak import keccak256, to_hex
from rollup_node.engines.options.archive import NotKept
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.state.leaves import ID_BITS, Kind
from rollup_node.engines.options.state.trie import EMPTY_ROOT, Trie
from rollup_node.engines.options.state.world import TooFarBack, World
from rollup_node.engines.options.transactions.interfaces import FUNCTIONS, L1_BLOCK, MESSAGE_PASSER
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import margin_of, required
from rollup_node.engines.options.transition.open_orders import pending_of
from rollup_node.engines.options.values import QUANTITY_UNIT, Overflow, ceil_divide

STUB_CODE: Final = b"\xfe"
"""What system addresses answer as their code: there is something here, and it isn't the EVM's (an invalid instruction)."""
_SYSTEM: Final = frozenset((*FUNCTIONS, L1_BLOCK))


def balance(scene: Scene, address: bytes) -> str:
    """``eth_getBalance``: what the address's primary account could withdraw now, so wallets never promise more."""
    world, owner = scene.world, owner_of(scene.world, address)
    if owner is None or not owner.accounts:
        return "0x0"
    return hex(withdrawable(world, scene.context(), owner.accounts[0]) * WEI_PER_CASH)


def withdrawable(world: World, context: Context, number: int) -> int:
    """The most that leaves an account with its margin, micro-USD.

    Initial margin doesn't depend on cash, so it is the surplus; an account that can't owe anything may take what it hasn't promised
    for orders.
    """
    account = world.accounts[number]
    pending = pending_of(world, number)
    if not account.positions and not pending:
        return max(0, account.cash - account.reserved)
    try:
        margin = margin_of(world, context, number)
    except (Refused, Overflow):
        return 0
    free = margin.equity - required(world, context, number, margin.initial)
    if margin.covered:
        owed = sum(entry.bids * entry.highest_bid for entry in pending)
        free = max(free, account.cash - account.reserved - ceil_divide(owed, QUANTITY_UNIT))
    return max(0, min(account.cash - account.reserved, free))


def nonce(scene: Scene, address: bytes) -> str:
    """``eth_getTransactionCount``."""
    owner = owner_of(scene.world, address)
    return hex(owner.nonce if owner else 0)


def code(_scene: Scene, address: bytes) -> str:
    """``eth_getCode``."""
    return to_hex(STUB_CODE) if address in _SYSTEM else "0x"


def storage(scene: Scene, address: bytes, slot: bytes) -> str:
    """``eth_getStorageAt``: of the message passer, one for each message that was sent; of others nothing."""
    sent = address == MESSAGE_PASSER and slot in _messages(scene)
    return to_hex(int(sent).to_bytes(32, "big"))


def proof(scene: Scene, address: bytes, keys: list[bytes]) -> dict[str, Any]:
    """``eth_getProof``, for the storage; see the module's first lines for what is not proven."""
    root, shown = _storage(scene, keys) if address == MESSAGE_PASSER else _nothing(keys)
    entries = [
        {"key": to_hex(key), "value": hex(sent), "proof": list(map(to_hex, nodes))}
        for key, (sent, nodes) in zip(keys, shown, strict=True)
    ]
    reachable = _reachable(scene)
    return {
        "address": to_hex(address),
        "accountProof": [],
        "balance": balance(scene, address) if reachable else "0x0",
        "nonce": nonce(scene, address) if reachable else "0x0",
        "codeHash": to_hex(keccak256(STUB_CODE if address in _SYSTEM else b"")),
        "storageHash": to_hex(root),
        "storageProof": entries,
    }


def leaf_proof(scene: Scene, kind: str, number: int) -> dict[str, Any]:
    """``options_getProof``: a leaf of the state tree, or its absence, under the block's state root."""
    found = next((one for one in Kind if one.name.lower() == kind.lower()), None)
    if found is None or number >> ID_BITS:
        kinds = ", ".join(one.name.lower() for one in Kind)
        raise RpcError(
            INVALID_PARAMS, f"expected a kind ({kinds}) and a number of {ID_BITS} bits, got {kind} {number}"
        )
    proven = scene.world.prove(found, number)
    return {
        "stateRoot": to_hex(scene.head.sealed.state_root),
        "index": proven.proof.index,
        "leaf": None if proven.leaf is None else to_hex(proven.leaf),
        "siblings": list(map(to_hex, proven.proof.siblings)),
        "encoded": to_hex(proven.proof.encode()),
    }


def _reachable(scene: Scene) -> bool:
    try:
        scene.chain.travel.go(scene.number)
    except TooFarBack:
        return False
    return True


def _messages(scene: Scene) -> dict[bytes, None]:
    """Slots of all messages up to a block; of old blocks by what is archived of each."""
    if _reachable(scene):
        return scene.world.messages
    try:
        return dict.fromkeys(scene.archive.messages(scene.number))
    except NotKept as exc:
        raise RpcError(SERVER_ERROR, f"required historical state unavailable: {exc}") from exc


def _storage(scene: Scene, keys: list[bytes]) -> tuple[bytes, list[tuple[int, list[bytes]]]]:
    """The message passer's root at a block, and of each key its value and the nodes that show it.

    Messages are only ever added, so a block of any age can be shown: where its state is gone, from those that it had.
    """
    sent = _messages(scene)
    if _reachable(scene):
        world = scene.world
        world.root()
        return world.storage_root, [(int(key in sent), world.prove_message(key)) for key in keys]
    trie = Trie()
    for slot in sent:
        trie.put(slot, rlp.encode(1))
    return trie.root, [(int(key in sent), trie.prove(key)) for key in keys]


def _nothing(keys: list[bytes]) -> tuple[bytes, list[tuple[int, list[bytes]]]]:
    """Storage of whoever has none."""
    return EMPTY_ROOT, [(0, Trie().prove(key)) for key in keys]
