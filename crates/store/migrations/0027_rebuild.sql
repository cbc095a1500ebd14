-- A store that came back on another server, and databases whose data went with the old one.

CREATE TABLE recoveries (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The name by which it claims repositories.
    owner        TEXT NOT NULL UNIQUE,
    snapshot     TEXT NOT NULL,
    -- Of when it is.
    saved_at     INTEGER NOT NULL,
    recovered_at INTEGER NOT NULL
) STRICT;

-- By name, not by row: while its backup comes back it is another row.
CREATE TABLE lost_databases (
    environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    since       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL CHECK (attempts >= 0),
    tried_at    INTEGER,
    is_given_up INTEGER NOT NULL CHECK (is_given_up IN (0, 1)),
    -- Names of its roles: they may own what is in its backups.
    roles       TEXT NOT NULL CHECK (json_valid(roles)),
    PRIMARY KEY (environment, name)
) STRICT, WITHOUT ROWID;
