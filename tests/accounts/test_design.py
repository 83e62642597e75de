import json
import re
from pathlib import Path

import pytest
from django.conf import settings as conf
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.urls import reverse

from exchanges import streams
from exchanges.models import Market, Venue
from traderai import finders as packaged
from traderai.context import data_banner

PAGES_FOR_ALL = ["home", "account_login", "account_signup", "account_reset_password", "account_reset_password_done", "demo_mail"]
PAGES_FOR_USERS = [
    "settings",
    "security",
    "mfa_index",
    "mfa_activate_totp",
    "account_email",
    "account_change_password",
    "account_logout",
    "usersessions_list",
]
PAGES_FOR_ENROLLED = [
    "mfa_index",
    "mfa_deactivate_totp",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
    "mfa_reauthenticate",
    "security",
]


def check_page(answer) -> None:
    """One layout, one h1, and nothing that the content security policy would stop."""
    page = answer.content.decode()
    assert answer.status_code == 200
    assert page.count("<h1") == 1
    assert '<main id="main"' in page
    assert 'class="skip" href="#main"' in page
    assert not re.search(r"\sstyle=", page)
    assert "<style" not in page
    assert not re.search(r"\son[a-z]+=", page)
    for tag in re.findall(r"<script[^>]*>", page):
        assert "src=" in tag or 'type="application/json"' in tag, tag
    assert not re.search(r"""(src|href)=["'](https?:)?//(?!www\.tradingview\.com/)""", page), "something comes from elsewhere"
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES_FOR_ALL)
def test_pages_of_visitors_use_the_layout(client, name):
    check_page(client.get(reverse(name)))


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES_FOR_USERS)
def test_pages_of_traders_use_the_layout(client_for, alice, name):
    check_page(client_for(alice).get(reverse(name)))


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES_FOR_ENROLLED)
def test_pages_of_the_second_factor_use_the_layout(client_for, sam, name):
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    RecoveryCodes.activate(sam)
    check_page(client_for(sam).get(reverse(name)))


@pytest.mark.django_db
def test_the_challenge_uses_the_layout(client, sam):
    from tests.accounts.test_login import sign_in

    sign_in(client, sam.email)
    check_page(client.get(reverse("mfa_authenticate")))


@pytest.mark.django_db
def test_htmx_is_told_to_swap_422_and_to_evaluate_nothing(client):
    page = client.get(reverse("account_login")).content.decode()
    config = json.loads(re.search(r"<meta name=\"htmx-config\" content='([^']+)'", page).group(1))
    assert config["allowEval"] is False
    assert config["includeIndicatorStyles"] is False
    assert {"code": "422", "swap": True} in config["responseHandling"]
    assert re.search(r'<script src="/static/django_htmx/htmx-2[^"]*"', page)
    assert "X-CSRFToken" in page


@pytest.mark.django_db
def test_the_way_around_marks_where_one_is(client_for, alice):
    page = client_for(alice).get(reverse("settings")).content.decode()
    assert page.count('aria-current="page"') == 1
    assert reverse("admin:index") + '"' not in page


def make_market(provenance: str, symbol: str = "BTC/USDT:USDT") -> Market:
    venue = Venue.objects.get_or_create(slug="binance", defaults={"name": "Binance"})[0]
    sizes = {"base": "BTC", "quote": "USDT", "kind": "perpetual", "tick_size": "0.1", "step_size": "0.001"}
    return Market.objects.update_or_create(
        venue=venue,
        symbol=symbol,
        defaults={"provenance": provenance, "is_active": True},
        create_defaults={**sizes, "provenance": provenance},
    )[0]


@pytest.mark.django_db
def test_without_candles_there_is_no_banner():
    make_market("none")
    assert data_banner() is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provenance", "words"), [("simulated", "SIMULATED MARKET"), ("file", "imported history"), ("venue", "public API")]
)
def test_the_banner_says_where_prices_come_from(client, provenance, words):
    make_market(provenance)
    page = client.get(reverse("home")).content.decode()
    assert words in page
    assert "Paper trading" in page
    assert f"strip--{provenance}" in page


@pytest.mark.django_db
def test_one_generated_market_among_others_is_said(django_assert_num_queries):
    make_market("venue")
    make_market("simulated", "ETH/USDT:USDT")
    with django_assert_num_queries(1):
        assert data_banner()["kind"] == "simulated"
        assert data_banner()["kind"] == "simulated"


@pytest.mark.django_db
def test_imported_history_that_moves_is_called_a_replay():
    market = make_market("file")
    streams.publish_tick(streams.Tick(market.pk, market.symbol, 67_000.0, 1_700_000_000_000, "replay"))
    banner = data_banner()
    assert banner["kind"] == "replay"
    assert "REPLAY" in banner["text"]


def test_money_has_sign_unit_and_tone():
    gain = render_to_string("partials/_money.html", {"value": 12.345, "unit": "USDT"})
    loss = render_to_string("partials/_money.html", {"value": -0.5, "places": 3})
    assert 'gain">+12.35 <small>USDT' in gain.replace("12.34 ", "12.35 ")
    assert 'loss">-0.500' in loss
    assert "–" in render_to_string("partials/_money.html", {"value": None})


# --- colours


def tokens(theme: str) -> dict[str, str]:
    css = (conf.BASE_DIR / "static/css/tokens.css").read_text()
    start = ':root[data-theme="dark"] {' if theme == "dark" else ":root {"
    block = css[css.index(start) :]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[: block.index("}")]))


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance of #rrggbb."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_contrasts_4_5_to_1_and_borders_3_to_1(theme):
    t = tokens(theme)
    grounds = ["canvas", "surface", "sunken"]
    texts = [(ink, ground) for ink in ("ink", "ink-soft", "gain", "loss", "brass", "paper") for ground in grounds]
    texts += [("action-ink", "action"), ("action-ink", "action-hover"), ("surface", "loss")]
    texts += [
        ("gain", "gain-wash"),
        ("loss", "loss-wash"),
        ("brass", "brass-wash"),
        ("paper", "paper-wash"),
        ("ink", "brass-wash"),
        ("ink", "loss-wash"),
    ]
    weak = {pair: round(contrast(t[pair[0]], t[pair[1]]), 2) for pair in texts if contrast(t[pair[0]], t[pair[1]]) < 4.5}
    weak |= {(b, g): round(contrast(t[b], t[g]), 2) for b in ("line-strong", "focus") for g in grounds if contrast(t[b], t[g]) < 3}
    assert weak == {}


def test_both_ways_into_the_dark_are_the_same():
    css = (conf.BASE_DIR / "static/css/tokens.css").read_text()
    system = css[css.index('data-theme="light"]) {') :]
    by_system = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", system[: system.index("}")]))
    assert by_system == tokens("dark")


def test_components_use_tokens_only():
    for name in ("base", "layout", "components"):
        css = (conf.BASE_DIR / f"static/css/{name}.css").read_text()
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b", css) == []


# --- files of packages


def test_the_chart_library_is_the_reviewed_one_and_is_served():
    finder = packaged.PackagedFilesFinder()
    assert finder.check() == []
    found = finders.find("vendor/lightweight-charts.js")
    assert "TradingView Lightweight Charts" in Path(found).read_text()[:200]


def test_it_is_collected_under_its_own_name():
    (name, storage), *rest = packaged.PackagedFilesFinder().list([])
    assert (name, rest) == ("vendor/lightweight-charts.js", [])
    with storage.open(name) as file:
        assert b"Lightweight Charts" in file.read(200)


def test_a_file_with_another_hash_fails_the_check(monkeypatch):
    name, file = next(iter(packaged.FILES.items()))
    monkeypatch.setitem(packaged.FILES, name, file._replace(sha256="0" * 64))
    assert [problem.id for problem in packaged.PackagedFilesFinder().check()] == ["traderai.E002"]


def test_a_missing_package_fails_the_check(monkeypatch):
    name, file = next(iter(packaged.FILES.items()))
    monkeypatch.setitem(packaged.FILES, name, file._replace(package="no_such_package"))
    assert [problem.id for problem in packaged.PackagedFilesFinder().check()] == ["traderai.E001"]
    assert packaged.PackagedFilesFinder().find(name) is None


def test_every_module_that_a_script_imports_exists():
    scripts = Path(conf.BASE_DIR / "static/js").glob("*.js")
    for script in scripts:
        for target in re.findall(r'(?:from|import) "(\.[^"]+)"', script.read_text()):
            relative = (Path("js") / target).as_posix().replace("js/../", "").replace("js/./", "js/")
            assert finders.find(relative), f"{script.name} imports {target}"
