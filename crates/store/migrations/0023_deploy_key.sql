-- Keys that the host of a remote repository may show over SSH: a list of pairs of a public key and its fingerprint; absent for every other
-- address.
ALTER TABLE remotes ADD COLUMN host_keys TEXT CHECK (host_keys IS NULL OR json_valid(host_keys));

-- Keys by which a remote repository is fetched over SSH: one, or two while the older one is replaced.
CREATE TABLE deploy_keys (
    project     TEXT NOT NULL,
    -- Counts up; the newest is offered first.
    number      INTEGER NOT NULL CHECK (number > 0),
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    sealed_key  BLOB NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
