import assert from "node:assert/strict";
import { test } from "node:test";
import { migrations, pendingMigrations } from "./migrations.js";

test("only what is missing runs, in order; ids of a newer release are left alone", () => {
  const all = [{ id: "1", sql: "" }, { id: "2", sql: "" }, { id: "3", sql: "" }];
  assert.deepEqual(pendingMigrations(all, new Set(["2", "9"])).map(({ id }) => id), ["1", "3"]);
  assert.deepEqual(pendingMigrations(all, new Set(["1", "2", "3"])), []);
});

test("ids are unique and ascending", () => {
  const ids = migrations.map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)].sort());
});
