-- Who keeps values of secrets outside of Havre. By names, not by rows: a provider is set before there is an environment.
CREATE TABLE secret_providers (
    project           TEXT NOT NULL,
    name              TEXT NOT NULL,
    -- Empty: for every environment that has no provider of that name.
    environment       TEXT NOT NULL,
    settings          TEXT NOT NULL CHECK (json_valid(settings)),
    sealed_credential BLOB,
    set_at            INTEGER NOT NULL,
    set_by            TEXT NOT NULL CHECK (json_valid(set_by)),
    PRIMARY KEY (project, name, environment)
) STRICT, WITHOUT ROWID;

-- Values of providers a release starts with, sealed by the data key of the project. They are fetched when it is first deployed.
CREATE TABLE release_values (
    release      INTEGER NOT NULL REFERENCES releases (id),
    reference    TEXT NOT NULL,
    -- As the provider says it; empty where it counts none.
    version      TEXT NOT NULL,
    sealed_value BLOB NOT NULL,
    fetched_at   INTEGER NOT NULL,
    PRIMARY KEY (release, reference)
) STRICT, WITHOUT ROWID;
