// The release command: `node dist/migrate.js`. Runs once per release, before its first task starts.
import { Client } from "pg";
import { packageVersion, readConfig } from "./config.js";
import { migrate } from "./database/migrate.js";

async function main(): Promise<void> {
  const { databaseUrl } = readConfig(process.env, packageVersion());
  if (!databaseUrl) {
    console.log("DATABASE_URL is not set: drops are kept in memory, there is nothing to migrate");
    return;
  }
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const applied = await migrate(client, (line) => console.log(line));
    console.log(applied.length === 0 ? "the database is up to date" : `applied ${applied.length} migrations`);
  } finally {
    await client.end();
  }
}

main().catch((error: Error) => {
  console.error(`migrating failed: ${error.message}`);
  process.exitCode = 1;
});
