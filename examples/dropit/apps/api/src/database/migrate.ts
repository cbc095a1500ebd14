// Brings a database to the newest migration. Safe to run from several tasks at once: an advisory lock lets one go first.
import type { Client } from "pg";
import { migrations, pendingMigrations } from "./migrations.js";

const LOCK = 71_401_207; // any number, as long as nothing else in this database uses it

/** Returns the ids that were applied now. A migration that fails leaves nothing of itself behind. */
export async function migrate(client: Client, say: (line: string) => void): Promise<string[]> {
  await client.query("SELECT pg_advisory_lock($1)", [LOCK]); // given back when the connection ends
  await client.query(
    "CREATE TABLE IF NOT EXISTS dropit_migrations (id text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
  );
  const { rows } = await client.query<{ id: string }>("SELECT id FROM dropit_migrations");
  const pending = pendingMigrations(migrations, new Set(rows.map((row) => row.id)));
  for (const { id, sql } of pending) {
    say(`applying ${id}`);
    await client.query("BEGIN");
    try {
      await client.query(sql);
      await client.query("INSERT INTO dropit_migrations (id) VALUES ($1)", [id]);
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK").catch(() => {}); // a broken connection has rolled back already
      throw new Error(`migration ${id} failed: ${(error as Error).message}`, { cause: error });
    }
  }
  return pending.map((migration) => migration.id);
}
