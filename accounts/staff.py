"""The staff site. It has no sign-in form of its own: one door, with one set of limits and one second factor."""

from typing import Any

from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp.admin import OTPAdminSite


class StaffSite(OTPAdminSite):
    """has_permission() is django-otp's: staff, and verified in this session."""

    site_header = "TraderAI staff"
    site_title = "TraderAI staff"
    index_title = "Operations"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send whoever may not enter yet to the step that is missing."""
        user = request.user
        if not user.is_authenticated:
            return redirect_to_login(request.get_full_path(), resolve_url(settings.LOGIN_URL))
        if not user.is_staff:
            raise PermissionDenied
        if not is_mfa_enabled(user):
            messages.warning(request, "Staff need a second factor: set up an authenticator app first.")
            return redirect("mfa_activate_totp")
        if not user.is_verified():
            raise ReauthenticationRequired
        target = request.GET.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
        return redirect(target if is_ours else "admin:index")
