-- Copies into databases, and the secrets that masks depend on.

CREATE TABLE copies (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Without foreign keys: a copy is told of after its databases are gone.
    target           INTEGER NOT NULL,
    origin           TEXT NOT NULL CHECK (json_valid(origin)),
    project          TEXT NOT NULL,
    environment      TEXT NOT NULL,
    name             TEXT NOT NULL,
    wish             TEXT NOT NULL CHECK (json_valid(wish)),
    -- How often it was begun.
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    state            TEXT NOT NULL CHECK (json_valid(state)),
    is_open          INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    created_at       INTEGER NOT NULL
) STRICT;

-- Two never go into one database at once.
CREATE UNIQUE INDEX copies_open ON copies (target) WHERE is_open = 1;
CREATE INDEX copies_of_target ON copies (target, id);

CREATE TABLE salts (
    project     TEXT PRIMARY KEY,
    sealed_salt BLOB NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
