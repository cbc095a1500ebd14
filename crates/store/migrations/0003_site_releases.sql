-- Releases of sites that stopped being live a short while ago, and those whose files are gone.
CREATE TABLE site_releases (
    release    INTEGER PRIMARY KEY REFERENCES releases (id),
    left_at    INTEGER,
    removed_at INTEGER,
    CHECK (left_at IS NOT NULL OR removed_at IS NOT NULL)
) STRICT;
