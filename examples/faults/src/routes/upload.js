// POST /upload: reads the body as slowly as it comes and answers how much it was, and its SHA-256.
import { createHash } from "node:crypto";
import { identity } from "../identity.js";
import { sendJson } from "../http.js";

export function upload(req, res) {
  const hash = createHash("sha256");
  let bytes = 0;
  req.on("data", (chunk) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  req.once("end", () => sendJson(res, 200, { bytes, sha256: hash.digest("hex"), release: identity.release }));
  req.once("error", () => res.destroy());
}
