-- One key for each project, which seals its secrets; sealed by the master key.
CREATE TABLE data_keys (
    project    TEXT PRIMARY KEY,
    sealed_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many versions each secret has had: a version is never given twice, also not after a secret was removed.
CREATE TABLE secret_names (
    project  TEXT NOT NULL,
    name     TEXT NOT NULL,
    versions INTEGER NOT NULL CHECK (versions >= 1),
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

-- Values, sealed by the data key of the project. By names, not by rows: a value is set before there is an environment.
CREATE TABLE secrets (
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    -- Empty: for every environment that has no value of its own.
    environment  TEXT NOT NULL,
    sealed_value BLOB NOT NULL,
    set_at       INTEGER NOT NULL,
    set_by       TEXT NOT NULL CHECK (json_valid(set_by)),
    PRIMARY KEY (project, name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_by_environment ON secrets (project, environment, name, version);

-- Which values a release starts with.
CREATE TABLE release_secrets (
    release INTEGER NOT NULL REFERENCES releases (id),
    name    TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    PRIMARY KEY (release, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX release_secrets_by_name ON release_secrets (name, version);

-- SHA-256 over the hash of the event before and this one, so that a changed or removed row shows. Events written before have none.
ALTER TABLE events ADD COLUMN hash BLOB CHECK (hash IS NULL OR length(hash) = 32);
