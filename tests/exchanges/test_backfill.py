import json
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from exchanges import backfill, candles
from exchanges.models import BackfillJob, Candle, JobStatus, Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame, VenueRefused, VenueUnavailable
from exchanges.tasks import run_backfill, sweep_backfills
from exchanges.timeframes import gaps
from exchanges.venues import registry
from tests.exchanges.frames import START_MS, make_frame, rows
from tests.venue import Instrument, TestVenue, VenueState
from traderai.lib import clock

pytestmark = pytest.mark.django_db
QUARTER_MS = 900_000
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
KLINES, FUNDING, INFO, TIME = "/fapi/v1/klines", "/fapi/v1/fundingRate", "/fapi/v1/exchangeInfo", "/fapi/v1/time"
BARS = 2_500
UNTIL_MS = START_MS + BARS * QUARTER_MS
PAUSES: list[float] = []


@pytest.fixture
def venue(settings):
    """Binance with 2,500 closed bars of two perpetuals and one bar that is still open."""
    state = VenueState(now_ms=UNTIL_MS + 60_000)
    times = START_MS + np.arange(BARS * QUARTER_MS // 28_800_000 + 1) * 28_800_000
    for base, seed in (("BTC", 1), ("ETH", 2)):
        frame = make_frame(BARS + 1, symbol=f"{base}/USDT:USDT", seed=seed)
        state.enlist(Instrument(base), frame, funding=FundingFrame(times + 3, np.linspace(-1e-4, 3e-4, len(times)).round(8)))
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = {"binance": running.url}
        registry.market_data.cache_clear()
        # ccxt would wait a quarter of a second before each page, as the real venue's weights ask for.
        registry.market_data("binance")._client("perpetual").enableRateLimit = False
        PAUSES.clear()
        yield running
        registry.market_data.cache_clear()


class Killed(BaseException):
    """The process dies: nothing on the way may react to it."""


def start(symbols=(BTC,), **options) -> BackfillJob:
    return backfill.start(**({"symbols": list(symbols), "since_ms": START_MS, "until_ms": UNTIL_MS} | options))


def run(job, **options) -> BackfillJob:
    return backfill.run(job.pk, pause=PAUSES.append, **options)


def die_after(pages: int):
    """A progress callback that kills the process after so many pages."""
    seen = []

    def progress(share: float) -> None:
        seen.append(share)
        if len(seen) >= pages:
            raise Killed

    return progress


def let_time_pass(job) -> None:
    BackfillJob.objects.filter(pk=job.pk).update(heartbeat_at=clock.now() - backfill.STALE_AFTER - timedelta(seconds=1))


def assert_complete(venue, *symbols) -> None:
    for symbol in symbols:
        wire_id = symbol.split("/")[0] + "USDT"
        market = candles.find_market(symbol)
        assert rows(candles.read(market, "15m")) == rows(venue.state.closed(wire_id, "15m"))
        told = venue.state.funding[wire_id]
        stored = candles.funding(market)
        assert stored.timestamp.tolist() == (told.timestamp[told.timestamp < UNTIL_MS] - 3).tolist()
        assert stored.rate.tolist() == told.rate[: len(stored.rate)].tolist()


def test_it_fetches_exactly_the_venues_closed_candles_and_funding(venue):
    shares: list[float] = []
    job = run(start([BTC, ETH]), progress=shares.append)
    assert (job.status, job.error, job.rows_written, job.progress) == (JobStatus.DONE, "", 2 * BARS, 1.0)
    assert_complete(venue, BTC, ETH)
    assert Market.objects.get(symbol=BTC, venue__slug="binance").provenance == Provenance.VENUE
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert PAUSES == []


def test_it_asks_page_by_page_within_the_venues_cap(venue):
    run(start())
    asked = venue.called(KLINES)
    assert [int(query["startTime"]) for query in asked] == [START_MS, START_MS + 1000 * QUARTER_MS, START_MS + 2000 * QUARTER_MS]
    assert {query["limit"] for query in asked} == {"1000"}
    assert len(venue.called(INFO)) == 1


@pytest.mark.parametrize("pages", [1, 2, 3])
def test_it_loses_and_repeats_nothing_when_killed_between_pages(venue, pages):
    job = start([BTC, ETH])
    with pytest.raises(Killed):
        run(job, progress=die_after(pages))
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert run(job).status == JobStatus.RUNNING, "a job with a beating heart is left alone"
    let_time_pass(job)
    assert backfill.waiting() == [job.pk]
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC, ETH)
    asked = [(query["symbol"], query["startTime"]) for query in venue.called(KLINES)]
    assert len(asked) == len(set(asked)) == 6


def test_it_keeps_checkpoint_and_candles_together_when_killed_inside_a_page(venue, monkeypatch):
    job = start()
    seen = []

    def dying_save(self, *args, **kwargs):
        seen.append(1)
        if len(seen) == 2:
            raise Killed
        return original(self, *args, **kwargs)

    original = BackfillJob.save
    with monkeypatch.context() as patch:
        patch.setattr(BackfillJob, "save", dying_save)
        with pytest.raises(Killed):
            run(job)
    job.refresh_from_db()
    assert job.checkpoints == {BTC: START_MS + 1000 * QUARTER_MS}
    assert Candle.objects.count() == job.rows_written == 1000
    let_time_pass(job)
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("status", {"status": 429, "retry_after": 7}),
        ("status", {"status": 418, "retry_after": 2}),
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("html", {}),
        ("truncated", {}),
        ("empty", {}),
        ("reset", {}),
    ],
)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_it_ends_complete_however_the_venue_stumbles(venue, kind, how, nth):
    venue.script(KLINES, kind, nth=nth, **how)
    job = run(start())
    assert (job.status, job.error) == (JobStatus.DONE, "")
    assert_complete(venue, BTC)
    assert len(PAUSES) == (0 if kind == "empty" else 1)
    if "retry_after" in how:
        assert PAUSES[0] >= how["retry_after"]


@pytest.mark.parametrize("route", [TIME, INFO, FUNDING])
@pytest.mark.parametrize("kind", ["status", "html", "truncated", "reset"])
def test_it_survives_trouble_on_every_route(venue, route, kind):
    venue.script(route, kind)
    assert run(start()).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_gives_up_after_some_tries_and_continues_when_asked_to(venue):
    venue.script(KLINES, "status", status=503, nth=2, times=1000)
    job = run(start())
    assert job.status == JobStatus.FAILED
    assert (
        job.error
        == f"binance is not available when asked for {BTC} 15m candles, {backfill.ATTEMPTS} times; resume the job to continue where it stopped"
    )
    assert "http" not in job.error
    assert job.checkpoints == {BTC: START_MS + 1000 * QUARTER_MS}
    assert len(PAUSES) == backfill.ATTEMPTS - 1
    assert sorted(PAUSES) == PAUSES or max(PAUSES) <= backfill.LONGEST_PAUSE_S
    venue.faults.clear()
    assert backfill.resume(job) is True
    job = run(job)
    assert (job.status, job.error, job.rows_written) == (JobStatus.DONE, "", BARS)
    assert_complete(venue, BTC)


def test_it_does_not_sit_out_a_ban_of_an_hour(venue):
    venue.script(KLINES, "status", status=418, retry_after=3600)
    job = run(start())
    assert job.status == JobStatus.FAILED
    assert "limits our requests" in job.error
    assert "asks to wait 3600 s" in job.error
    assert PAUSES == []


def test_it_stops_at_a_symbol_the_venue_does_not_list(venue):
    job = run(start(["SOL/USDT:USDT"]))
    assert job.status == JobStatus.FAILED
    assert "binance does not list this symbol" in job.error


def test_it_passes_over_a_hole_in_the_venues_history(venue):
    frame = venue.state.candles["BTCUSDT", "15m"]
    keep = np.ones(len(frame), bool)
    keep[100:1600] = False
    venue.state.candles["BTCUSDT", "15m"] = CandleFrame(BTC, "15m", *(column[keep] for column in frame[2:]))
    assert run(start()).status == JobStatus.DONE
    assert_complete(venue, BTC)
    assert [gap.missing for gap in gaps(candles.read(candles.find_market(BTC), "15m").timestamp, "15m")] == [1500]


def test_it_ends_for_a_market_whose_history_ended_long_ago(venue):
    venue.state.candles["BTCUSDT", "15m"] = venue.state.candles["BTCUSDT", "15m"].slice(0, 700)
    assert run(start()).status == JobStatus.DONE
    assert len(candles.read(candles.find_market(BTC), "15m")) == 700


def test_it_stores_nothing_of_a_bar_that_is_open_by_the_venues_clock(venue):
    run(start(until_ms=UNTIL_MS + 10 * QUARTER_MS))
    assert candles.last_open_ms(candles.find_market(BTC), "15m") == UNTIL_MS - QUARTER_MS


def test_it_stops_after_the_page_when_cancelled(venue):
    job = start()
    done = run(job, progress=lambda share: backfill.cancel(job))
    assert done.status == JobStatus.CANCELLED
    assert Candle.objects.count() == 1000
    assert backfill.cancel(job) is False
    assert run(job).status == JobStatus.CANCELLED, "it stays cancelled"
    assert backfill.resume(job) is True
    assert run(job).status == JobStatus.DONE
    assert_complete(venue, BTC)


def test_it_leaves_the_job_to_whoever_took_it_over(venue):
    job = start()

    def taken_over(share: float) -> None:
        if share < 0.5:
            let_time_pass(job)
            assert run(job).status == JobStatus.DONE

    assert run(job, progress=taken_over).status == JobStatus.DONE
    assert_complete(venue, BTC)
    assert len(venue.called(KLINES)) == 4, "the first worker's next page is the only one asked for twice"


def test_it_works_in_chunks_of_time(venue):
    job = start()
    assert run(job, budget_s=0).status == JobStatus.QUEUED
    assert Candle.objects.count() == 0
    run_backfill(job_id=job.pk)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_it_finds_jobs_that_a_lost_message_left_behind(venue):
    job = start()
    sweep_backfills()
    job.refresh_from_db()
    assert job.status == JobStatus.DONE
    assert backfill.waiting() == []


def test_it_is_woken_by_a_request(venue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        job = backfill.request(symbols=[BTC], since_ms=START_MS, until_ms=UNTIL_MS)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_it_takes_up_an_unfinished_job_instead_of_starting_another(venue):
    first = start()
    assert start().pk == first.pk
    run(first)
    again = start(until_ms=UNTIL_MS)
    assert again.pk != first.pk
    asked = len(venue.called(KLINES))
    assert run(again).status == JobStatus.DONE
    assert len(venue.called(KLINES)) == asked, "what a finished job fetched is not fetched twice"


def test_it_fetches_only_what_is_new_since_the_last_job(venue):
    run(start(until_ms=UNTIL_MS - 500 * QUARTER_MS))
    venue.calls.clear()
    assert run(start()).rows_written == 500
    assert [int(query["startTime"]) for query in venue.called(KLINES)] == [UNTIL_MS - 500 * QUARTER_MS]
    assert_complete(venue, BTC)


def test_it_tells_rate_and_time_left(venue):
    paces = []
    job = start()
    run(job, progress=lambda share: paces.append(backfill.pace(BackfillJob.objects.get(pk=job.pk))))
    assert paces[0].rows_per_s > 0
    assert paces[0].eta_s > 0
    assert backfill.pace(BackfillJob.objects.get(pk=job.pk)).eta_s is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols: 'NOPE/USDT:USDT' is not listed"),
        ({"symbols": []}, "symbols: none given"),
        ({"timeframe": "13m"}, "timeframe: '13m' is not known"),
        ({"venue": "mtgox"}, "venue: 'mtgox' is not known"),
        ({"since_ms": 4_102_444_800_000}, "since: lies in the future"),
        ({"since_ms": -62_135_596_800_000}, "since: lies before 2009"),
        ({"since_ms": UNTIL_MS}, "since: leaves no whole 15m bar"),
    ],
)
def test_it_refuses_a_job_that_cannot_work(options, message):
    with pytest.raises(backfill.UserError, match=message):
        start(**options)
    assert not BackfillJob.objects.exists()


def test_it_does_not_mix_the_venues_history_with_a_files():
    candles.ingest(candles.find_market(BTC), make_frame(5), provenance="file")
    with pytest.raises(candles.MixedSources):
        start()


def test_it_runs_from_the_command_line(venue, capsys):
    call_command("backfill", symbols=f"{BTC},{ETH}", since="2024-01-01", until=clock.from_ms(UNTIL_MS).isoformat(), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["rows"]) == ("done", 2 * BARS)
    assert_complete(venue, BTC, ETH)


def test_it_adds_a_market_the_venue_lists_with_the_venues_steps(venue):
    venue.state.enlist(Instrument("PEPE", tick_size="0.001", step_size="1", min_notional="5"), make_frame(10, symbol="PEPE/USDT:USDT"))
    call_command("backfill", symbols="PEPE/USDT:USDT", since="2024-01-01", until="2024-01-01T02:00", json=True)
    market = candles.find_market("PEPE/USDT:USDT")
    assert (float(market.tick_size), float(market.step_size), float(market.min_notional)) == (0.001, 1.0, 5.0)
    assert len(candles.read(market, "15m")) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": "NOPE/USDT:USDT"}, "is not listed on binance"),
        ({"since": "yesterday"}, "--since: 'yesterday' is no date"),
        ({"since": "2999-01-01"}, "since: lies in the future"),
        ({"symbols": " , "}, "symbols: none given"),
        ({"timeframe": "9m"}, "timeframe: '9m' is not known"),
        ({"venue": "paper"}, "paper has no market data here"),
    ],
)
def test_it_says_on_the_command_line_what_cannot_work(venue, options, message):
    options = {"symbols": BTC, "since": "2024-01-01"} | options
    with pytest.raises(CommandError, match=message):
        call_command("backfill", **options)
    assert not Candle.objects.exists()


def test_it_ends_with_an_error_when_the_venue_is_away(settings, capsys, monkeypatch):
    settings.VENUE_BASE_URLS = {"binance": "http://127.0.0.1:9"}
    registry.market_data.cache_clear()
    monkeypatch.setattr(backfill, "FIRST_PAUSE_S", 0.001)
    with pytest.raises(CommandError, match="binance cannot be reached when asked for its clock, 6 times; resume the job") as caught:
        call_command("backfill", symbols=BTC, since="2024-01-01", until="2024-01-02")
    assert "\n" not in str(caught.value)
    assert BackfillJob.objects.get().status == JobStatus.FAILED
    assert registry.reachable("binance", timeout_s=1.0) is False
    registry.market_data.cache_clear()


def test_it_reaches_a_venue_that_answers(venue):
    assert registry.reachable("binance") is True


def test_it_names_what_the_venue_refused(venue):
    data = registry.market_data("binance")
    with pytest.raises(VenueRefused, match="does not list this symbol"):
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
    import urllib.request

    body = json.dumps({"route": KLINES, "kind": "status", "status": 500}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{venue.url}/_control/faults", data=body, method="POST")).read()
    assert run(start()).status == JobStatus.DONE
    assert len(PAUSES) == 1
