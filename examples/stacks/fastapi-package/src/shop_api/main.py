"""A FastAPI service in a package below src: `/` greets, `/health` says that it is up."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def greet() -> dict[str, str]:
    return {"message": "hello from a package"}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
