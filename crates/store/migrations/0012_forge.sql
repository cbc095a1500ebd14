-- Whether and how the forge of a remote repository is told what became of its commits.
-- The forge somebody has named; absent where the host says it.
ALTER TABLE remotes ADD COLUMN forge TEXT;
ALTER TABLE remotes ADD COLUMN is_told INTEGER NOT NULL DEFAULT 1 CHECK (is_told IN (0, 1));
-- A token for this alone; absent where that of the repository serves.
ALTER TABLE remotes ADD COLUMN sealed_status_token BLOB;
-- The forge wants no call before.
ALTER TABLE remotes ADD COLUMN quiet_until INTEGER;

-- What forges were told of pipelines: a row for each pipeline that began while its project had a forge to tell.
CREATE TABLE statuses (
    pipeline INTEGER PRIMARY KEY REFERENCES pipelines (id) ON DELETE CASCADE,
    project  TEXT NOT NULL,
    -- What the forge was told last, and when.
    told     TEXT,
    told_at  INTEGER,
    -- What it could not be told since, how often that failed, and when it is tried again; without an instant it was given up.
    tried    TEXT,
    tries    INTEGER NOT NULL CHECK (tries >= 0),
    next_at  INTEGER,
    reason   TEXT,
    -- Whether something may still be to be told.
    is_open  INTEGER NOT NULL CHECK (is_open IN (0, 1))
) STRICT;
CREATE INDEX statuses_open ON statuses (pipeline) WHERE is_open = 1;
CREATE INDEX statuses_by_project ON statuses (project, pipeline);
