// Accepts connections and reads what comes, but never writes a byte: a process that hangs behind an open port.
import { createServer } from "node:net";

export function start(port) {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.resume();
  });
  server.listen(port, "0.0.0.0", () => console.log(`listening on 0.0.0.0:${server.address().port}`));
  process.once("SIGTERM", () => process.exit(0));
}
