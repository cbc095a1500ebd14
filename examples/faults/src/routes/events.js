// GET /events?count=N: server-sent events, one a second, numbered from 1; without count until the client leaves.
import { identity } from "../identity.js";

const open = new Set();

export function events(_req, res, url) {
  const count = Number(url.searchParams.get("count") ?? 0);
  let id = 0;
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  res.flushHeaders();
  const timer = setInterval(() => {
    id += 1;
    res.write(`id: ${id}\nevent: tick\ndata: ${JSON.stringify({ id, release: identity.release })}\n\n`);
    if (id === count) finish();
  }, 1000);
  const finish = () => {
    clearInterval(timer);
    res.end();
  };
  open.add(finish);
  res.once("close", () => {
    clearInterval(timer);
    open.delete(finish);
  });
}

/** Ends every stream, for a server that is to stop; browsers connect again by themselves. */
export function endEvents() {
  for (const finish of open) finish();
}
