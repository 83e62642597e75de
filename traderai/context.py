"""What every template knows: the theme, the way around, and what kind of market the figures come from."""

from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from redis.exceptions import RedisError

from accounts.models import Profile
from accounts.views.demo_mail import is_offered
from exchanges import streams
from exchanges.models import Market
from exchanges.models.market import Provenance

log = structlog.get_logger(__name__)

BANNER_SECONDS = 15
THEMES = (("system", "Auto"), ("light", "Light"), ("dark", "Dark"))
PLACES = (
    ("Dashboard", "dashboard", "dashboard"),
    ("Markets", "markets:list", "markets"),
    ("Signals", "signals:list", "signals"),
    ("Positions", "positions:list", "positions"),
    ("Strategies", "strategies:list", "strategies"),
    ("Models", "models:list", "models"),
    ("Backtests", "backtests:list", "backtests"),
    ("Settings", "settings", "settings"),
    ("Security", "security", "security"),
)
BANNERS = {
    Provenance.SIMULATED: (
        "simulated",
        "SIMULATED MARKET: generated prices, from no venue. Fills are simulated too.",
    ),
    Provenance.FILE: ("file", "Prices from imported history. Fills are simulated."),
    Provenance.VENUE: ("venue", "Prices from the venue's public API. Fills are simulated."),
}

REPLAY = ("replay", "REPLAY: stored history played as if it were now. Fills are simulated.")


def site(request: HttpRequest) -> dict[str, Any]:
    profile = _profile(request)
    return {
        "demo": settings.DEMO,
        "demo_mail_url": _url("demo_mail") if is_offered(request) else "",
        "theme": profile.theme if profile else _theme_cookie(request),
        "theme_choices": THEMES,
        "theme_url": _url("theme"),
        "time_zone": profile.time_zone if profile else "UTC",
        "navigation": _navigation(request),
        "data_banner": data_banner(),
    }


def data_banner() -> dict[str, str] | None:
    """{"kind", "text"} for the strip on top of every page, or None before there is a market. A generated market outranks all others."""
    try:
        known = cache.get("data_banner")
        if known is None:
            known = _banner()
            cache.set("data_banner", known, BANNER_SECONDS)
    except (OSError, RedisError) as error:  # the honest label is not left out because a cache is away
        log.warning("banner not cached", error=str(error))
        known = _banner()
    return {"kind": known[0], "text": known[1]} if known else None


def _banner() -> list[str]:
    """[kind, text] in a shape that the cache keeps, or [] before there is a market."""
    found: dict[str, list[int]] = {}
    for market_id, provenance in Market.objects.with_candles().values_list("pk", "provenance"):
        found.setdefault(provenance, []).append(market_id)
    kind = next((kind for kind in BANNERS if kind in found), None)
    if kind is None:
        return []
    # Imported history that moves is being played, and so is any other that a replay says it plays.
    played = (kind == Provenance.FILE and streams.has_ticks(found[kind])) or streams.is_replayed(
        [pk for ids in found.values() for pk in ids]
    )
    return [*REPLAY] if played and kind != Provenance.SIMULATED else [*BANNERS[kind]]


def _profile(request: HttpRequest) -> Profile | None:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return Profile.objects.filter(user=user).first()


def _theme_cookie(request: HttpRequest) -> str:
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in dict(THEMES) else "system"


def _navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The places this visitor may go; none for strangers."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    places = [*PLACES, ("Staff", "admin:index", "staff")] if user.is_staff else PLACES
    return [
        {"label": label, "href": href, "icon": icon, "is_current": request.path.startswith(href)}
        for label, name, icon in places
        if (href := _url(name))
    ]


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
