// Exits the moment it gets SIGTERM, with requests in flight: what most apps without a signal handler do.
import { dieAtOnce, sendHealth, sendIdentity, serve } from "../http.js";
import { slow } from "../routes/slow.js";
import { upload } from "../routes/upload.js";

export function start(port) {
  dieAtOnce();
  serve({ "/": sendIdentity, "/health": sendHealth(200), "/slow": slow, "/upload": upload }, port);
}
