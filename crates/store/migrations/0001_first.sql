-- The first schema. Never edit a migration that was released: its checksum is recorded in every store.
-- AUTOINCREMENT everywhere an id has a meaning outside its row: such ids are never used twice.

CREATE TABLE installation (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    name         TEXT NOT NULL CHECK (name <> ''),
    probe_key    TEXT NOT NULL CHECK (probe_key <> ''),
    last_address TEXT
) STRICT;

CREATE TABLE projects (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE environments (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects (id),
    name    TEXT NOT NULL,
    subnet  TEXT NOT NULL UNIQUE,
    UNIQUE (project, name)
) STRICT;

CREATE TABLE services (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    environment     INTEGER NOT NULL REFERENCES environments (id),
    name            TEXT NOT NULL,
    spec            TEXT NOT NULL CHECK (json_valid(spec)),
    revision        INTEGER NOT NULL CHECK (revision >= 1),
    replicas        INTEGER NOT NULL CHECK (replicas >= 0),
    live            INTEGER,
    destroyed_at    INTEGER,
    failures        INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    last_failure_at INTEGER,
    UNIQUE (environment, name),
    FOREIGN KEY (id, live) REFERENCES releases (service, id),
    CHECK ((failures = 0) = (last_failure_at IS NULL))
) STRICT;

-- One owner for each public address, whatever the specifications say.
CREATE TABLE routes (
    host    TEXT NOT NULL,
    path    TEXT NOT NULL,
    service INTEGER NOT NULL REFERENCES services (id),
    PRIMARY KEY (host, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX routes_by_service ON routes (service);

CREATE TABLE builds (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    service    INTEGER NOT NULL REFERENCES services (id),
    spec       TEXT NOT NULL CHECK (json_valid(spec)),
    revision   INTEGER NOT NULL,
    source     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (json_valid(state)),
    is_open    INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    created_at INTEGER NOT NULL,
    UNIQUE (service, id)
) STRICT;
CREATE INDEX builds_open ON builds (id) WHERE is_open = 1;

CREATE TABLE releases (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    service    INTEGER NOT NULL REFERENCES services (id),
    artifact   TEXT NOT NULL CHECK (json_valid(artifact)),
    spec       TEXT NOT NULL CHECK (json_valid(spec)),
    revision   INTEGER NOT NULL,
    build      INTEGER,
    source     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (service, id),
    FOREIGN KEY (service, build) REFERENCES builds (service, id)
) STRICT;

CREATE TABLE deployments (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    service          INTEGER NOT NULL REFERENCES services (id),
    release          INTEGER NOT NULL,
    previous         INTEGER,
    kind             TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (json_valid(state)),
    is_open          INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    -- The live release and the number of tasks have been changed for it; `replicas_before` only if it changed them.
    went_live        INTEGER NOT NULL DEFAULT 0 CHECK (went_live IN (0, 1)),
    replicas_before  INTEGER,
    created_at       INTEGER NOT NULL,
    FOREIGN KEY (service, release) REFERENCES releases (service, id),
    FOREIGN KEY (service, previous) REFERENCES releases (service, id)
) STRICT;
CREATE INDEX deployments_by_service ON deployments (service, id);
CREATE INDEX deployments_open ON deployments (id) WHERE is_open = 1;

CREATE TABLE tasks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    service         INTEGER NOT NULL REFERENCES services (id),
    release         INTEGER NOT NULL,
    slot            INTEGER NOT NULL CHECK (slot >= 0),
    address         TEXT UNIQUE,
    wanted          TEXT NOT NULL CHECK (json_valid(wanted)),
    is_run          INTEGER NOT NULL CHECK (is_run IN (0, 1)),
    proven_at       INTEGER,
    unhealthy_since INTEGER,
    -- Its end has been recorded, so that recording it again counts no second failure.
    has_exited      INTEGER NOT NULL DEFAULT 0 CHECK (has_exited IN (0, 1)),
    created_at      INTEGER NOT NULL,
    FOREIGN KEY (service, release) REFERENCES releases (service, id)
) STRICT;
CREATE INDEX tasks_by_service ON tasks (service, id);

-- What each item of a loop plans and waits for, for people.
CREATE TABLE waiting (
    room TEXT NOT NULL,
    id   INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE route_table (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    content    TEXT NOT NULL CHECK (json_valid(content))
) STRICT;

-- No reference to services: events outlive what they tell of.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL CHECK (json_valid(actor)),
    service INTEGER,
    cause   INTEGER,
    kind    TEXT NOT NULL CHECK (json_valid(kind))
) STRICT;
CREATE INDEX events_by_service ON events (service, seq);

CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
