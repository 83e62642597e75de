import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from django.db import connection

from exchanges import candles
from exchanges.costs import CostModel
from exchanges.models import FundingRate, Market
from signals import features, net_profit, processing, registry, scan
from signals.conformal import Conformal
from signals.models import Rejection, ScanRun, Signal
from signals.ports import LONG
from signals.strategies import TEMPLATES
from tests.signals import scenes
from tests.signals.scenes import BAR_MS, BTC, ETH
from tests.signals.series import make_series

pytestmark = pytest.mark.django_db
TEMPLATE = TEMPLATES["ml-ensemble"]


def everything() -> list:
    return [list(model.objects.order_by("pk").values()) for model in (Signal, Rejection)]


def only_rejection() -> Rejection:
    assert not Signal.objects.exists()
    return Rejection.objects.get()


def test_it_issues_a_signal_with_its_plan_numbers_and_reasons(ensemble):
    market = scenes.make_market(ETH)
    champion = scenes.make_champion(ensemble)
    report = scan.run(slot="one")

    signal = Signal.objects.get()
    frame = candles.read(market, "15m")
    atr = float(features.plan_atr(frame, TEMPLATE.plan)[-1])
    assert report.issued == [signal]
    assert (signal.side, signal.status, signal.bar_ms, signal.model) == ("long", "open", int(frame.timestamp[-1]), champion)
    assert signal.entry == frame.close[-1]
    assert signal.stop == pytest.approx(signal.entry - 1.5 * atr)
    assert [signal.tp1, signal.tp2, signal.tp3] == pytest.approx([signal.entry + k * atr for k in (1.5, 2.75, 4.5)])
    assert signal.probability == signal.confidence == pytest.approx(0.7)
    assert 0.0 <= signal.agreement <= 1.0
    assert sum(signal.cost_lines.values()) == pytest.approx(signal.cost_pct)
    assert signal.net_profit_pct == pytest.approx(signal.gross_gain_pct - signal.cost_pct)
    assert signal.net_profit_pct >= 2.0
    assert signal.regime in ("sideways", "bull", "bear", "volatile", "crisis")
    [vote] = signal.votes
    assert [len(vote["reasons"]), vote["side"], vote["weight"]] == [5, "long", 1.0]
    assert all("speaks" in reason["text"] for reason in vote["reasons"])


def test_it_charges_what_the_markets_own_funding_lets_it_expect(learners):
    market = scenes.make_market(ETH)
    close_ms = candles.last_open_ms(market, "15m") + scenes.BAR_MS
    last = close_ms // (8 * 3_600_000) * 8 * 3_600_000
    for back, rate in ((0, 0.0004), (1, 0.0002), (2, 0.0002)):
        FundingRate.objects.create(market=market, timestamp=last - back * 8 * 3_600_000, rate=rate)
    scenes.make_champion(scenes.make_ensemble(learners))
    scan.run(slot="one")
    signal = Signal.objects.get()
    assert signal.side == "long"
    assert signal.cost_lines["funding_pct"] == pytest.approx(48 * 0.04 / 8)
    assert signal.cost_pct == pytest.approx(0.10 + 48 * 0.04 / 8)


def test_its_sizes_keep_to_the_risk_profiles(ensemble):
    scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    sizing = Signal.objects.get().sizing
    for name, risk, leverage, margin in (("low", 1.0, 5, 5.0), ("medium", 2.0, 10, 10.0), ("high", 3.0, 20, 10.0)):
        assert 0.0 < sizing[name]["risk_pct"] <= risk + 1e-6
        assert 1 <= sizing[name]["leverage"] <= leverage
        assert sizing[name]["margin_pct"] <= margin + 1e-6


def test_it_takes_the_short_side_when_that_is_the_better_one(learners):
    scenes.make_market(ETH)
    scenes.make_champion(scenes.make_ensemble(learners, long=0.6, short=0.8))
    scan.run(slot="one")
    signal = Signal.objects.get()
    assert signal.side == "short"
    assert signal.stop > signal.entry > signal.tp1 > signal.tp2 > signal.tp3


def test_it_judges_a_bar_as_the_whole_history_would(ensemble):
    """The scan reads WARMUP_BARS bars; the backtest computes over everything. Both must see the same numbers."""
    market = scenes.make_market(ETH, bars=features.WARMUP_BARS + 1_500)
    scenes.make_market(BTC, bars=features.WARMUP_BARS + 1_500, seed=3)
    scenes.make_champion(ensemble)
    scan.run(slot="one", symbols=[ETH])
    signal = Signal.objects.get()

    frame = candles.read(market, "15m")
    whole = features.compute(frame, funding=candles.funding(market), btc=candles.read(candles.find_market(BTC), "15m"))
    atr = features.plan_atr(frame, TEMPLATE.plan)
    prediction = ensemble.predict(whole.values[-1:])
    seen = net_profit.assess(
        atr_pct=atr[-1:] / frame.close[-1:] * 100.0,
        probability=prediction.probability[:, LONG],
        agreement=prediction.agreement[:, LONG],
        payoff=ensemble.payoffs[LONG],
        plan=TEMPLATE.plan,
        costs=CostModel(),
        funding_pct_per_hour=np.array([0.01]),
        rule=TEMPLATE.rule,
    )
    assert signal.atr == pytest.approx(atr[-1], rel=1e-9)
    assert signal.agreement == pytest.approx(prediction.agreement[0, LONG], abs=1e-7)
    assert signal.net_profit_pct == pytest.approx(seen.net_profit_pct[0], rel=1e-9)
    assert signal.expectancy_pct == pytest.approx(seen.expectancy_pct[0], rel=1e-9)
    assert seen.code[0] == ""


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ({"long": 0.5}, "confidence", "Probability 50.0% is below 55.0%"),
        ({"payoff": scenes.GENEROUS._replace(win_atr=0.3)}, "expectancy", "after costs"),
    ],
)
def test_it_keeps_what_it_rejects_with_reason_and_numbers(learners, answers, code, words):
    scenes.make_market(ETH)
    scenes.make_champion(scenes.make_ensemble(learners, **answers))
    report = scan.run(slot="one")
    row = only_rejection()
    assert report.rejected == [row]
    assert (row.code, row.side) == (code, "long")
    assert words in row.reason
    assert row.numbers["probability"] == pytest.approx(answers.get("long", 0.7))
    assert set(row.numbers) == {"probability", "agreement", "gross_gain_pct", "cost_pct", "net_profit_pct", "expectancy_pct"}


def test_it_keeps_an_abstention_as_an_answer_of_its_own(learners, settings):
    settings.SCAN_COVERAGE = 0.9
    scenes.make_market(ETH)
    thresholds = Conformal((0.8, 0.9), (0.6, 0.75), 500)  # decided from 0.6 on at 80 %, from 0.75 on at 90 %
    scenes.make_champion(scenes.make_ensemble(learners, thresholds=thresholds))
    scan.run(slot="one")
    row = only_rejection()
    assert row.code == "abstained"
    assert "At 90% coverage a probability of 70.0% decides for neither outcome" in row.reason
    assert processing.REJECTION_CODES[row.code] == "The model abstains"
    assert row.numbers["probability"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("coverage", "thresholds"), [(0.0, Conformal((0.9,), (0.75,), 500)), (0.8, Conformal((0.8, 0.9), (0.6, 0.75), 500)), (0.9, None)]
)
def test_it_never_abstains_unasked_or_decided_or_without_thresholds(learners, settings, coverage, thresholds):
    settings.SCAN_COVERAGE = coverage
    scenes.make_market(ETH)
    scenes.make_champion(scenes.make_ensemble(learners, thresholds=thresholds))
    assert len(scan.run(slot="one").issued) == 1


def test_it_rejects_a_ladder_that_leaves_too_little_after_costs(ensemble):
    calm = make_series(scenes.BARS, symbol=ETH)
    middle = float(calm.close.mean())
    columns = [middle + (column - middle) * 0.05 for column in calm[3:7]]
    scenes.make_market(ETH, frame=type(calm)(ETH, "15m", calm.timestamp, *columns, calm.volume))
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    row = only_rejection()
    assert row.code == "net_profit"
    assert row.numbers["net_profit_pct"] < 2.0
    assert "2.00 % is asked" in row.reason


def test_it_raises_the_thresholds_to_the_platforms_floor(ensemble, settings):
    settings.SCAN_MIN_CONFIDENCE = 0.75
    scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    assert only_rejection().code == "confidence"


def test_it_adds_nothing_when_it_sees_the_same_bar_again(ensemble):
    scenes.make_market(ETH)
    scenes.make_market(BTC, bars=100)
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    before = everything()
    again = scan.run(slot="two")
    assert everything() == before
    assert (again.issued, again.rejected, len(again.known)) == ([], [], 2)


def test_it_leaves_a_slot_alone_that_was_scanned(ensemble):
    scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    scan.run(slot="beat:1")
    assert scan.run(slot="beat:1").skipped
    assert ScanRun.objects.count() == 1


def test_it_says_that_there_is_no_model():
    scenes.make_market(ETH)
    scan.run(slot="one")
    row = only_rejection()
    assert (row.code, row.reason) == ("no_model", "No model has been trained and promoted yet.")


def test_it_looks_at_a_bar_again_once_there_is_a_model(ensemble):
    scenes.make_market(ETH)
    scan.run(slot="one")
    scenes.make_champion(ensemble)
    assert len(scan.run(slot="two").issued) == 1


def test_it_asks_no_model_of_a_simulated_market_about_real_prices(ensemble):
    scenes.make_market(ETH, provenance="file")
    scenes.make_champion(ensemble, provenance="simulated")
    scan.run(slot="one")
    assert "learned from a simulated market" in only_rejection().reason


def test_it_refuses_to_judge_bars_that_the_model_learned_from(ensemble):
    market = scenes.make_market(ETH)
    scenes.make_champion(ensemble, oos_start_ms=candles.last_open_ms(market, "15m") + 1)
    scan.run(slot="one")
    assert only_rejection().code == "in_sample"


def test_it_refuses_a_model_of_another_timeframe(ensemble):
    scenes.make_market(ETH)
    scenes.make_champion(ensemble, timeframe="1h")
    scan.run(slot="one")
    assert "learned from 1h bars" in only_rejection().reason


def test_it_marks_a_market_that_the_model_never_saw(ensemble):
    scenes.make_market(ETH)
    scenes.make_champion(ensemble, symbols=[BTC])
    scan.run(slot="one")
    assert Signal.objects.get().votes[0]["note"] == "This market was not among those the model learned from."


def test_it_says_how_much_history_is_missing(ensemble):
    scenes.make_market(ETH, bars=500)
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    row = only_rejection()
    assert row.code == "no_history"
    assert f"500 of the {features.WARMUP_BARS} bars" in row.reason


def test_it_does_not_compute_across_a_wide_gap(ensemble):
    frame = make_series(scenes.BARS + 1_000, symbol=ETH)
    keep = np.r_[0 : scenes.BARS - 200, scenes.BARS + 800 : len(frame)]
    scenes.make_market(ETH, frame=type(frame)(ETH, "15m", *(column[keep] for column in frame[2:])))
    scenes.make_champion(ensemble)
    scan.run(slot="one")
    row = only_rejection()
    assert row.code == "no_history"
    assert "gap" in row.reason


def test_it_takes_a_replayed_past_for_fresh(ensemble):
    """Candles of 2023, years behind the wall clock."""
    scenes.make_market(ETH, provenance="simulated")
    scenes.make_champion(ensemble)
    assert len(scan.run(slot="one").issued) == 1


def test_it_calls_a_venues_old_candles_stale(ensemble):
    scenes.make_market(ETH, provenance="venue")
    scenes.make_champion(ensemble, provenance="venue")
    scan.run(slot="one")
    row = only_rejection()
    assert row.code == "stale_data"
    assert row.numbers["late_minutes"] > 30


def test_it_calls_candles_stale_that_the_markets_own_clock_left_behind(ensemble):
    from exchanges import streams

    market = scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    late_ms = candles.last_open_ms(market, "15m") + 4 * BAR_MS
    streams.publish_tick(streams.Tick(market_id=market.pk, symbol=ETH, price=2_000.0, ts_ms=late_ms, source="replay"))
    scan.run(slot="one")
    assert only_rejection().code == "stale_data"


def test_it_goes_on_when_one_market_fails(ensemble, caplog):
    broken, fine = scenes.make_market(BTC), scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    Market.objects.filter(pk=broken.pk).update(step_size="0.001")
    broken.venue.maker_bps = -1.0  # costs refuse a rebate
    broken.venue.save()
    other = type(broken.venue).objects.get(slug="okx")
    Market.objects.filter(pk=fine.pk).update(venue=other)
    report = scan.run(slot="one")
    assert [signal.market_id for signal in report.issued] == [fine.pk]
    row = Rejection.objects.get()
    assert (row.market_id, row.code) == (broken.pk, "error")
    assert "maker_bps" in row.reason
    run = ScanRun.objects.get()
    assert BTC in run.error
    assert (run.issued, run.rejected, run.markets) == (1, 1, 2)
    assert run.finished_at is not None


def test_it_shows_a_damaged_model_on_every_market(ensemble):
    scenes.make_market(ETH)
    champion = scenes.make_champion(ensemble)
    registry.forget()
    (registry.folder(champion) / "manifest.json").write_text("{}")
    scan.run(slot="one")
    assert "cannot be used: manifest.json has changed" in only_rejection().reason
    assert "manifest.json" in ScanRun.objects.get().error


def test_it_leaves_out_inactive_markets_and_those_without_candles(ensemble):
    market = scenes.make_market(ETH)
    Market.objects.filter(pk=market.pk).update(is_active=False)
    scenes.make_champion(ensemble)
    assert scan.run(slot="one").markets == 0


def test_it_stores_nothing_when_a_symbol_is_unknown():
    with pytest.raises(candles.UnknownSymbol, match="FOO/BAR"):
        scan.run(symbols=["FOO/BAR"])
    assert not ScanRun.objects.exists()


def test_one_pass_covers_every_market_of_a_bar(ensemble):
    markets = [scenes.make_market(ETH), scenes.make_market(BTC, seed=3)]
    scenes.make_champion(ensemble)
    bar_ms = candles.last_open_ms(markets[0], "15m")
    first = scan.run_bar(bar_ms=bar_ms)
    assert first.markets == 2
    assert scan.run_bar(bar_ms=bar_ms) is None
    assert ScanRun.objects.count() == 1


def test_a_second_pass_takes_the_markets_that_came_late(ensemble):
    early = scenes.make_market(ETH)
    scenes.make_champion(ensemble)
    bar_ms = candles.last_open_ms(early, "15m")
    assert scan.run_bar(bar_ms=bar_ms).markets == 1
    late = scenes.make_market(BTC, seed=3)
    report = scan.run_bar(bar_ms=bar_ms)
    assert [signal.market for signal in report.issued] == [late]


def test_its_rows_are_valid_json(learners):
    """NaN is no JSON: PostgreSQL refuses it."""
    scenes.make_market(ETH)
    scenes.make_champion(scenes.make_ensemble(learners, long=0.1, short=0.1))
    scan.run(slot="one")
    numbers = only_rejection().numbers
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_it_scans_with_a_model_that_was_really_trained(trained):
    report = scan.run(slot="one")
    assert len(report.issued) + len(report.rejected) == report.markets == 2
    assert report.errors == []
    assert {row.code for row in report.rejected} <= {"confidence", "net_profit", "expectancy"}
    for row in report.rejected:
        assert 0.0 <= row.numbers["probability"] <= 1.0
    assert all(signal.model == trained for signal in report.issued)


@pytest.mark.django_db(transaction=True)
def test_passes_that_run_side_by_side_decide_each_bar_once(ensemble):
    scenes.make_market(ETH)
    scenes.make_market(BTC, bars=100)
    scenes.make_champion(ensemble)

    def work(_):
        try:
            return scan.run().errors
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == [[]] * 8
    assert (Signal.objects.count(), Rejection.objects.count()) == (1, 1)
    assert sum(ScanRun.objects.values_list("issued", flat=True)) == 1
