import type { Drop } from "./drop.js";

/** Where drops are kept. Implemented in memory and on PostgreSQL. */
export abstract class DropStore {
  abstract create(drop: Drop): Promise<void>;
  /** The newest first, at most LIST_LIMIT. */
  abstract list(): Promise<Drop[]>;
  abstract get(id: string): Promise<Drop | undefined>;
  /** "off" where there is no database. */
  abstract database(): Promise<"up" | "down" | "off">;
  abstract close(): Promise<void>;
}
