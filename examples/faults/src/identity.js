// Who answers: what every JSON answer carries, so that a test can tell one release and one task from another.
import { hostname } from "node:os";

export const identity = Object.freeze({
  service: process.env.HAVRE_SERVICE ?? process.env.BEHAVIOUR ?? "unknown",
  release: process.env.HAVRE_RELEASE ?? "unreleased",
  version: process.env.APP_VERSION ?? "unversioned",
  task: hostname(),
});
