"""A Flask program of a factory: `/` greets, `/health` says that it is up."""

from flask import Flask


def create_app() -> Flask:
    app = Flask(__name__)

    @app.get("/")
    def greet() -> str:
        return "hello from a factory of Flask\n"

    @app.get("/health")
    def health() -> str:
        return "ok\n"

    return app
