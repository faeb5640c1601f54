-- The first schema. Forward only: a released migration never changes; the next one is another file.
-- One subject a table; what is large stands apart from what is scanned. Every count of leaves, blocks and heights is an
-- INTEGER within 63 bits; every digest a BLOB of 32 bytes.

-- A foreign (or our own) ledger. `head` is NULL while the ledger is only known by name.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    ledger TEXT NOT NULL UNIQUE,
    client TEXT,
    client_version INTEGER,
    head TEXT,
    -- The last height whose step is final: rows of `step` up to it never change.
    final_height INTEGER,
    frozen TEXT
) STRICT;

CREATE TABLE trusted_block (
    id INTEGER PRIMARY KEY,
    ledger INTEGER NOT NULL REFERENCES ledger (id),
    height INTEGER NOT NULL,
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (ledger, height)
) STRICT;

-- Trusted blocks that a reorganisation undid, for auditors. `act` is the row of the operator log that says when and why.
CREATE TABLE undone_block (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ledger INTEGER NOT NULL REFERENCES ledger (id),
    height INTEGER NOT NULL,
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL,
    act INTEGER NOT NULL
) STRICT;
CREATE INDEX undone_block_by_height ON undone_block (ledger, height);

CREATE TABLE step (
    id INTEGER PRIMARY KEY,
    ledger INTEGER NOT NULL REFERENCES ledger (id),
    height INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (ledger, height)
) STRICT;

CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('origin', 'inbox')),
    size INTEGER NOT NULL,
    edge TEXT NOT NULL,
    last_height INTEGER,
    last_transaction INTEGER,
    last_event INTEGER,
    last_item INTEGER,
    covered INTEGER,
    seen_size INTEGER,
    seen_root BLOB,
    seen_time INTEGER,
    seen_note TEXT,
    frozen TEXT
) STRICT;

CREATE TABLE lane_definition (
    lane INTEGER NOT NULL REFERENCES lane (id),
    sequence INTEGER NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (lane, sequence)
) STRICT, WITHOUT ROWID;

-- What subscribers and queries scan: narrow. `id` is the offset; AUTOINCREMENT never gives one twice.
CREATE TABLE record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- First eight bytes of the digest behind the id: a small index; the whole id decides.
    id_hash INTEGER NOT NULL,
    record_id BLOB NOT NULL,
    -- First eight bytes of the key's digest: the same.
    key_hash INTEGER NOT NULL,
    record_key TEXT NOT NULL,
    record_type TEXT NOT NULL,
    lane INTEGER NOT NULL REFERENCES lane (id),
    sequence INTEGER NOT NULL,
    ledger INTEGER NOT NULL REFERENCES ledger (id),
    height INTEGER NOT NULL,
    tx INTEGER NOT NULL,
    event INTEGER NOT NULL,
    item INTEGER NOT NULL,
    block_hash BLOB NOT NULL,
    block_time INTEGER NOT NULL,
    finality TEXT NOT NULL,
    -- 1 attested, 2 anchored, 3 proven.
    assurance INTEGER NOT NULL,
    completeness TEXT NOT NULL,
    policy BLOB NOT NULL,
    observed_at INTEGER NOT NULL,
    admitted_at INTEGER NOT NULL,
    -- The offset of its retraction, where a reorganisation undid its block.
    retraction INTEGER
) STRICT;
-- One event is one record, whatever number of lanes bring it. What was taken back stands in nobody's way: another branch
-- may hold another event there, and the ledger may come back to the same one.
CREATE UNIQUE INDEX record_by_event ON record (ledger, height, tx, event, item, block_hash) WHERE retraction IS NULL;
CREATE INDEX record_by_id ON record (id_hash);
CREATE INDEX record_by_key ON record (key_hash, ledger, height, tx, event, item);
CREATE INDEX record_by_type ON record (record_type, id);

-- Records that were taken back. `id` is an offset out of the same count as those of records, so that subscribers are told
-- in order.
CREATE TABLE retraction (
    id INTEGER PRIMARY KEY,
    record INTEGER NOT NULL UNIQUE REFERENCES record (id),
    lane INTEGER NOT NULL REFERENCES lane (id),
    sequence INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- The heavy part of a record.
CREATE TABLE record_content (
    id INTEGER PRIMARY KEY REFERENCES record (id),
    record TEXT NOT NULL,
    quality TEXT NOT NULL,
    native BLOB NOT NULL
) STRICT;

CREATE TABLE leaf (
    id INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL REFERENCES lane (id),
    idx INTEGER NOT NULL,
    kind TEXT NOT NULL,
    entry BLOB NOT NULL,
    statement TEXT,
    record INTEGER REFERENCES record (id),
    UNIQUE (lane, idx)
) STRICT;

-- Complete subtrees of 256 leaves and more; smaller ones are recomputed from the entries.
CREATE TABLE node (
    lane INTEGER NOT NULL REFERENCES lane (id),
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (lane, level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE held (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL REFERENCES lane (id),
    idx INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    record TEXT,
    since INTEGER NOT NULL,
    last_try INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    UNIQUE (lane, idx)
) STRICT;

-- `proved` is 1 when a record of the block was proven with these very bytes: what merely came with a held leaf gives
-- way to other bytes, what proved something never does.
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    ledger INTEGER NOT NULL REFERENCES ledger (id),
    height INTEGER NOT NULL,
    hash BLOB NOT NULL,
    proved INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (ledger, height, hash)
) STRICT;

CREATE TABLE document (
    kind TEXT NOT NULL CHECK (kind IN ('mapping', 'schema')),
    digest BLOB NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (kind, digest)
) STRICT;

-- The latest time this gateway ever acted at: a clock that goes back is noticed.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    high_water INTEGER NOT NULL
) STRICT;
INSERT INTO clock (id, high_water) VALUES (1, 0);

-- Who froze, thawed, re-anchored or retried what, when and why, with the artefacts. Never updated, never deleted.
CREATE TABLE operator_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    act TEXT NOT NULL,
    subject TEXT NOT NULL,
    why TEXT NOT NULL,
    artefacts TEXT
) STRICT;
CREATE TRIGGER operator_log_is_kept_unchanged BEFORE UPDATE ON operator_log
    BEGIN SELECT RAISE(ABORT, 'the operator log is append-only'); END;
CREATE TRIGGER operator_log_is_kept_whole BEFORE DELETE ON operator_log
    BEGIN SELECT RAISE(ABORT, 'the operator log is append-only'); END;

PRAGMA user_version = 1;
