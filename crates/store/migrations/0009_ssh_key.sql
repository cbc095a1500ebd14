-- Public keys by which people push over SSH.
CREATE TABLE ssh_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    -- The only project it may push to; absent where it may push to every one.
    project      TEXT,
    public_key   TEXT NOT NULL,
    fingerprint  TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

-- Branches that may be neither removed nor rewritten.
CREATE TABLE protected_branches (
    project TEXT NOT NULL,
    branch  TEXT NOT NULL,
    PRIMARY KEY (project, branch)
) STRICT, WITHOUT ROWID;

-- When each repository was last pushed to, and when it was last packed anew.
CREATE TABLE repositories (
    project       TEXT PRIMARY KEY,
    pushed_at     INTEGER NOT NULL,
    repacked_at INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO repositories (project, pushed_at) SELECT project, max(pushed_at) FROM refs GROUP BY project;
