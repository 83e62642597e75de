"""A fresh second factor before acts that move money or weaken an account: add an exchange key, go live, raise a limit."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

MAX_AGE_SECONDS = 300


def mfa_record(request: HttpRequest, user: Any = None, max_age: float | None = None) -> dict[str, Any] | None:
    """The newest proof of a second factor in this session, at most `max_age` seconds old; None when there is none."""
    return _newest(request, user or request.user, max_age, second_factor_only=True)


def is_fresh(request: HttpRequest) -> bool:
    """Whether this session proved who it is within ACCOUNT_REAUTHENTICATION_TIMEOUT: with the second factor, for those who have one."""
    user = request.user
    return _newest(request, user, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT, second_factor_only=is_mfa_enabled(user)) is not None


def step_up_required(view: Callable[..., HttpResponseBase] | None = None, *, max_age: float = MAX_AGE_SECONDS) -> Callable[..., Any]:
    """Let a signed-in caller through only with a second factor shown within `max_age` seconds. A POST that is held up is resumed
    with its body after the code. Whoever has no second factor is sent to enrol one. Put it inside `login_required`."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated or (user.is_verified() and mfa_record(request, max_age=max_age)):
                return view(request, *args, **kwargs)
            return _challenge(request)

        guarded.requires_step_up = True  # type: ignore[attr-defined]
        return guarded

    return decorate(view) if view else decorate


def _challenge(request: HttpRequest) -> HttpResponse:
    if not is_mfa_enabled(request.user):
        messages.warning(request, "Protect your account with an authenticator app first: this action asks for its code.")
        target = reverse("mfa_activate_totp")
        return HttpResponseClientRedirect(target) if _is_htmx(request) else redirect(target)
    if _is_htmx(request):
        # A fragment cannot be resumed: the whole page goes to the challenge and comes back to where it was.
        back = urlencode({"next": request.htmx.current_url_abs_path or "/"})  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(f"{reverse('mfa_reauthenticate')}?{back}")
    raise ReauthenticationRequired


def _is_htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _newest(request: HttpRequest, user: Any, max_age: float | None, *, second_factor_only: bool) -> dict[str, Any] | None:
    for record in reversed(get_authentication_records(request, user)):
        if second_factor_only and record["method"] != "mfa":
            continue
        if max_age is None or time.time() - record["at"] < max_age:
            return record
    return None
