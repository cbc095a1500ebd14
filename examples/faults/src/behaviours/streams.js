// Long-lived answers: WebSocket, server-sent events, a slow response and a slow upload. Well-behaved otherwise: on SIGTERM
// responses and uploads are finished, event streams end after their current event, WebSockets are closed with 1001.
import { sendHealth, sendIdentity, serve, stopGracefully } from "../http.js";
import { identity } from "../identity.js";
import { endEvents, events } from "../routes/events.js";
import { slow } from "../routes/slow.js";
import { upload } from "../routes/upload.js";
import { acceptWebSocket, GOING_AWAY } from "../websocket.js";

const connections = new Set();

// /ws sends every message back as it came, and `tick N RELEASE` every tick_ms (1000 unless given; 0 for none).
function upgrade(req, socket, head) {
  const url = new URL(req.url, "http://localhost");
  if (url.pathname !== "/ws") {
    socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    return;
  }
  const connection = acceptWebSocket(req, socket, head);
  if (connection === null) return;
  const period = Number(url.searchParams.get("tick_ms") ?? 1000);
  let tick = 0;
  const timer = period > 0 ? setInterval(() => connection.sendText(`tick ${++tick} ${identity.release}`), period) : null;
  connections.add(connection);
  connection.onMessage = (opcode, payload) => connection.send(opcode, payload);
  connection.onClose = () => {
    clearInterval(timer);
    connections.delete(connection);
  };
}

export function start(port) {
  const server = serve(
    { "/": sendIdentity, "/health": sendHealth(200), "/events": events, "/slow": slow, "/upload": upload },
    port,
  );
  server.on("upgrade", upgrade);
  stopGracefully(server, () => {
    endEvents();
    for (const connection of connections) connection.close(GOING_AWAY);
  });
}
