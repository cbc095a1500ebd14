import "reflect-metadata";
import { createApp } from "./app.js";
import { packageVersion, readConfig } from "./config.js";

async function main(): Promise<void> {
  const config = readConfig(process.env, packageVersion());
  const app = await createApp(config);
  await app.listen(config.port, "0.0.0.0");
  console.log(`dropit-api ${config.version} listens on port ${config.port}, drops are kept in ${config.databaseUrl ? "PostgreSQL" : "memory"}`);
}

main().catch((error: Error) => {
  console.error(`dropit-api could not start: ${error.message}`);
  process.exitCode = 1;
});
