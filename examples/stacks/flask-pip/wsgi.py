"""What gunicorn is told to load: a program made by a factory."""

from shop import create_app

app = create_app()
