-- How much room what a release runs takes, once it was measured; and the release of another environment it was promoted
-- from. By name and id, not by row: it outlives both.
ALTER TABLE releases ADD COLUMN size_bytes INTEGER CHECK (size_bytes IS NULL OR size_bytes >= 0);
ALTER TABLE releases ADD COLUMN promoted_from TEXT CHECK (promoted_from IS NULL OR json_valid(promoted_from));
-- Base images of a build with the digests they were resolved to.
ALTER TABLE builds ADD COLUMN bases TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(bases));
