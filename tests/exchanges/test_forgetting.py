"""A market's history removed while other parts of the product remember it."""

import asyncio

import pytest

from exchanges import backfill, candles, streams
from exchanges.models import BackfillJob, Candle, JobStatus, Market, Provenance
from exchanges.streams.health import Backoff
from exchanges.streams.lines import Line
from tests.exchanges.frames import START_MS, make_frame
from traderai.lib import clock
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
BTC = "BTC/USDT:USDT"
QUARTER_MS = 900_000


@pytest.fixture
def btc() -> Market:
    return candles.find_market(BTC)


def job(market: Market, status: JobStatus, **fields) -> BackfillJob:
    until_ms = START_MS + 1000 * QUARTER_MS
    reached = {BTC: START_MS + 600 * QUARTER_MS, f"{BTC} funding": START_MS, "ETH/USDT:USDT": START_MS + QUARTER_MS}
    return BackfillJob.objects.create(
        venue=market.venue,
        symbols=[BTC, "ETH/USDT:USDT"],
        timeframe="15m",
        since_ms=START_MS,
        until_ms=until_ms,
        status=status,
        checkpoints=reached,
        starts={BTC: START_MS},
        **fields,
    )


@pytest.mark.parametrize("status", [JobStatus.PAUSED, JobStatus.FAILED, JobStatus.DONE, JobStatus.CANCELLED])
def test_what_a_backfill_had_reached_is_forgotten_with_the_bars(btc, status):
    candles.ingest(btc, make_frame(600), provenance=Provenance.VENUE)
    known = job(btc, status)
    assert candles.forget(btc) == 600
    known.refresh_from_db()
    assert known.checkpoints == {"ETH/USDT:USDT": START_MS + QUARTER_MS}
    assert known.starts == {}
    again = backfill.start(symbols=[BTC], since_ms=START_MS, until_ms=START_MS + 1000 * QUARTER_MS)
    assert BTC not in again.checkpoints


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_nothing_is_forgotten_while_a_backfill_fetches_it(btc, status):
    candles.ingest(btc, make_frame(600), provenance=Provenance.VENUE)
    job(btc, status, heartbeat_at=clock.now())
    with pytest.raises(UserError, match="cancel it first"):
        candles.forget(btc)
    assert Candle.objects.filter(market=btc).count() == 600


def test_a_stream_does_not_begin_a_history_that_was_removed_meanwhile(btc):
    candles.ingest(btc, make_frame(10), provenance=Provenance.VENUE)
    streamed = Market.objects.get(pk=btc.pk)
    candles.forget(btc)
    with pytest.raises(streams.NoHistory):
        streams.store_bars([(streamed, make_frame(1, start_ms=START_MS + 10 * QUARTER_MS))])
    assert not Candle.objects.filter(market=btc).exists()


async def test_a_stream_comes_back_though_nobody_can_be_told_that_it_ended():
    class Ending:
        watched = 0
        often = asyncio.Event()

        async def watch(self, channel, symbols, deliver):
            self.watched += 1
            if self.watched == 4:
                self.often.set()
            if self.watched % 2:
                raise asyncio.CancelledError  # as a client's own future may be

    def full_disk(line, reason):
        raise OSError(28, "No space left on device")

    async def moves(line):
        return False

    venue = Ending()
    keeping = asyncio.ensure_future(
        Line(venue, "quotes", [BTC], print, on_break=full_disk, moves=moves, backoff=Backoff(draw=lambda least, most: least)).keep()
    )
    async with asyncio.timeout(5):
        await venue.often.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
