"""A Flask service: `/` greets, `/health` says that it is up."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def greet() -> dict[str, str]:
    return {"message": "hello from Flask"}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
