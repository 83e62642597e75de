"""The open signals of one market, as its page shows them."""

import json
import re

import pytest
from django.urls import reverse

from tests.signals import scenes

pytestmark = pytest.mark.django_db


def test_it_shows_the_markets_open_signals_and_their_levels(alice, client_for):
    btc, eth = scenes.make_market(bars=50), scenes.make_market(scenes.ETH, bars=50)
    signal = scenes.make_signal(btc, entry=100.0, step=2.0)
    scenes.make_signal(btc, bar_ms=0, status="expired")
    client = client_for(alice)
    page = client.get(reverse("signals:of_market", args=[btc.pk])).content.decode()
    assert reverse("signals:detail", args=[signal.pk]) in page
    lines = json.loads(re.search(r'<script id="signal-lines"[^>]*>(.*?)</script>', page).group(1))
    assert [(line["kind"], line["price"]) for line in lines] == [
        ("entry", 100.0), ("stop", 98.0), ("target", 102.0), ("target", 104.0), ("target", 106.0),
    ]  # fmt: skip
    other = client.get(reverse("signals:of_market", args=[eth.pk])).content.decode()
    assert "None." in other
    assert client.get(reverse("signals:of_market", args=[0])).status_code == 404
