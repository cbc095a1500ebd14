"""A program without dependencies: `/` greets, `/health` says that it is up."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {"/": "hello from Python\n", "/health": "ok\n"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path)
        body = (answer or "not found\n").encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
