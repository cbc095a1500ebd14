-- Restores of snapshots into new databases, and drills: restores that are tried and thrown away.

-- By names, not by rows: what was saved may be gone, and that it came back stays known.
CREATE TABLE restores (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What was saved, as in `backup_runs`.
    what_key    TEXT NOT NULL,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    source      TEXT NOT NULL,
    -- The new database.
    name        TEXT NOT NULL,
    database    INTEGER NOT NULL,
    target      TEXT NOT NULL,
    manifest    TEXT NOT NULL CHECK (json_valid(manifest)),
    state       TEXT NOT NULL CHECK (json_valid(state)),
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
CREATE INDEX restores_by_what ON restores (what_key, id);
-- One restore into each database, ever.
CREATE UNIQUE INDEX restores_by_database ON restores (database);

CREATE TABLE drills (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    what_key       TEXT NOT NULL,
    environment_id INTEGER NOT NULL,
    project        TEXT NOT NULL,
    environment    TEXT NOT NULL,
    database       TEXT NOT NULL,
    target         TEXT NOT NULL,
    manifest       TEXT NOT NULL CHECK (json_valid(manifest)),
    -- The server it is restored into.
    spec           TEXT NOT NULL CHECK (json_valid(spec)),
    image          TEXT CHECK (json_valid(image)),
    -- What users want to be true of the copy.
    assertions     TEXT NOT NULL CHECK (json_valid(assertions)),
    is_scheduled   INTEGER NOT NULL CHECK (is_scheduled IN (0, 1)),
    state          TEXT NOT NULL CHECK (json_valid(state)),
    -- What came of it, as one text, and HMAC-SHA256 of that text under a key of the installation.
    report         TEXT,
    signature      TEXT,
    created_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    CHECK ((ended_at IS NULL) = (report IS NULL)),
    CHECK ((report IS NULL) = (signature IS NULL))
) STRICT;
CREATE INDEX drills_by_what ON drills (what_key, id);
-- One drill of each thing at a time.
CREATE UNIQUE INDEX drills_open ON drills (what_key) WHERE ended_at IS NULL;
