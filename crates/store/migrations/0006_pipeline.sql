-- Runs from a pushed commit to what users get. By names, not by rows: a run may fail before there is an environment.
CREATE TABLE pipelines (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    reference   TEXT NOT NULL,
    commit_id   TEXT NOT NULL,
    subject     TEXT NOT NULL,
    author      TEXT NOT NULL,
    cause       TEXT NOT NULL CHECK (json_valid(cause)),
    state       TEXT NOT NULL CHECK (json_valid(state)),
    is_open     INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX pipelines_open ON pipelines (id) WHERE is_open = 1;
CREATE INDEX pipelines_by_project ON pipelines (project, id);

-- Branches and tags of the repositories served here: where each was last seen, and what was decided about that.
CREATE TABLE refs (
    project   TEXT NOT NULL,
    reference TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    pushed_by TEXT NOT NULL CHECK (json_valid(pushed_by)),
    pushed_at INTEGER NOT NULL,
    -- The commit the verdict is about; another one than `commit_id` until it has been looked at.
    judged_id TEXT,
    verdict   TEXT CHECK (verdict IS NULL OR json_valid(verdict)),
    PRIMARY KEY (project, reference)
) STRICT, WITHOUT ROWID;

ALTER TABLE builds ADD COLUMN pipeline INTEGER;
CREATE INDEX builds_by_pipeline ON builds (pipeline, id) WHERE pipeline IS NOT NULL;
