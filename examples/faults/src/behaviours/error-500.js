// Its health path answers 500, and says why on stderr, as an app does whose configuration is wrong.
import { sendIdentity, sendJson, serve, stopGracefully } from "../http.js";

export function start(port) {
  const health = (_req, res) => {
    console.error("health: SECRET_KEY is not set");
    sendJson(res, 500, { status: "failing", error: "internal error" });
  };
  stopGracefully(serve({ "/": sendIdentity, "/health": health }, port));
}
