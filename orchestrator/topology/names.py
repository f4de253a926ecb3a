"""What follows from a name: where it may be used, and the chain id of the rollup that carries it.

A rollup's name becomes a node, a log file, a host on a Docker network and a label of metrics, so it is a lower-case DNS
label. Its chain id is a hash of the name alone: neither the seed nor the other rollups matter, so adding a rollup
changes nothing for those already there, and a wallet that knows ``alpha`` knows it in every devnet.
"""

import hashlib
import re

NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"
"""A DNS label that starts with a letter; 32 characters at most, so that derived names stay within DNS's 63."""

L1, SEQUENCER, MAKER, RELAYER, LINKS = "l1", "sequencer", "maker", "relayer", "links"
RESERVED_NAMES = (L1, SEQUENCER, MAKER, RELAYER, LINKS)
"""Nodes that belong to the devnet, not to a rollup."""

ROLES = ("l1", "sequencer", "rollup", "relayer", "maker")
"""What nodes are."""

FIRST_CHAIN_ID = 10_000
LAST_CHAIN_ID = 2**31 - 1

_NAME = re.compile(NAME_PATTERN.removesuffix("$"))


def is_name(text: str) -> bool:
    """Whether the text can name a topology or, if it is not reserved, a rollup."""
    return _NAME.fullmatch(text) is not None


def sequencer_of(rollup: str) -> str:
    """The node that orders a rollup's transactions where it has a sequencer of its own."""
    return f"{rollup}-sequencer"


def suggest_name(text: str) -> str:
    """The nearest valid name, or the empty string if nothing of the text is left."""
    spelled = re.sub(r"[^a-z0-9]+", "-", text[:64].lower()).strip("-0123456789")[:32].strip("-")
    return spelled if is_name(spelled) else ""


def chain_id_of(name: str) -> int:
    """The chain id of a rollup that sets none, in [``FIRST_CHAIN_ID``, ``LAST_CHAIN_ID``]."""
    digest = hashlib.sha256(f"rollnet.chain-id.v1:{name}".encode()).digest()
    return FIRST_CHAIN_ID + int.from_bytes(digest) % (LAST_CHAIN_ID + 1 - FIRST_CHAIN_ID)
