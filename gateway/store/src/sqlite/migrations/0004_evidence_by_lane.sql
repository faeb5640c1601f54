-- Evidence by lane: what one lane's definition asks of a block (receipts, proofs of code, proofs of slots) another's does
-- not, and one must not take the other's place.
CREATE TABLE evidence_by_lane (
    id INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL REFERENCES lane (id),
    height INTEGER NOT NULL,
    hash BLOB NOT NULL,
    proved INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (lane, height, hash)
) STRICT;

-- Of held leaves it is asked for again.
INSERT INTO evidence_by_lane (lane, height, hash, proved, bytes)
    SELECT DISTINCT r.lane, e.height, e.hash, e.proved, e.bytes FROM evidence e
    JOIN record r ON r.ledger = e.ledger AND r.height = e.height AND r.block_hash = e.hash;
DROP TABLE evidence;
ALTER TABLE evidence_by_lane RENAME TO evidence;

PRAGMA user_version = 4;
