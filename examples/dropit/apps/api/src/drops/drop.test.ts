import assert from "node:assert/strict";
import { test } from "node:test";
import { type Drop, isDropId, LIST_LIMIT, MAX_TITLE, newDropId, parseNewDrop } from "./drop.js";
import { MemoryDropStore } from "./memory-drop-store.js";

test("a drop is taken with its title trimmed", () => {
  assert.deepEqual(parseNewDrop({ title: " hello ", text: " as it is\n" }), { drop: { title: "hello", text: " as it is\n" } });
});

test("every problem of a drop is named", () => {
  assert.deepEqual(parseNewDrop({ title: "x".repeat(MAX_TITLE + 1), text: "\0", colour: 1 }), {
    problems: ["title may have at most 120 characters", "text must not contain NUL characters", "colour is not known"],
  });
  assert.deepEqual(parseNewDrop({ title: " " }), {
    problems: ["title must be a text that is not empty", "text must be a text that is not empty"],
  });
  for (const body of [null, undefined, "text", []]) assert.deepEqual(parseNewDrop(body), { problems: ["the body must be a JSON object"] });
});

test("ids are told from other text", () => {
  assert.ok(isDropId(newDropId()));
  for (const text of ["", "short", "../../etc/pas", "twelve chars"]) assert.equal(isDropId(text), false);
});

test("memory: lists the newest first and forgets the oldest beyond its limit", async () => {
  const store = new MemoryDropStore();
  const drop = (n: number): Drop => ({ id: String(n), title: "t", text: "t", createdAt: "2026-01-01T00:00:00.000Z" });
  for (let n = 1; n <= 1001; n += 1) await store.create(drop(n));
  const ids = (await store.list()).map(({ id }) => id);
  assert.deepEqual([ids.length, ids[0], ids.at(-1)], [LIST_LIMIT, "1001", "952"]);
  assert.equal(await store.get("1"), undefined);
  assert.deepEqual(await store.get("2"), drop(2));
});
