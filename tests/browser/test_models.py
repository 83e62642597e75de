"""A model's page on a phone and on a desk, in both themes, with its plots and tables."""

import pytest
from django.urls import reverse

from signals import registry, training
from tests.signals.markets import QUICK, make_pair

pytestmark = pytest.mark.browser


@pytest.fixture
def signed_in(site, page, client_for, alice):
    """A page with alice's session."""
    cookie = client_for(alice).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


@pytest.fixture
def model(transactional_db, settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    registry.forget()
    make_pair(9_000, pull=0.9)
    return training.run(training.queue(["BTC/USDT:USDT", "ETH/USDT:USDT"], params=QUICK | {"folds": 3, "rounds": 40}).pk)


def test_a_models_page_fits_a_phone_and_a_desk_in_both_themes(site, signed_in, model, console):
    signed_in.goto(site + reverse("models:list"))
    signed_in.get_by_role("link", name="default v1").click()
    signed_in.get_by_role("heading", name="Model default v1").wait_for()
    for theme in ("light", "dark"):
        signed_in.emulate_media(color_scheme=theme)
        for width in (360, 1280):
            signed_in.set_viewport_size({"width": width, "height": 800})
            for address in (reverse("models:list"), reverse("models:detail", args=[model.pk])):
                signed_in.goto(site + address)
                assert signed_in.evaluate("document.documentElement.scrollWidth") <= width
            plot = signed_in.locator("svg.plot").first
            assert plot.bounding_box()["width"] > 240
            drawn = plot.evaluate(
                "(svg) => getComputedStyle(svg.querySelector('text')).fill + getComputedStyle(svg.querySelector('.plot__mark')).stroke"
            )
            assert "rgb(0, 0, 0)" not in drawn
    details = signed_in.get_by_text("Show data, long").first
    details.click()
    signed_in.get_by_role("table", name="Reliability of long predictions").wait_for()
