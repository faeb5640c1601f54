-- What an event is: its place and its native bytes. Places can be shared (a storage slot's is drawn from a hash that can be
-- ground for), and whoever comes first at a place must not suppress another item there.

-- Digest of record_content.native; for records that are here already it is filled in by the step that runs this file.
ALTER TABLE record ADD COLUMN native_digest BLOB NOT NULL DEFAULT x'';
DROP INDEX record_by_event;
CREATE UNIQUE INDEX record_by_event ON record (ledger, height, tx, event, item, block_hash, native_digest)
    WHERE retraction IS NULL;

PRAGMA user_version = 5;
