-- What proves to a registry who pulls.
CREATE TABLE registries (
    host            TEXT PRIMARY KEY,
    user            TEXT NOT NULL,
    sealed_password BLOB NOT NULL,
    set_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When a registry was last in use, when it was last asked how many pulls are left, and what it last said.
CREATE TABLE registry_limits (
    host      TEXT PRIMARY KEY,
    used_at   INTEGER NOT NULL,
    asked_at  INTEGER,
    read_at   INTEGER,
    remaining INTEGER CHECK (remaining >= 0),
    pulls     INTEGER CHECK (pulls > 0),
    window_ms INTEGER CHECK (window_ms > 0),
    CHECK ((read_at IS NULL) = (remaining IS NULL) AND (read_at IS NULL) = (pulls IS NULL) AND (read_at IS NULL) = (window_ms IS NULL))
) STRICT, WITHOUT ROWID;
