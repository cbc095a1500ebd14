-- Calls to CDNs that are still to be made: at most one for each site, of its newest switch.
CREATE TABLE purges (
    service INTEGER PRIMARY KEY REFERENCES services (id),
    release INTEGER NOT NULL REFERENCES releases (id),
    tries   INTEGER NOT NULL CHECK (tries >= 0),
    next_at INTEGER NOT NULL
) STRICT;
