// The app itself is fine; its release command (release.js) fails, so this must never receive a request.
export { start } from "./well-behaved.js";
