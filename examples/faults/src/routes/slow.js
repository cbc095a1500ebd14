// GET /slow?ms=25000&chunks=25: a chunked answer whose parts are spread evenly over the time, one line per part.
import { identity } from "../identity.js";

const MAX_MS = 600_000;
const MAX_CHUNKS = 10_000;

function bounded(text, fallback, max) {
  const number = Number(text ?? fallback);
  return Number.isInteger(number) && number >= 1 ? Math.min(number, max) : fallback;
}

export function slow(_req, res, url) {
  const ms = bounded(url.searchParams.get("ms"), 25_000, MAX_MS);
  const chunks = bounded(url.searchParams.get("chunks"), 25, MAX_CHUNKS);
  let sent = 0;
  res.writeHead(200, { "content-type": "text/plain" });
  res.flushHeaders();
  const timer = setInterval(() => {
    sent += 1;
    res.write(`${sent}/${chunks} ${identity.release}\n`);
    if (sent < chunks) return;
    clearInterval(timer);
    res.end();
  }, ms / chunks);
  res.once("close", () => clearInterval(timer));
}
