// Listens and answers, but its health path says 503 for ever.
import { sendHealth, sendIdentity, serve, stopGracefully } from "../http.js";

export function start(port) {
  stopGracefully(serve({ "/": sendIdentity, "/health": sendHealth(503) }, port));
}
