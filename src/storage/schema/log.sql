-- The log: what was recorded, in commit order. Only inserts, and the two changes the triggers at the end allow.

CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id  BLOB NOT NULL CHECK (length(id) = 16)
) STRICT;

-- Words that repeat, written once.
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE boots (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE nodes (id INTEGER PRIMARY KEY, node BLOB NOT NULL UNIQUE CHECK (length(node) = 16)) STRICT;
CREATE TABLE principals (
    id  INTEGER PRIMARY KEY,
    who TEXT NOT NULL,
    how TEXT NOT NULL,
    UNIQUE (who, how)
) STRICT;

-- Old bodies, packed together.
CREATE TABLE segments (
    id     INTEGER PRIMARY KEY,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL CHECK (last >= first),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    data   BLOB NOT NULL
) STRICT;

CREATE TABLE events (
    position         INTEGER PRIMARY KEY CHECK (position > 0),
    stream           INTEGER NOT NULL REFERENCES streams,
    version          INTEGER NOT NULL CHECK (version > 0),
    kind             INTEGER NOT NULL REFERENCES kinds,
    schema           INTEGER NOT NULL,
    recorded_at      INTEGER NOT NULL,           -- microseconds since 1970 UTC, never earlier than the event before
    wall_clock       INTEGER NOT NULL,           -- what the clock said, even if it lied
    boot             INTEGER NOT NULL REFERENCES boots,
    principal        INTEGER NOT NULL REFERENCES principals,
    operation        BLOB NOT NULL CHECK (length(operation) = 16),
    cause_stream     INTEGER REFERENCES streams,
    cause_version    INTEGER,
    node             INTEGER NOT NULL REFERENCES nodes,
    body_salt        BLOB NOT NULL CHECK (length(body_salt) = 16),
    body             BLOB,                       -- NULL once archived
    segment          INTEGER REFERENCES segments,
    body_commitment  BLOB,                       -- only once archived; before, it follows from salt and body
    annex            BLOB,                       -- salt, then bytes; NULL if there was none or it is redacted
    annex_commitment BLOB,                       -- NULL if there never was one
    leaf             BLOB NOT NULL CHECK (length(leaf) = 32),
    UNIQUE (stream, version)
) STRICT;

-- One row per commit with an idempotency key, in commit order.
CREATE TABLE commits (
    first        INTEGER PRIMARY KEY,
    last         INTEGER NOT NULL,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 32),
    key          TEXT NOT NULL
) STRICT;

-- Signed roots. The frontier lets the writer continue the tree without reading all leaves.
CREATE TABLE checkpoints (
    size      INTEGER PRIMARY KEY,
    root      BLOB NOT NULL CHECK (length(root) = 32),
    sealed_at INTEGER NOT NULL,
    note      TEXT NOT NULL,
    frontier  BLOB NOT NULL
) STRICT;

-- Disposable: states, so that recovery reads only the tail.
CREATE TABLE snapshots (
    stream       INTEGER PRIMARY KEY REFERENCES streams,
    version      INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    state_schema INTEGER NOT NULL,
    state        BLOB NOT NULL
) STRICT;

-- Disposable: how far each projection has come.
CREATE TABLE projections (
    name     TEXT PRIMARY KEY,
    version  INTEGER NOT NULL,
    position INTEGER NOT NULL,
    error    TEXT,                               -- set: parked after this position
    rows     INTEGER NOT NULL                    -- how many its table has
) STRICT;

CREATE TRIGGER events_insert BEFORE INSERT ON events
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events)
    OR NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = NEW.stream)
    OR NEW.segment IS NOT NULL OR NEW.body IS NULL
BEGIN SELECT raise(ABORT, 'the log is append-only: an event comes right after the last one'); END;

CREATE TRIGGER events_update BEFORE UPDATE ON events
WHEN NOT (
    NEW.position IS OLD.position AND NEW.stream IS OLD.stream AND NEW.version IS OLD.version
    AND NEW.kind IS OLD.kind AND NEW.schema IS OLD.schema AND NEW.recorded_at IS OLD.recorded_at
    AND NEW.wall_clock IS OLD.wall_clock AND NEW.boot IS OLD.boot AND NEW.principal IS OLD.principal
    AND NEW.operation IS OLD.operation AND NEW.cause_stream IS OLD.cause_stream
    AND NEW.cause_version IS OLD.cause_version AND NEW.node IS OLD.node AND NEW.body_salt IS OLD.body_salt
    AND NEW.annex_commitment IS OLD.annex_commitment AND NEW.leaf IS OLD.leaf
    AND (NEW.annex IS OLD.annex OR NEW.annex IS NULL)
    AND ((NEW.body IS OLD.body AND NEW.segment IS OLD.segment AND NEW.body_commitment IS OLD.body_commitment)
        OR (OLD.segment IS NULL AND NEW.segment IS NOT NULL AND NEW.body IS NULL
            AND length(NEW.body_commitment) = 32))
)
BEGIN SELECT raise(ABORT, 'the log is append-only: only an annex can be redacted and a body archived'); END;

CREATE TRIGGER events_delete BEFORE DELETE ON events
BEGIN SELECT raise(ABORT, 'the log is append-only: no event is deleted'); END;

CREATE TRIGGER streams_update BEFORE UPDATE ON streams
BEGIN SELECT raise(ABORT, 'the log is append-only: no stream is renamed'); END;
CREATE TRIGGER streams_delete BEFORE DELETE ON streams
BEGIN SELECT raise(ABORT, 'the log is append-only: no stream is deleted'); END;
CREATE TRIGGER kinds_update BEFORE UPDATE ON kinds
BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER principals_update BEFORE UPDATE ON principals
BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER boots_update BEFORE UPDATE ON boots
BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER nodes_update BEFORE UPDATE ON nodes
BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER log_update BEFORE UPDATE ON log
BEGIN SELECT raise(ABORT, 'the log is append-only'); END;
CREATE TRIGGER checkpoints_update BEFORE UPDATE ON checkpoints
BEGIN SELECT raise(ABORT, 'a checkpoint is never changed'); END;
CREATE TRIGGER checkpoints_delete BEFORE DELETE ON checkpoints
BEGIN SELECT raise(ABORT, 'a checkpoint is never deleted'); END;
CREATE TRIGGER segments_update BEFORE UPDATE ON segments
BEGIN SELECT raise(ABORT, 'a segment is never changed'); END;
CREATE TRIGGER segments_delete BEFORE DELETE ON segments
BEGIN SELECT raise(ABORT, 'a segment is never deleted'); END;
