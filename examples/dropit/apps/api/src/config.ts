// What the environment tells the API, read once and checked.
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Config {
  port: number;
  /** Absent: drops are kept in memory and are gone with the process. */
  databaseUrl: string | undefined;
  version: string;
  release: string;
  commit: string;
}

export const CONFIG = Symbol("config");

type Environment = Record<string, string | undefined>;

/** Throws with a message for the operator when a variable makes no sense. An empty variable counts as absent. */
export function readConfig(env: Environment, packageVersion: string): Config {
  const port = Number(env.PORT || 3000);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`PORT must be a port number, it is "${env.PORT}"`);
  return {
    port,
    databaseUrl: env.DATABASE_URL || undefined,
    version: env.APP_VERSION || packageVersion,
    release: env.HAVRE_RELEASE || "unreleased",
    commit: env.SOURCE_COMMIT || "unknown",
  };
}

export function packageVersion(): string {
  const file = join(__dirname, "..", "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
