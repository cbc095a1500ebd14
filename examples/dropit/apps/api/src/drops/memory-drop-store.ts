import { type Drop, LIST_LIMIT } from "./drop.js";
import { DropStore } from "./drop-store.js";

const MAX_DROPS = 1000;

/** For a first look without a database: every task has its own drops, and forgets the oldest beyond a thousand. */
export class MemoryDropStore extends DropStore {
  readonly #drops = new Map<string, Drop>();

  async create(drop: Drop): Promise<void> {
    this.#drops.set(drop.id, drop);
    for (const oldest of this.#drops.keys()) {
      if (this.#drops.size <= MAX_DROPS) break;
      this.#drops.delete(oldest);
    }
  }

  async list(): Promise<Drop[]> {
    return [...this.#drops.values()].slice(-LIST_LIMIT).reverse();
  }

  async get(id: string): Promise<Drop | undefined> {
    return this.#drops.get(id);
  }

  async database(): Promise<"off"> {
    return "off";
  }

  async close(): Promise<void> {}
}
