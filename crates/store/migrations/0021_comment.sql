-- Whether the forge of a remote repository is told of previews, in a comment on each pull request.
ALTER TABLE remotes ADD COLUMN has_comments INTEGER NOT NULL DEFAULT 1 CHECK (has_comments IN (0, 1));

-- The comments: a row for each pull request whose preview was made or moved while its project had a forge to tell.
CREATE TABLE comments (
    project    TEXT NOT NULL,
    number     INTEGER NOT NULL CHECK (number > 0),
    -- Random; a part of the text at the forge, by which the comment is found where its number was lost.
    mark       TEXT NOT NULL,
    -- Its number at the forge; absent where it was not made yet, or is to be looked for.
    comment_id INTEGER,
    -- Digest of what it said last, and when that was.
    told       TEXT,
    told_at    INTEGER,
    -- Digest of what it could not say since, how often that failed, and when it is tried again; without an instant it was given up.
    tried      TEXT,
    tries      INTEGER NOT NULL CHECK (tries >= 0),
    next_at    INTEGER,
    reason     TEXT,
    -- Whether something may still be to be told.
    is_open    INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX comments_open ON comments (project, number) WHERE is_open = 1;

-- Of the pipelines of one environment, the newest.
CREATE INDEX pipelines_by_environment ON pipelines (project, environment, id);
