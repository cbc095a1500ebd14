// The migrations of dropit, oldest first. One that has been released is never edited: add another.

export interface Migration {
  id: string;
  sql: string;
}

export const migrations: readonly Migration[] = [
  {
    id: "0001-drops",
    sql: `CREATE TABLE drops (
      id text PRIMARY KEY,
      title text NOT NULL,
      text text NOT NULL,
      created_at timestamptz NOT NULL
    )`,
  },
  { id: "0002-drops-newest-first", sql: "CREATE INDEX drops_newest_first ON drops (created_at DESC, id)" },
];

/**
 * Those still to run, in order. Ids in the database that we do not know are left alone: they belong to a newer
 * release, and this one was rolled back to.
 */
export function pendingMigrations(all: readonly Migration[], applied: ReadonlySet<string>): Migration[] {
  return all.filter((migration) => !applied.has(migration.id));
}
