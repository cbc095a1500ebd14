-- Restores to any second: where base backups lie in the WAL, which stretches of it repositories have, and what waits on disks of databases.

-- What is known of a run that made a base backup, beyond its manifest.
CREATE TABLE base_backups (
    run       INTEGER PRIMARY KEY REFERENCES backup_runs (id) ON DELETE CASCADE,
    -- The row of the database, which may be gone: one that has its name later is another one.
    database  INTEGER NOT NULL,
    timeline  INTEGER NOT NULL CHECK (timeline > 0),
    -- The WAL its files need, and where they are whole.
    start_lsn INTEGER NOT NULL CHECK (start_lsn >= 0),
    stop_lsn  INTEGER NOT NULL CHECK (stop_lsn >= start_lsn),
    -- Nothing of before this instant can be brought back with it.
    whole_at  INTEGER NOT NULL
) STRICT;

-- Segments without a gap in one snapshot.
CREATE TABLE wal_stretches (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The database, as in `backup_runs`, and its row.
    what_key   TEXT NOT NULL,
    database   INTEGER NOT NULL,
    target     TEXT NOT NULL REFERENCES backup_targets (name) ON DELETE CASCADE,
    timeline   INTEGER NOT NULL CHECK (timeline > 0),
    first      INTEGER NOT NULL CHECK (first >= 0),
    last       INTEGER NOT NULL CHECK (last >= first),
    -- Everything that was committed before this instant lies in it or before it.
    until      INTEGER,
    snapshot   TEXT NOT NULL,
    content    TEXT NOT NULL CHECK (json_valid(content)),
    created_at INTEGER NOT NULL,
    -- Since when its snapshot is of no use; it goes, and then the row.
    let_go_at  INTEGER
) STRICT;
CREATE INDEX wal_stretches_by_database ON wal_stretches (database, target, timeline, last);
CREATE INDEX wal_stretches_by_what ON wal_stretches (what_key, last);

-- What was told last of the WAL that waits for targets.
CREATE TABLE wal_spools (
    database     INTEGER PRIMARY KEY,
    -- Segments.
    waiting      INTEGER NOT NULL CHECK (waiting >= 0),
    -- What is wrong, by its name and for people.
    trouble_name TEXT,
    trouble      TEXT,
    looked_at    INTEGER NOT NULL,
    CHECK ((trouble_name IS NULL) = (trouble IS NULL))
) STRICT;

-- How a restore comes to its second; absent where a dump comes back.
ALTER TABLE restores ADD COLUMN recovery TEXT CHECK (json_valid(recovery));
