-- Certificates, their material, the orders that count for budgets, issuers with accounts, DNS providers.
-- Columns named `sealed_...` hold what only the master key opens; the key is not in this file.

CREATE TABLE certificates (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    names      TEXT NOT NULL CHECK (json_valid(names)),
    source     TEXT NOT NULL,
    is_wanted  INTEGER NOT NULL CHECK (is_wanted IN (0, 1)),
    revision   INTEGER NOT NULL CHECK (revision >= 1),
    current    TEXT CHECK (current IS NULL OR json_valid(current)),
    state      TEXT NOT NULL CHECK (json_valid(state)),
    record     TEXT NOT NULL CHECK (json_valid(record)),
    created_at INTEGER NOT NULL,
    UNIQUE (source, names)
) STRICT;

-- Chain and key, by the digest of both. The key of a challenge's certificate is here too, for as long as its order is open.
CREATE TABLE materials (
    digest      TEXT PRIMARY KEY CHECK (length(digest) = 64),
    certificate INTEGER NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
    is_served   INTEGER NOT NULL CHECK (is_served IN (0, 1)),
    chain       TEXT NOT NULL,
    sealed_key  BLOB NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX materials_by_certificate ON materials (certificate);

-- No reference to certificates: what was ordered counts for the budget when the row is gone.
CREATE TABLE orders (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    certificate INTEGER NOT NULL,
    issuer      TEXT NOT NULL,
    stage       TEXT NOT NULL,
    names       TEXT NOT NULL CHECK (json_valid(names)),
    is_renewal  INTEGER NOT NULL CHECK (is_renewal IN (0, 1)),
    is_retry    INTEGER NOT NULL CHECK (is_retry IN (0, 1)),
    placed_at   INTEGER NOT NULL,
    ending      TEXT CHECK (ending IS NULL OR json_valid(ending)),
    sealed_key  BLOB
) STRICT;
CREATE INDEX orders_by_time ON orders (placed_at);

CREATE TABLE issuers (
    name       TEXT PRIMARY KEY,
    rank       INTEGER NOT NULL,
    content    TEXT NOT NULL CHECK (json_valid(content)),
    sealed_eab BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    issuer     TEXT NOT NULL REFERENCES issuers (name) ON DELETE CASCADE,
    stage      TEXT NOT NULL,
    url        TEXT,
    sealed_key BLOB NOT NULL,
    PRIMARY KEY (issuer, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE dns_providers (
    zone          TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    sealed_fields BLOB NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
