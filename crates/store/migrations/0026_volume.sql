-- Restores of volumes of services, and tasks that are paused while a volume of theirs is read.

CREATE TABLE volume_restores (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    what_key     TEXT NOT NULL,
    -- Without foreign keys: a restore is told of after its service is gone.
    service      INTEGER NOT NULL,
    project      TEXT NOT NULL,
    environment  TEXT NOT NULL,
    service_name TEXT NOT NULL,
    source       TEXT NOT NULL,
    -- The new volume. It goes with its service, so the row of one that is there stays until then.
    volume       TEXT NOT NULL,
    target       TEXT NOT NULL,
    manifest     TEXT NOT NULL CHECK (json_valid(manifest)),
    state        TEXT NOT NULL CHECK (json_valid(state)),
    state_name   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    ended_at     INTEGER
) STRICT;
CREATE INDEX volume_restores_by_what ON volume_restores (what_key, id);
CREATE INDEX volume_restores_by_service ON volume_restores (service, volume);

-- Written before a task is paused, so that whatever happens somebody lets it go on.
CREATE TABLE volume_pauses (
    container TEXT PRIMARY KEY,
    service   INTEGER NOT NULL,
    -- Absent for a task that was begun by hand.
    task      INTEGER,
    -- The run that reads.
    run       INTEGER NOT NULL,
    since     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
