// Runs for START_DELAY_MS before it listens: connections are refused until then. Otherwise well-behaved.
import { start as startWellBehaved } from "./well-behaved.js";

export function start(port) {
  const delay = Number(process.env.START_DELAY_MS ?? 3000);
  console.log(`starting: will listen in ${delay} ms`);
  const leave = () => process.exit(0);
  process.once("SIGTERM", leave);
  setTimeout(() => {
    process.off("SIGTERM", leave);
    startWellBehaved(port);
  }, delay);
}
