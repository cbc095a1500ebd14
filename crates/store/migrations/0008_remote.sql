-- Where the repository of a project is fetched from.
CREATE TABLE remotes (
    project      TEXT PRIMARY KEY,
    url          TEXT NOT NULL,
    sealed_token BLOB,
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may say that something was pushed there.
CREATE TABLE webhooks (
    project       TEXT NOT NULL,
    provider      TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    created_at    INTEGER NOT NULL,
    PRIMARY KEY (project, provider)
) STRICT, WITHOUT ROWID;

-- What was said already: by the sender's id, and by the digest of the body, which a forged id does not change.
CREATE TABLE deliveries (
    project     TEXT NOT NULL,
    provider    TEXT NOT NULL,
    delivery    TEXT NOT NULL,
    body        TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (project, provider, delivery)
) STRICT, WITHOUT ROWID;

-- What is to be fetched; one row for each branch or tag, the newest wish counts.
CREATE TABLE fetches (
    project   TEXT NOT NULL,
    reference TEXT NOT NULL,
    -- The commit that was announced; absent where the branch was removed.
    wanted    TEXT,
    asked_by  TEXT NOT NULL CHECK (json_valid(asked_by)),
    asked_at  INTEGER NOT NULL,
    tries     INTEGER NOT NULL CHECK (tries >= 0),
    next_at   INTEGER NOT NULL,
    PRIMARY KEY (project, reference)
) STRICT, WITHOUT ROWID;
