-- Swaps of the names of databases, upgrades among them, and ways from elsewhere into databases.

CREATE TABLE swaps (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Without foreign keys: a swap is told of after its databases are gone.
    environment      INTEGER NOT NULL,
    project          TEXT NOT NULL,
    environment_name TEXT NOT NULL,
    front            INTEGER NOT NULL,
    -- An upgrade has none before it was restored.
    back             INTEGER,
    names            TEXT NOT NULL CHECK (json_valid(names)),
    wish             TEXT NOT NULL CHECK (json_valid(wish)),
    state            TEXT NOT NULL CHECK (json_valid(state)),
    is_open          INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    created_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX swaps_of_environment ON swaps (environment, id);

-- A database has one swap under way at most, whichever side it is on.
CREATE UNIQUE INDEX swaps_front ON swaps (front) WHERE is_open = 1;
CREATE UNIQUE INDEX swaps_back ON swaps (back) WHERE is_open = 1;

-- Those that are not over: the password of each is known to whoever opened it, and to nobody else.
CREATE TABLE tunnels (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    database    INTEGER NOT NULL,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- Number of the task of the database it leads to.
    task        INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
