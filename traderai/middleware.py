"""What holds for every page: fragments for htmx are told apart, nobody else's cache keeps what one person sees, and Redis
may be away."""

from collections.abc import Callable
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils.cache import patch_cache_control, patch_vary_headers
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 10
Handler = Callable[[HttpRequest], HttpResponseBase]


def htmx_pages(get_response: Handler) -> Handler:
    """A page and its fragment share an address, so caches are told which header makes the difference. Whoever is signed out by
    now gets the sign-in as a whole page and comes back to the page, not to the fragment: a followed redirect would put the form
    where the table was."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.htmx and _goes_to_sign_in(response):  # type: ignore[attr-defined]
            back = urlencode({"next": request.htmx.current_url_abs_path or "/"})  # type: ignore[attr-defined]
            response = HttpResponse(status=401, headers={"HX-Redirect": f"{resolve_url(settings.LOGIN_URL)}?{back}"})
        patch_vary_headers(response, ["HX-Request"])
        return response

    return answer


def private_pages(get_response: Handler) -> Handler:
    """What a signed-in person sees is stored nowhere: after signing out, Back shows the sign-in and not the balance."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.user.is_authenticated and not response.has_header("Cache-Control"):
            patch_cache_control(response, private=True, no_store=True)
        return response

    return answer


class WithoutRedis:
    """Pages do without Redis. What cannot (a login, whose attempts are counted there) is refused with 503 rather than let through uncounted."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, RedisError):
            return None
        log.error("refused for want of Redis", path=request.path, error=str(error))
        reply = render(request, "503.html", status=503)
        reply["Retry-After"] = str(RETRY_AFTER_S)
        return reply


def _goes_to_sign_in(response: HttpResponseBase) -> bool:
    is_redirect = response.status_code in (301, 302, 303, 307, 308)
    return is_redirect and response["Location"].partition("?")[0] == resolve_url(settings.LOGIN_URL)
