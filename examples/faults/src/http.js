// An HTTP server with a route table, and the two ways to stop it. It knows nothing of the single behaviours.
import { createServer } from "node:http";
import { identity } from "./identity.js";

// Longer than a proxy keeps an unused connection, so that it is never us who close it under a request.
const KEEP_ALIVE_MS = 75_000;

export function sendJson(res, status, body) {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  res.writeHead(status, { "content-type": "application/json", "content-length": bytes.length });
  res.end(bytes);
}

export const sendIdentity = (_req, res) => sendJson(res, 200, identity);
export const sendHealth = (status) => (_req, res) => sendJson(res, status, { status: status < 400 ? "ok" : "failing" });

/** `routes` maps a path to `(req, res, url) => void`; everything else is answered 404. */
export function serve(routes, port) {
  const server = createServer((req, res) => {
    const url = new URL(req.url, "http://localhost");
    const route = routes[url.pathname];
    if (route) route(req, res, url);
    else sendJson(res, 404, { error: `nothing at ${url.pathname}` });
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.requestTimeout = 0; // a slow upload may take as long as it likes
  server.listen(port, "0.0.0.0", () => console.log(`listening on 0.0.0.0:${server.address().port}`));
  return server;
}

/** On SIGTERM: no new connections, requests in flight are finished, then exit 0. `beforeClose` ends what never ends by itself. */
export function stopGracefully(server, beforeClose = () => {}) {
  let stopping = false;
  let inFlight = 0;
  // Runs before the routes, so that answers given while stopping tell the client to open no further request here.
  server.prependListener("request", (_req, res) => {
    inFlight += 1;
    if (stopping) res.setHeader("connection", "close");
    res.once("close", () => {
      inFlight -= 1;
      if (stopping) setImmediate(() => server.closeIdleConnections());
    });
  });
  process.once("SIGTERM", () => {
    stopping = true;
    console.log(`SIGTERM: finishing ${inFlight} requests`);
    beforeClose();
    server.close(() => {
      console.log("finished, leaving");
      process.exit(0);
    });
  });
}

/** On SIGTERM: gone, whatever is in flight. */
export function dieAtOnce() {
  process.once("SIGTERM", () => process.exit(0));
}
