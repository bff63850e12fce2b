-- Disposable: where to look for an idempotency key. What is not in it yet is found by reading the newest commits.
CREATE TABLE IF NOT EXISTS key_index (
    fingerprint INTEGER NOT NULL,                -- the first eight bytes of the key's SHA-256
    first       INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS keys_indexed (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL                    -- every commit up to this one is in it
) STRICT;
