// Runs the behaviours as real processes and checks what the examples promise. `node --test`
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { connect, createServer } from "node:net";
import { request, Agent } from "node:http";
import { test } from "node:test";
import { decodeFrame, encodeFrame } from "./src/websocket.js";

async function launch(t, behaviour, env = {}, beforeListening = async () => {}) {
  const child = spawn(process.execPath, ["server.js", behaviour], {
    cwd: import.meta.dirname,
    env: { ...process.env, PORT: "0", HAVRE_RELEASE: "r7", APP_VERSION: "1.2.3", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const [[, port]] = await Promise.all([printed(child, /listening on 0\.0\.0\.0:(\d+)/), beforeListening(child)]);
  return { child, port: Number(port), origin: `http://127.0.0.1:${port}` };
}

// The match of `pattern` in what the child prints. Keeps reading afterwards, so that the child's pipe stays open.
function printed(child, pattern) {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
      const found = pattern.exec(text);
      if (found) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`exited with ${code} before it printed ${pattern}: ${text}`)));
  });
}

const exited = async (child) => (child.exitCode !== null ? child.exitCode : (await once(child, "exit"))[0]);

test("well-behaved tells its release and version, and is healthy", async (t) => {
  const { origin } = await launch(t, "well-behaved");
  const { task, service, ...rest } = await (await fetch(origin)).json();
  assert.equal(typeof task + typeof service, "stringstring");
  assert.deepEqual(rest, { release: "r7", version: "1.2.3" });
  assert.equal((await fetch(`${origin}/health`)).status, 200);
  assert.equal((await fetch(`${origin}/nowhere`)).status, 404);
});

test("well-behaved finishes the request in flight after SIGTERM, then exits 0, idle connections or not", async (t) => {
  const { child, origin, port } = await launch(t, "well-behaved");
  const idle = new Agent({ keepAlive: true });
  t.after(() => idle.destroy());
  const first = request({ port, path: "/", agent: idle }).end();
  (await once(first, "response"))[0].resume();
  const answer = await fetch(`${origin}/slow?ms=600&chunks=3`);
  child.kill("SIGTERM");
  assert.equal(await answer.text(), "1/3 r7\n2/3 r7\n3/3 r7\n");
  assert.equal(await exited(child), 0);
});

test("dies-at-once cuts the request in flight", async (t) => {
  const { child, origin } = await launch(t, "dies-at-once");
  const answer = await fetch(`${origin}/slow?ms=60000&chunks=60`);
  child.kill("SIGTERM");
  await assert.rejects(answer.text());
  assert.equal(await exited(child), 0);
});

test("never-healthy answers 503 and error-500 answers 500 on the health path", async (t) => {
  for (const [behaviour, status] of [["never-healthy", 503], ["error-500", 500]]) {
    const { origin } = await launch(t, behaviour);
    assert.equal((await fetch(`${origin}/health`)).status, status);
    assert.equal((await fetch(origin)).status, 200);
  }
});

test("slow-start refuses connections until its delay is over", async (t) => {
  const placeholder = createServer().listen(0, "127.0.0.1");
  await once(placeholder, "listening");
  const { port } = placeholder.address();
  placeholder.close();
  let refused = null;
  const { origin } = await launch(t, "slow-start", { PORT: String(port), START_DELAY_MS: "1500" }, async (child) => {
    await printed(child, /will listen in 1500 ms/);
    refused = await fetch(`http://127.0.0.1:${port}/health`).catch((error) => error.cause.code);
  });
  assert.equal(refused, "ECONNREFUSED");
  assert.equal((await fetch(`${origin}/health`)).status, 200);
});

test("accepts-never-answers reads and stays silent", async (t) => {
  const { port } = await launch(t, "accepts-never-answers");
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  let answered = false;
  socket.on("data", () => (answered = true));
  await once(socket, "connect");
  socket.write("GET /health HTTP/1.1\r\nhost: a\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual({ answered, open: socket.readyState }, { answered: false, open: "open" });
});

test("the release command prints two lines and exits 3", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["release.js"], { cwd: import.meta.dirname, encoding: "utf8" });
  assert.deepEqual([status, stdout.trim().split("\n").length, stderr.trim().split("\n").length], [3, 1, 1]);
});

test("an unknown behaviour is refused with the list of known ones", () => {
  const { status, stderr } = spawnSync(process.execPath, ["server.js", "nope"], { cwd: import.meta.dirname, encoding: "utf8" });
  assert.equal(status, 2);
  assert.match(stderr, /unknown behaviour "nope"; choose one of: well-behaved, /);
});

test("streams: an upload is counted and hashed, events are numbered and end", async (t) => {
  const { origin } = await launch(t, "streams");
  const body = Buffer.alloc(300_000, "x");
  const uploaded = await (await fetch(`${origin}/upload`, { method: "POST", body })).json();
  assert.deepEqual(uploaded, { bytes: 300_000, sha256: createHash("sha256").update(body).digest("hex"), release: "r7" });
  const stream = await fetch(`${origin}/events?count=1`);
  assert.equal(stream.headers.get("content-type"), "text/event-stream");
  assert.equal(await stream.text(), 'id: 1\nevent: tick\ndata: {"id":1,"release":"r7"}\n\n');
});

function maskFrame(frame) {
  const head = frame[1] === 126 ? 4 : frame[1] === 127 ? 10 : 2;
  const masked = Buffer.concat([frame.subarray(0, head), Buffer.from([1, 2, 3, 4]), frame.subarray(head)]);
  masked[1] |= 0x80;
  for (let i = 0; i < frame.length - head; i += 1) masked[head + 4 + i] ^= (i % 4) + 1;
  return masked;
}

test("streams: WebSocket echoes, answers pings and closes with 1001 on SIGTERM", async (t) => {
  const { child, port } = await launch(t, "streams");
  const req = request({
    port,
    path: "/ws?tick_ms=0",
    headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
  }).end();
  const [res, socket, head] = await once(req, "upgrade");
  assert.equal(res.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // the example of RFC 6455
  t.after(() => socket.destroy());
  let got = head;
  socket.on("data", (chunk) => (got = Buffer.concat([got, chunk])));
  const until = async (wanted) => {
    while (got.length < wanted.length) await once(socket, "data");
    assert.deepEqual(got, wanted);
    got = Buffer.alloc(0);
  };
  const long = Buffer.alloc(70_000, "z");
  socket.write(maskFrame(encodeFrame(1, Buffer.from("hello"))));
  await until(encodeFrame(1, Buffer.from("hello")));
  socket.write(maskFrame(encodeFrame(2, long)));
  await until(encodeFrame(2, long));
  const fragments = [encodeFrame(1, Buffer.from("one ")), encodeFrame(9, Buffer.from("p")), encodeFrame(0, Buffer.from("two"))];
  fragments[0][0] &= 0x7f;
  for (const fragment of fragments) socket.write(maskFrame(fragment));
  await until(Buffer.concat([encodeFrame(10, Buffer.from("p")), encodeFrame(1, Buffer.from("one two"))]));
  child.kill("SIGTERM");
  await until(encodeFrame(8, Buffer.from([0x03, 0xe9])));
  socket.write(maskFrame(encodeFrame(8, Buffer.from([0x03, 0xe9]))));
  assert.equal(await exited(child), 0);
});

test("frames: unmasked, fragmented control and oversized frames are refused, short ones wait", () => {
  assert.deepEqual(decodeFrame(encodeFrame(1, Buffer.from("a"))), { error: 1002 });
  assert.deepEqual(decodeFrame(Buffer.from([0x09, 0x80])), { error: 1002 });
  assert.deepEqual(decodeFrame(Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0])), { error: 1009 });
  assert.equal(decodeFrame(Buffer.from([0x81, 0x85, 1, 2])), null);
});
