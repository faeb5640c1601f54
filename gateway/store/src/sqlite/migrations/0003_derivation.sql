-- How far a receiver has derived a lane's blocks by itself, as JSON. NULL: nothing yet.

ALTER TABLE lane ADD COLUMN derivation TEXT;

PRAGMA user_version = 3;
