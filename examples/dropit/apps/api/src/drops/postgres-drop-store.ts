import { Pool } from "pg";
import { type Drop, LIST_LIMIT } from "./drop.js";
import { DropStore } from "./drop-store.js";

interface Row {
  id: string;
  title: string;
  text: string;
  created_at: Date;
}

/** Drops in PostgreSQL; its tables are made by migrate.ts. */
export class PostgresDropStore extends DropStore {
  readonly #pool: Pool;

  constructor(databaseUrl: string) {
    super();
    // Short timeouts: a request, and above all the health check, must not hang on a database that does not answer.
    this.#pool = new Pool({ connectionString: databaseUrl, max: 10, connectionTimeoutMillis: 2000, query_timeout: 5000 });
    // A connection that breaks while unused is replaced by the pool; without a listener it would end the process.
    this.#pool.on("error", (error) => console.error(`database connection lost: ${error.message}`));
  }

  async create(drop: Drop): Promise<void> {
    await this.#pool.query("INSERT INTO drops (id, title, text, created_at) VALUES ($1, $2, $3, $4)", [
      drop.id,
      drop.title,
      drop.text,
      drop.createdAt,
    ]);
  }

  async list(): Promise<Drop[]> {
    const { rows } = await this.#pool.query<Row>(
      "SELECT id, title, text, created_at FROM drops ORDER BY created_at DESC, id LIMIT $1",
      [LIST_LIMIT],
    );
    return rows.map(fromRow);
  }

  async get(id: string): Promise<Drop | undefined> {
    const { rows } = await this.#pool.query<Row>("SELECT id, title, text, created_at FROM drops WHERE id = $1", [id]);
    return rows[0] && fromRow(rows[0]);
  }

  async database(): Promise<"up" | "down"> {
    try {
      await this.#pool.query("SELECT 1");
      return "up";
    } catch (error) {
      console.error(`database does not answer: ${(error as Error).message}`);
      return "down";
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

function fromRow(row: Row): Drop {
  return { id: row.id, title: row.title, text: row.text, createdAt: row.created_at.toISOString() };
}
