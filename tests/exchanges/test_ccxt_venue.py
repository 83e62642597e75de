import json
import urllib.request

import pytest

from exchanges.models import JobStatus
from exchanges.ports import VenueRefused, VenueUnavailable
from exchanges.venues import registry
from tests.exchanges.backfilling import BTC, KLINES, PAUSES, make_state, run, running, start
from tests.exchanges.frames import START_MS

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue(settings):
    with running(settings, make_state()) as found:
        yield found


def test_it_reaches_a_venue_that_answers(venue):
    assert registry.reachable("binance") is True


def test_it_names_what_the_venue_refused(venue):
    data = registry.market_data("binance")
    with pytest.raises(VenueRefused, match="does not list NOPE/USDT:USDT"):
        data.candles("NOPE/USDT:USDT", "15m", START_MS, 10)
    with pytest.raises(VenueRefused, match="does not offer 13m candles"):
        data.candles(BTC, "13m", START_MS, 10)
    venue.script(KLINES, "status", status=429, retry_after=3)
    with pytest.raises(VenueUnavailable, match="limits our requests") as caught:
        data.candles(BTC, "15m", START_MS, 10)
    assert caught.value.retry_after_s == 3
    assert "http" not in str(caught.value)
    with pytest.raises(VenueRefused, match="paper has no market data"):
        registry.market_data("paper")


def test_it_is_told_to_fail_by_a_control_call(venue):
    body = json.dumps({"route": KLINES, "kind": "status", "status": 500}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{venue.url}/_control/faults", data=body, method="POST")).read()
    assert run(start()).status == JobStatus.DONE
    assert len(PAUSES) == 1
