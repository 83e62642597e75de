"""The demo on somebody's own candles."""

import pytest
from django.core.management.base import CommandError

from exchanges import candles, streams
from exchanges.candles import files
from exchanges.models import Market, Provenance
from tests.signals.series import make_funding, make_series
from traderai.demo import market

BTC = "BTC/USDT:USDT"
BARS = 2_000
pytestmark = pytest.mark.django_db


def prepare(data, progress=lambda stage, share: None) -> market.DemoMarket:
    return market.ensure(str(data), progress)


@pytest.fixture(autouse=True)
def _own_data_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"


@pytest.fixture
def folder(tmp_path):
    """Candles and funding of one pair, named as the operations page says."""
    frame, path = make_series(BARS, symbol=BTC), tmp_path / "mine"
    path.mkdir()
    files.save(path / "BTC-USDT_15m.parquet", files.CANDLE_COLUMNS, frame[2:])
    files.save(path / "BTC-USDT_funding.csv", ("timestamp", "rate"), make_funding(frame))
    (path / "notes.txt").write_text("no candles")
    return path


def test_it_stores_a_folder_and_holds_its_newest_days_back(folder):
    prepared = prepare(folder)
    assert prepared == market.DemoMarket([BTC], Provenance.FILE, "replay")
    stored = candles.read(candles.find_market(BTC), "15m")
    (held_back,) = streams.read_feed(market.feed_folder())
    assert len(stored) + len(held_back) == BARS
    assert held_back.timestamp[0] - stored.timestamp[-1] == market.BAR_MS
    assert held_back.timestamp[-1] - held_back.timestamp[0] <= market.REPLAY_DAYS * market.DAY_MS
    assert len(candles.funding(candles.find_market(BTC)).timestamp) > 50


def test_it_keeps_the_market_that_is_there(folder):
    prepare(folder)
    assert prepare(folder) == market.DemoMarket([BTC], Provenance.FILE, "replay")


def test_it_refuses_a_folder_when_the_market_is_generated(folder):
    Market.objects.filter(symbol=BTC).update(provenance=Provenance.SIMULATED)
    with pytest.raises(CommandError, match="RESET=1"):
        prepare(folder)


@pytest.mark.parametrize(("name", "complaint"), [("", "no candles in"), ("missing", "is not a folder")])
def test_it_says_what_is_wrong_with_a_folder(tmp_path, name, complaint):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CommandError, match=complaint):
        prepare(empty / name)
    assert not Market.objects.with_candles().exists()
