"""What a trader sets: risk, capital, time zone, colours."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from accounts import audit
from accounts.forms import SettingsForm, ThemeForm
from accounts.models import Profile
from accounts.views import SignedInRequest

YEAR_SECONDS = 365 * 24 * 3600


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: SignedInRequest) -> HttpResponse:
    profile, _ = Profile.objects.get_or_create(user=request.user)
    if request.method != "POST":
        return render(request, "accounts/settings.html", {"form": SettingsForm(instance=profile)})
    form = SettingsForm(request.POST, instance=profile)
    if not form.is_valid():
        return render(request, "accounts/settings.html", {"form": form}, status=422)
    if form.changed_data:
        form.save()
        audit.record(request.user, "settings_changed", request, fields=form.changed_data)
    messages.success(request, "Your settings are saved.")
    return redirect("settings")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Colours for this browser, and for the account of whoever is signed in."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        return HttpResponseBadRequest("theme: choose system, light or dark.", content_type="text/plain")
    chosen = form.cleaned_data["theme"]
    if request.user.is_authenticated:
        Profile.objects.filter(user=request.user).update(theme=chosen)
    target = request.POST.get("next", "")
    response: HttpResponse = redirect(
        target if url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()) else "home"
    )
    if request.headers.get("X-Requested-With") == "fetch":
        response = HttpResponse(status=204)
    response.set_cookie("theme", chosen, max_age=YEAR_SECONDS, secure=request.is_secure(), httponly=True, samesite="Lax")
    return response
