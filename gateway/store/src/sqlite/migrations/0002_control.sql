-- Who can change the code that made the item, beside its assurance.

-- Records that are here already came from code that nothing pinned.
ALTER TABLE record ADD COLUMN control TEXT NOT NULL DEFAULT 'issuer-controlled';

PRAGMA user_version = 2;
