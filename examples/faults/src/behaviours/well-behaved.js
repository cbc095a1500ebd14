// What an app should do: it says when it is healthy, and finishes what it began when it is told to stop.
import { sendHealth, sendIdentity, sendJson, serve, stopGracefully } from "../http.js";
import { slow } from "../routes/slow.js";
import { upload } from "../routes/upload.js";

const headers = (req, res) => sendJson(res, 200, { method: req.method, target: req.url, headers: req.rawHeaders });

export function start(port) {
  const server = serve({ "/": sendIdentity, "/health": sendHealth(200), "/headers": headers, "/slow": slow, "/upload": upload }, port);
  stopGracefully(server);
}
