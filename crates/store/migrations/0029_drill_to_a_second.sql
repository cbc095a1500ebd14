-- Drills of a base backup and the WAL behind it.

-- The second such a drill brings back, and how it comes to it; absent where a dump is loaded.
ALTER TABLE drills ADD COLUMN aim TEXT CHECK (json_valid(aim));
