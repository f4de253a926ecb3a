"""The tables of the relayer's file.

``message`` has withdrawals (``bridge.relayer.store``); ``crossing`` has messages between rollups and ``sighting`` what the chains' logs said of them
(``bridge.relayer.messages.store``); ``checkpoint`` says how far each chain was read, L1 among them.
"""

VERSION = 2
SCHEMA = """
CREATE TABLE message (
    chain_id INTEGER NOT NULL,
    hash TEXT NOT NULL,
    state TEXT NOT NULL,
    dead INTEGER NOT NULL,
    block INTEGER NOT NULL,
    fields BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (chain_id, hash)
);
CREATE INDEX message_state ON message (chain_id, state);
CREATE INDEX message_hash ON message (hash);
CREATE INDEX message_block ON message (chain_id, block);
CREATE TABLE l1 (number INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE checkpoint (
    chain_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain_id, number)
);
CREATE TABLE crossing (
    hash TEXT PRIMARY KEY,
    source INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    state TEXT NOT NULL,
    dead INTEGER NOT NULL,
    open INTEGER NOT NULL,
    block INTEGER NOT NULL,
    fields BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX crossing_open ON crossing (hash) WHERE open;
CREATE TABLE sighting (
    chain_id INTEGER NOT NULL,
    block INTEGER NOT NULL,
    log INTEGER NOT NULL,
    name TEXT NOT NULL,
    sign TEXT NOT NULL,
    digest TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (chain_id, block, log)
);
CREATE INDEX sighting_name ON sighting (name)
"""
