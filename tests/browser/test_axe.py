"""No page breaks a rule of WCAG 2.1 A or AA that axe-core can check, light on a desk and dark on a phone."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page

from backtesting import sharing
from tests.backtesting import searched
from tests.backtesting.rows import make_finished, make_model
from tests.exchanges.trading import make_position
from tests.signals import scenes

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
LOOKS: dict[str, tuple[int, Any]] = {"desk": (1280, "light"), "phone": (390, "dark")}
OPEN = ("account_login", "account_signup")
TRADERS = (
    "dashboard",
    "signals:list",
    "signals:rejected",
    "strategies:list",
    "strategies:features",
    "models:list",
    "positions:list",
    "positions:history",
    "backtests:list",
    "backtests:new",
    "backtests:parity",
    "backtests:searches",
    "backtests:search_new",
    "security",
)
STAFFS = ("signals_training", "signals_searches", "signals_modelversion_changelist", "backtesting_gatedecision_changelist")


def broken(page: Page, address: str) -> list[str]:
    """What axe-core finds on one page: rule, and the first element that breaks it."""
    page.goto(address)
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{address}: {rule['id']} ({rule['impact']}): {rule['nodes'][0]['html'][:200]}" for rule in found]


@pytest.fixture(params=LOOKS)
def look(request, page) -> None:
    width, scheme = LOOKS[request.param]
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)


def test_nobody_is_kept_out_of_a_traders_pages(site, page, look, client_for, alice):
    faults = [fault for name in OPEN for fault in broken(page, site + reverse(name))]
    make_position(alice)
    market = scenes.make_market(scenes.ETH)
    scenes.make_signal(market)
    scenes.make_config(alice, scenes.make_account(alice))
    model = make_model()
    run, other = make_finished(alice, model, trades=3), make_finished(alice, model)
    search = searched.make_finished(alice)
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    pages = [reverse(name) for name in TRADERS]
    pages += [reverse("models:detail", args=[model.pk]), reverse("backtests:detail", args=[run.pk])]
    pages.append(reverse("backtests:shared", args=[sharing.create(run).token]))
    pages.append(f"{reverse('backtests:compare')}?run={run.pk}&run={other.pk}")
    pages += [reverse("backtests:search", args=[search.pk]), reverse("backtests:rule_new", args=["rsi-reversion"])]
    faults += [fault for address in pages for fault in broken(page, site + address)]
    assert faults == []


def test_nobody_is_kept_out_of_the_staffs_pages(site, staff, look):
    make_model()
    assert [fault for name in STAFFS for fault in broken(staff, site + reverse(f"admin:{name}"))] == []
