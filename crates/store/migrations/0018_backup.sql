-- Places where backups go, and the runs that save something there.

CREATE TABLE backup_targets (
    name              TEXT PRIMARY KEY,
    location          TEXT NOT NULL CHECK (json_valid(location)),
    medium            TEXT NOT NULL,
    is_offsite        INTEGER NOT NULL CHECK (is_offsite IN (0, 1)),
    -- The id of its repository, once that was made.
    repository        TEXT,
    -- Of the repository. Without it nobody reads what lies there.
    sealed_password   BLOB NOT NULL,
    -- What proves who writes there; a folder needs none.
    sealed_credential BLOB,
    state             TEXT NOT NULL CHECK (json_valid(state)),
    kit_shown_at      INTEGER,
    created_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE backup_runs (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    what             TEXT NOT NULL CHECK (json_valid(what)),
    -- The same as one text, for searching.
    what_key         TEXT NOT NULL,
    target           TEXT NOT NULL REFERENCES backup_targets (name),
    state            TEXT NOT NULL CHECK (json_valid(state)),
    -- What people see of it: waiting, dumping, storing, verifying, good or failed.
    state_name       TEXT NOT NULL,
    is_open          INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    asked_by         TEXT NOT NULL CHECK (json_valid(asked_by)),
    created_at       INTEGER NOT NULL,
    begun_at         INTEGER,
    ended_at         INTEGER,
    produced_bytes   INTEGER NOT NULL DEFAULT 0 CHECK (produced_bytes >= 0),
    added_bytes      INTEGER NOT NULL DEFAULT 0 CHECK (added_bytes >= 0),
    snapshot         TEXT,
    manifest         TEXT CHECK (json_valid(manifest)),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    -- When its snapshot was removed by the policy.
    forgotten_at     INTEGER,
    CHECK ((ended_at IS NULL) = (is_open = 1))
) STRICT;
-- One run of each thing to each target, waiting or begun; and one writer to each target.
CREATE UNIQUE INDEX backup_runs_open ON backup_runs (what_key, target) WHERE is_open = 1;
CREATE UNIQUE INDEX backup_runs_writer ON backup_runs (target) WHERE is_open = 1 AND begun_at IS NOT NULL;
CREATE INDEX backup_runs_by_what ON backup_runs (what_key, target, begun_at);

-- Promises that were told to be broken, so that each change is told once.
CREATE TABLE backup_alarms (
    what     TEXT NOT NULL CHECK (json_valid(what)),
    what_key TEXT NOT NULL,
    target   TEXT NOT NULL REFERENCES backup_targets (name) ON DELETE CASCADE,
    since    INTEGER NOT NULL,
    PRIMARY KEY (what_key, target)
) STRICT, WITHOUT ROWID;

-- When the repository of a target was last pruned.
CREATE TABLE backup_prunes (
    target    TEXT PRIMARY KEY REFERENCES backup_targets (name) ON DELETE CASCADE,
    pruned_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
