// The whole application over HTTP, with drops in memory.
import "reflect-metadata";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createApp } from "./app.js";

test("health, version and drops answer over HTTP", async (t) => {
  const app = await createApp({ port: 0, databaseUrl: undefined, version: "1.2.3", release: "r7", commit: "abc" });
  t.after(() => app.close());
  await app.listen(0, "127.0.0.1");
  const origin = await app.getUrl();
  const get = async (path: string) => {
    const answer = await fetch(origin + path);
    return [answer.status, await answer.json()] as const;
  };
  const post = (body: unknown) =>
    fetch(`${origin}/api/drops`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  assert.deepEqual(await get("/api/health"), [200, { status: "ok", db: "off" }]);
  assert.deepEqual(await get("/api/version"), [200, { version: "1.2.3", release: "r7", commit: "abc" }]);

  const created = await post({ title: "hello", text: "world" });
  assert.equal(created.status, 201);
  const drop = (await created.json()) as { id: string; createdAt: string };
  assert.deepEqual(drop, { id: drop.id, title: "hello", text: "world", createdAt: drop.createdAt });
  assert.deepEqual(await get("/api/drops"), [200, [drop]]);
  assert.deepEqual(await get(`/api/drops/${drop.id}`), [200, drop]);

  assert.equal((await get("/api/drops/aaaaaaaaaaaa"))[0], 404);
  assert.equal((await post({ title: "" })).status, 400);
});
