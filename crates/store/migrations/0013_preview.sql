-- Pull requests with an environment of their own. By names, not by rows: a preview may fail before there is an environment.
CREATE TABLE previews (
    project     TEXT NOT NULL,
    number      INTEGER NOT NULL CHECK (number > 0),
    commit_id   TEXT NOT NULL,
    branch      TEXT NOT NULL,
    base        TEXT NOT NULL,
    -- The commit of the base branch whose `[previews]` counts.
    base_id     TEXT NOT NULL,
    is_fork     INTEGER NOT NULL CHECK (is_fork IN (0, 1)),
    state       TEXT NOT NULL CHECK (json_valid(state)),
    is_closed   INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
    pushed_at   INTEGER NOT NULL,
    ttl_ms      INTEGER NOT NULL CHECK (ttl_ms > 0),
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX previews_not_closed ON previews (project, number) WHERE is_closed = 0;

-- What was announced of a pull request; one row for each, the newest wish counts. Kept with what was decided until the next one.
CREATE TABLE preview_wishes (
    project  TEXT NOT NULL,
    number   INTEGER NOT NULL CHECK (number > 0),
    head     TEXT,
    branch   TEXT NOT NULL,
    base     TEXT NOT NULL,
    head_at  TEXT NOT NULL CHECK (json_valid(head_at)),
    is_fork  INTEGER NOT NULL CHECK (is_fork IN (0, 1)),
    asked_by TEXT NOT NULL CHECK (json_valid(asked_by)),
    asked_at INTEGER NOT NULL,
    tries    INTEGER NOT NULL CHECK (tries >= 0),
    next_at  INTEGER NOT NULL,
    verdict  TEXT CHECK (verdict IS NULL OR json_valid(verdict)),
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX preview_wishes_open ON preview_wishes (next_at) WHERE verdict IS NULL;
