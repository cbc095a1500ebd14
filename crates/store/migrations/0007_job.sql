-- Jobs of live releases: how far each schedule has been dealt with, and the runs.

CREATE TABLE jobs (
    service INTEGER NOT NULL REFERENCES services (id),
    name    TEXT NOT NULL,
    -- Schedule and time zone the instant belongs to.
    timing  TEXT NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (service, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_runs (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    service          INTEGER NOT NULL REFERENCES services (id),
    job              TEXT NOT NULL,
    release          INTEGER NOT NULL,
    origin           TEXT NOT NULL CHECK (origin IN ('schedule', 'hand')),
    planned_at       INTEGER NOT NULL,
    missed           INTEGER NOT NULL CHECK (missed >= 0),
    attempt          INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    started_at       INTEGER,
    state            TEXT NOT NULL CHECK (json_valid(state)),
    is_open          INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    is_skipped       INTEGER NOT NULL CHECK (is_skipped IN (0, 1)),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    created_at       INTEGER NOT NULL,
    FOREIGN KEY (service, release) REFERENCES releases (service, id)
) STRICT;
-- An instant of a schedule has one run at most, and a job has one open run at most, whatever a loop thinks.
CREATE UNIQUE INDEX job_runs_planned ON job_runs (service, job, planned_at) WHERE origin = 'schedule';
CREATE UNIQUE INDEX job_runs_open ON job_runs (service, job) WHERE is_open = 1;
CREATE INDEX job_runs_by_job ON job_runs (service, job, id);
