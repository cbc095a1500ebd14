// The server's half of RFC 6455, as far as the examples need it: text and binary messages, fragments, ping, pong, close.
// No extensions and no sub-protocols. The tests are in server.test.js.
import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455, section 1.3
const MAX_MESSAGE = 1024 * 1024;
const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
export const GOING_AWAY = 1001;
const PROTOCOL_ERROR = 1002;
const TOO_BIG = 1009;

/** Encodes one whole, unmasked frame. */
export function encodeFrame(opcode, payload) {
  const length = payload.length;
  let head;
  if (length < 126) {
    head = Buffer.from([0x80 | opcode, length]);
  } else if (length < 65_536) {
    head = Buffer.alloc(4);
    head.writeUInt16BE(length, 2);
    head[1] = 126;
  } else {
    head = Buffer.alloc(10);
    head.writeBigUInt64BE(BigInt(length), 2);
    head[1] = 127;
  }
  head[0] = 0x80 | opcode;
  return Buffer.concat([head, payload]);
}

/** Takes one frame off the front of `buffer`: `{ fin, opcode, payload, rest }`, null while incomplete, `{ error }` when it breaks the rules. */
export function decodeFrame(buffer) {
  if (buffer.length < 2) return null;
  const opcode = buffer[0] & 0x0f;
  const fin = (buffer[0] & 0x80) !== 0;
  if ((buffer[0] & 0x70) !== 0 || (buffer[1] & 0x80) === 0) return { error: PROTOCOL_ERROR }; // reserved bits; unmasked
  let length = buffer[1] & 0x7f;
  let offset = 2;
  if (opcode >= 8 && (!fin || length > 125)) return { error: PROTOCOL_ERROR };
  if (length === 126) {
    if (buffer.length < 4) return null;
    length = buffer.readUInt16BE(2);
    offset = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return null;
    const long = buffer.readBigUInt64BE(2);
    if (long > BigInt(MAX_MESSAGE)) return { error: TOO_BIG };
    length = Number(long);
    offset = 10;
  }
  if (buffer.length < offset + 4 + length) return null;
  const mask = buffer.subarray(offset, offset + 4);
  const payload = Buffer.from(buffer.subarray(offset + 4, offset + 4 + length));
  for (let i = 0; i < length; i += 1) payload[i] ^= mask[i % 4];
  return { fin, opcode, payload, rest: buffer.subarray(offset + 4 + length) };
}

/** Answers the handshake and returns the connection, or answers 400 and returns null. */
export function acceptWebSocket(req, socket, head) {
  const key = req.headers["sec-websocket-key"];
  const wanted = (req.headers.upgrade ?? "").toLowerCase() === "websocket" && req.headers["sec-websocket-version"] === "13";
  if (!wanted || !key) {
    socket.end("HTTP/1.1 400 Bad Request\r\nsec-websocket-version: 13\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    return null;
  }
  const accept = createHash("sha1").update(key + GUID).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  socket.setNoDelay(true);
  return new Connection(socket, head);
}

class Connection {
  #socket;
  #buffer;
  #message = null; // { opcode, parts, length } of a fragmented message
  #closing = false;
  onMessage = () => {};
  onClose = () => {};

  constructor(socket, head) {
    this.#socket = socket;
    this.#buffer = head;
    socket.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#read();
    });
    socket.on("end", () => socket.end());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.onClose());
    setImmediate(() => this.#read()); // after the caller has set onMessage
  }

  sendText(text) {
    this.#write(OP.text, Buffer.from(text));
  }

  send(opcode, payload) {
    this.#write(opcode, payload);
  }

  /** Starts the closing handshake; the socket ends when the peer answers, or after two seconds. */
  close(code) {
    if (this.#closing) return;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#write(OP.close, payload);
    this.#closing = true;
    setTimeout(() => this.#socket.destroy(), 2000).unref();
  }

  #write(opcode, payload) {
    if (this.#closing || this.#socket.destroyed) return;
    // A peer that does not read must not fill our memory: we stop reading from it until it does.
    if (!this.#socket.write(encodeFrame(opcode, payload))) {
      this.#socket.pause();
      this.#socket.once("drain", () => this.#socket.resume());
    }
  }

  #read() {
    for (;;) {
      const frame = decodeFrame(this.#buffer);
      if (frame === null) return;
      if (frame.error) return this.close(frame.error);
      this.#buffer = frame.rest;
      this.#take(frame);
    }
  }

  #take({ fin, opcode, payload }) {
    if (opcode === OP.ping) return this.#write(OP.pong, payload);
    if (opcode === OP.pong) return undefined;
    if (opcode === OP.close) {
      this.#write(OP.close, payload.subarray(0, 2));
      this.#closing = true;
      return this.#socket.end();
    }
    const starts = opcode === OP.text || opcode === OP.binary;
    if (starts === (this.#message !== null) || (!starts && opcode !== OP.continuation)) return this.close(PROTOCOL_ERROR);
    this.#message ??= { opcode, parts: [], length: 0 };
    this.#message.parts.push(payload);
    this.#message.length += payload.length;
    if (this.#message.length > MAX_MESSAGE) return this.close(TOO_BIG);
    if (!fin) return undefined;
    const message = this.#message;
    this.#message = null;
    return this.onMessage(message.opcode, Buffer.concat(message.parts));
  }
}
