"""`/` greets, `/health` says that it is up."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def greet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello from ASGI\n", content_type="text/plain")


def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [path("", greet), path("health", health)]
