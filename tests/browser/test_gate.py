"""Gate decisions and promotions in the staff site: what was compared, and who decides from now on and why."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from backtesting.models import GateDecision, Verdict
from signals import registry
from signals.models import ModelStatus
from tests.signals.markets import make_ensemble, make_facts

pytestmark = pytest.mark.browser
DAY_MS = 86_400_000


@pytest.fixture
def staff(site, staff, models) -> Page:
    """The staff's first page; a champion, and a candidate that did not beat it."""
    ensemble = make_ensemble()
    champion, candidate = (
        registry.register(ensemble=ensemble, scope="default", manifest={}, facts=make_facts(), status=status)
        for status in (ModelStatus.CHAMPION, ModelStatus.CANDIDATE)
    )
    GateDecision.objects.create(
        candidate=candidate, champion=champion, verdict=Verdict.STAYED, reason="not better than chance allows", attempt=3, days=42,
        start_ms=20_000 * DAY_MS, end_ms=20_042 * DAY_MS, candidate_trades=31, champion_trades=38, mean=0.0123456, low=-0.2, high=0.3, p_value=0.412345,
    )  # fmt: skip
    staff.goto(site + reverse("admin:index"))
    return staff


def test_a_decision_tells_what_was_compared_and_cannot_be_removed(staff, console):
    staff.get_by_role("link", name="Gate: candidate against champion").click()
    expect(staff.get_by_role("row", name="Champion stays")).to_contain_text("-0.2000 to +0.3000")
    staff.get_by_role("row", name="Champion stays").get_by_role("link").first.click()
    content = staff.locator("#content")
    for said in ("not better than chance allows", "2024-10-04 00:00 to 2024-11-15 00:00", "+0.0123", "0.4123"):
        expect(content).to_contain_text(said)
    expect(staff.get_by_role("link", name="Delete")).to_have_count(0)
    content.get_by_role("link", name="default v2 (candidate)").last.click()
    expect(staff.get_by_role("heading", name="Model default v2")).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_candidate_is_promoted_and_the_former_champion_brought_back_with_reasons(staff, console, width):
    staff.set_viewport_size({"width": width, "height": 850})
    staff.get_by_role("link", name="Models: promote, roll back").click()
    fields = [staff.get_by_label("Action:").bounding_box(), staff.get_by_role("textbox", name="Reason").bounding_box()]
    assert fields[0]["y"] + fields[0]["height"] <= fields[1]["y"] or fields[0]["x"] + fields[0]["width"] <= fields[1]["x"], (
        "one over the other"
    )
    act(staff, "default v2", "Promote to champion (with a reason)", "")
    expect(staff.locator(".messagelist")).to_contain_text("A promotion needs a reason")
    act(staff, "default v2", "Promote to champion (with a reason)", "better on the holdout")
    expect(staff.locator(".messagelist")).to_contain_text("Default v2 (champion) decides from now on")
    expect(staff.get_by_role("row", name="default v2")).to_contain_text("better on the holdout (sam@example.com)")
    act(staff, "default v1", "Roll back to this archived model (with a reason)", "it lost on paper")
    expect(staff.locator(".messagelist")).to_contain_text("Default v1 (champion) decides from now on")
    assert registry.champion().reason == "it lost on paper (sam@example.com)"
    assert staff.evaluate("document.documentElement.scrollWidth") == width


def act(staff: Page, model: str, action: str, reason: str) -> None:
    staff.get_by_role("row", name=model).get_by_role("checkbox").check()
    staff.get_by_label("Action:").select_option(action)
    staff.get_by_role("textbox", name="Reason").fill(reason)
    staff.get_by_role("button", name="Go", exact=True).click()
