"""A model's drift: what it was judged by in words, each column as a picture with its figures, and the way back to the model."""

from datetime import timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from signals.models import DriftFeature, ModelVersion
from tests.signals.markets import make_facts
from tests.signals.test_drift import make_report
from traderai.lib import clock

pytestmark = pytest.mark.browser


@pytest.fixture
def drifting(site, page, client_for, alice) -> Page:
    """The page of a champion that was looked at on two days, with alice's session."""
    model = ModelVersion.objects.create(**make_facts(version=1, status="champion", features=["rsi_14", "ret_16"], artefact="none"))
    for days_ago, psi in ((1, 0.05), (0, 0.4)):
        report = make_report(model, day=clock.now().date() - timedelta(days=days_ago), tested=2, different=1)
        for name, moved in (("rsi_14", psi), ("ret_16", 0.01)):
            histogram = {"edges": [30.0, 70.0], "reference": [0.2, 0.6, 0.2], "current": [0.5, 0.4, 0.1]}
            DriftFeature.objects.create(
                report=report, name=name, psi=moved, ks=moved / 2, p_value=0.001, independent=300.0, is_tested=True,
                is_different=moved > 0.15, histogram=histogram,
            )  # fmt: skip
    page.context.add_cookies([{"name": "session", "value": client_for(alice).cookies["session"].value, "url": site}])
    page.goto(site + reverse("models:drift", args=[model.pk]))
    return page


def test_the_plots_are_seen_and_the_limits_named(drifting, console):
    expect(drifting.locator("main")).to_contain_text("A column differs when its PSI reaches 0.15 or its KS 0.1")
    for name in ("Shares of rsi_14 by bin", "PSI of rsi_14 by day"):
        box = drifting.get_by_role("img", name=name).bounding_box()
        assert min(box["width"], box["height"]) > 100
    shares = drifting.get_by_role("img", name="Shares of rsi_14 by bin").locator("rect")
    expect(shares).to_have_count(6)
    heights = [shares.nth(k).bounding_box()["height"] for k in range(6)]
    assert heights[0] / heights[1] == pytest.approx(0.2 / 0.5, abs=0.02)
    limit = drifting.locator(".drift-plot__limit").bounding_box()["y"]
    days = [drifting.locator(".drift-plot__point").nth(k).bounding_box() for k in range(2)]
    assert days[1]["y"] < limit < days[0]["y"], "only the second day was above the limit"
    expect(drifting.get_by_text("the dashed line is the limit of 0.15")).to_be_visible()
    drifting.get_by_text("Show data").first.click()
    expect(drifting.get_by_role("row", name="up to 30")).to_contain_text("50.0")


def test_another_column_is_chosen_and_the_way_back_leads_to_the_model(drifting, console):
    drifting.get_by_label("Column", exact=True).select_option("ret_16")
    drifting.get_by_role("button", name="Show").click()
    expect(drifting.get_by_role("heading", name="ret_16")).to_be_visible()
    expect(drifting.get_by_role("navigation", name="Main").get_by_role("link", name="Models")).to_have_attribute("aria-current", "page")
    drifting.get_by_role("link", name="Model default v1").click()
    expect(drifting.get_by_role("heading", name="Model default v1")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(drifting, console, theme):
    drifting.emulate_media(color_scheme=theme)
    drifting.set_viewport_size({"width": 390, "height": 850})
    assert drifting.evaluate("document.documentElement.scrollWidth") == 390
    row = drifting.get_by_role("row", name="rsi_14").last.bounding_box()
    assert row["height"] < 80, "a line a column: a hundred of them as blocks would be no page"
