import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "./config.js";

test("an empty environment gives the defaults, and empty variables count as absent", () => {
  const expected = { port: 3000, databaseUrl: undefined, version: "1.0.0", release: "unreleased", commit: "unknown" };
  assert.deepEqual(readConfig({}, "1.0.0"), expected);
  assert.deepEqual(readConfig({ PORT: "", DATABASE_URL: "", APP_VERSION: "", HAVRE_RELEASE: "", SOURCE_COMMIT: "" }, "1.0.0"), expected);
});

test("what Havre sets is taken over", () => {
  assert.deepEqual(
    readConfig({ PORT: "8080", DATABASE_URL: "postgres://db/a", APP_VERSION: "2.0.0", HAVRE_RELEASE: "r7", SOURCE_COMMIT: "abc" }, "1.0.0"),
    { port: 8080, databaseUrl: "postgres://db/a", version: "2.0.0", release: "r7", commit: "abc" },
  );
});

test("a port that is none is refused", () => {
  for (const PORT of ["http", "-1", "65536", "80.5"]) assert.throws(() => readConfig({ PORT }, "1"), /PORT must be a port number/);
});
