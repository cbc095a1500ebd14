-- What a build is made for: an artifact, or the answer whether the tests of its service pass.
ALTER TABLE builds ADD COLUMN purpose TEXT NOT NULL DEFAULT '{"kind":"artifact"}' CHECK (json_valid(purpose));
-- When a build was at work, and what of it came from the cache.
ALTER TABLE builds ADD COLUMN report TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(report));

-- When a pipeline was on which stage, and the services it left as they are.
ALTER TABLE pipelines ADD COLUMN stages TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(stages));
ALTER TABLE pipelines ADD COLUMN untouched TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(untouched));
