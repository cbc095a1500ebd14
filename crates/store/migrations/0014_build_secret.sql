-- Secrets that steps of builds may mount.
CREATE TABLE build_secrets (
    project      TEXT NOT NULL,
    name         TEXT NOT NULL,
    sealed_value BLOB NOT NULL,
    -- When the value was last set.
    set_at       INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
