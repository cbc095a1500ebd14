-- Managed databases, and the roles services use them with.

CREATE TABLE databases (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    environment      INTEGER NOT NULL REFERENCES environments (id),
    name             TEXT NOT NULL,
    spec             TEXT NOT NULL CHECK (json_valid(spec)),
    revision         INTEGER NOT NULL CHECK (revision > 0),
    -- The revision its present task was started for.
    started_revision INTEGER NOT NULL CHECK (started_revision > 0),
    -- Number of its present task: each is a container of its own.
    task             INTEGER NOT NULL CHECK (task > 0),
    -- What that runs; absent until it is known.
    image            TEXT CHECK (json_valid(image)),
    ready_at         INTEGER,
    state            TEXT NOT NULL CHECK (json_valid(state)),
    -- The superuser's.
    sealed_password  BLOB NOT NULL,
    created_at       INTEGER NOT NULL,
    UNIQUE (environment, name)
) STRICT;

CREATE TABLE database_roles (
    database        INTEGER NOT NULL REFERENCES databases (id),
    name            TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (json_valid(state)),
    sealed_password BLOB NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (database, name)
) STRICT, WITHOUT ROWID;
