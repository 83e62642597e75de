"""A training from stored candles to a champion, and everything that can stand in its way."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchanges import candles
from exchanges.costs import CostModel
from exchanges.models import JobStatus, Provenance
from signals import features, registry, training
from signals.events import model_trained, training_requested
from signals.learners import learner
from signals.models import ModelStatus, ModelVersion, TrainingRun
from signals.plan import PlanConfig
from signals.training import panel, pipeline
from tests.signals.markets import HISTORY_BARS, QUICK, make_market, make_pair
from tests.signals.series import HOUR_MS, make_series
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.jobs import Withdrawn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]
BOTH = ["BTC/USDT:USDT", "ETH/USDT:USDT"]


@pytest.fixture
def heard() -> Iterator[list[tuple[str, int]]]:
    """Events of training, as (name, id)."""
    out: list[tuple[str, int]] = []

    def asked(run_id: int, **_: Any) -> None:
        out.append(("requested", run_id))

    def trained(model_id: int, **_: Any) -> None:
        out.append(("trained", model_id))

    training_requested.connect(asked)
    model_trained.connect(trained)
    yield out
    training_requested.disconnect(asked)
    model_trained.disconnect(trained)


def make_run(symbols: list[str] | None = None, **params: Any) -> TrainingRun:
    return training.queue(symbols or BOTH, params=QUICK | params)


def test_the_first_model_of_a_scope_becomes_champion_and_the_second_stays_a_candidate(
    heard: list[tuple[str, int]], django_capture_on_commit_callbacks: Any
) -> None:
    make_pair()
    stages: list[tuple[str, float]] = []
    run = make_run()
    with django_capture_on_commit_callbacks(execute=True):
        first = training.run(run.pk, progress=lambda stage, share: stages.append((stage, share)))
    run.refresh_from_db()
    assert (run.status, run.progress, run.model, run.error) == (JobStatus.DONE, 1.0, first, "")
    assert (first.status, first.reason) == (ModelStatus.CHAMPION, "first of its scope")
    assert heard == [("trained", first.pk)]
    shares = [share for _, share in stages]
    assert shares == sorted(shares)
    assert stages[0] == ("reading candles", 0.0)
    assert stages[-1] == ("done", 1.0)

    second = training.run(make_run().pk)
    assert (second.version, second.status) == (2, ModelStatus.CANDIDATE)
    assert second.data_hash == first.data_hash
    assert second.manifest_sha256 == first.manifest_sha256
    assert registry.champion() == first

    loaded = registry.load(first)
    frame = candles.read(candles.find_market(BOTH[1]), "15m", last=features.WARMUP_BARS)
    probability = loaded.predict(features.compute(frame).values).probability
    assert np.isfinite(probability[-1]).all()
    assert np.isnan(probability[0]).all()


def test_a_done_run_gives_its_model_again() -> None:
    make_pair()
    run = make_run()
    assert training.run(run.pk) == training.run(run.pk)
    assert ModelVersion.objects.count() == 1


def test_the_last_fifth_of_time_is_out_of_reach() -> None:
    btc, eth = make_pair()
    model = training.run(make_run().pk)
    first, last = int(candles.read(eth, "15m").timestamp[0]), int(candles.read(eth, "15m").timestamp[-1]) + 900_000
    assert model.oos_start_ms == last - int((last - first) * 0.2)
    assert model.train_end_ms + 900_000 + (48 + 24) * HOUR_MS <= model.oos_start_ms

    # Another future: the model is the same to the last byte.
    for market, seed in ((btc, 31), (eth, 32)):
        frame = candles.read(market, "15m")
        strange = make_series(HISTORY_BARS, symbol=market.symbol, seed=seed, price=500.0)
        late = frame.timestamp >= model.oos_start_ms
        columns = [np.where(late, theirs, ours) for ours, theirs in zip(frame[3:], strange[3:], strict=True)]
        candles.ingest(market, type(frame)(frame.symbol, frame.timeframe, frame.timestamp, *columns), provenance=Provenance.FILE)
    again = training.run(make_run().pk)
    assert (again.data_hash, again.manifest_sha256) == (model.data_hash, model.manifest_sha256)
    assert again.metrics == model.metrics


def test_other_candles_give_another_hash() -> None:
    btc, _ = make_pair()
    known = panel.histories(BOTH, training.TrainingParams(folds=2))
    hold = panel.holdout_of(known, training.TrainingParams())
    before = panel.data_hash(known, None, hold.start_ms)
    frame = candles.read(btc, "15m", last=None).slice(100, 101)
    candles.ingest(btc, type(frame)(frame.symbol, "15m", *frame[2:-1], frame.volume + 1.0), provenance=Provenance.FILE)
    assert panel.data_hash(panel.histories(BOTH, training.TrainingParams(folds=2)), None, hold.start_ms) != before


def test_metrics_say_span_sample_and_interval_everywhere() -> None:
    make_pair()
    metrics = training.run(make_run().pk).metrics
    json.dumps(metrics, allow_nan=False)
    assert set(metrics["symbols"]) == set(BOTH)
    assert [fold["number"] for fold in metrics["folds"]] == [1, 2]
    for side in ("long", "short"):
        overall = metrics["overall"][side]
        assert overall["n"] == overall["span"]["n"] == sum(part[side]["n"] for part in metrics["symbols"].values())
        assert overall["n_effective"] < overall["n"]
        assert {"auc", "log_loss", "log_loss_of_base_rate", "brier", "base_rate", "break_even", "selected"} <= set(overall)
        assert metrics["folds"][0][side]["calibrated"] is False
        assert metrics["folds"][1][side]["purged"] > 0
        assert metrics["folds"][1][side]["train"]["end"] < metrics["folds"][1][side]["test"]["start"]
        assert sum(row["n"] for row in metrics["calibration"][side]) == overall["n"]
        assert metrics["shuffled_labels"][side]["passed"] is True
    assert "out-of-fold AUC" in metrics["text"]


def test_metrics_hold_leak_tests_trades_confidence_and_paths() -> None:
    make_pair(6_600)
    metrics = training.run(make_run(folds=3, trials=40).pk).metrics
    tests = metrics["leak_tests"]
    assert tests["passed"], tests["failures"]
    assert tests["truncated_features"]["rows"] == 12
    assert tests["label_spans"]["labels"] == 160
    # Two sides of 3 folds with their validation tails, and of 6 combinatorial splits in three parts.
    assert tests["label_spans"]["splits"] == 2 * (3 * 2 + 6 * 3)
    assert tests["shuffled_labels"] == metrics["shuffled_labels"]
    trading = metrics["trading"]
    assert [fold["number"] for fold in trading["folds"]] == [2, 3]
    assert sum(fold["trades"] for fold in trading["folds"]) == trading["overall"]["trades"]
    assert sum(part["trades"] for part in trading["symbols"].values()) == trading["overall"]["trades"]
    assert sum(part["trades"] for part in trading["regimes"].values()) == trading["overall"]["trades"]
    assert trading["overall"]["trials"] == 40
    for side in ("long", "short"):
        assert [level["nominal"] for level in metrics["conformal"]["sides"][side]] == [0.8, 0.9]
        assert metrics["conformal"]["live"][side]["n"] == metrics["overall"][side]["n"]
        assert metrics["precision"][side][0]["n"] == metrics["overall"][side]["n"]
    assert len(metrics["paths"]["each"]) == 3
    assert metrics["paths"]["spread"]["auc_long"]["n"] == 3
    assert "All leak tests passed." in metrics["text"]


def test_two_folds_leave_no_time_to_measure_coverage_on_and_it_says_so() -> None:
    make_pair()
    metrics = training.run(make_run(cpcv_groups=0).pk).metrics
    assert metrics["conformal"]["sides"] == {"long": [], "short": []}
    assert "at least 3 folds" in metrics["conformal"]["reason"]
    assert metrics["paths"]["reason"] == "not asked for"


def test_a_model_whose_leak_tests_fail_is_refused_and_never_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pair(8_000)
    honest, place = features.compute, features.NAMES.index("ret_16")

    def peeking(*args: Any, **kwargs: Any) -> Any:
        seen = honest(*args, **kwargs)
        values = seen.values.copy()
        values[:-16, place], values[-16:, place] = values[16:, place], 0.0
        return seen._replace(values=values)

    monkeypatch.setattr(features, "compute", peeking)
    model = training.run(make_run().pk)
    assert model.status == ModelStatus.REFUSED
    assert model.reason.startswith("leak tests failed: 1 of ")
    assert "(ret_16)" in model.reason
    assert registry.champion() is None
    assert not model.metrics["leak_tests"]["truncated_features"]["passed"]
    assert not model.metrics["leak_tests"]["shifted_features"]["passed"]
    assert "LEAK" in model.metrics["text"]
    with pytest.raises(registry.NotPromotable, match="is refused"):
        registry.promote(model, "it looks so good")


def test_a_trained_model_carries_its_thresholds_and_a_model_without_them_never_abstains() -> None:
    make_pair()
    model = training.run(make_run().pk)
    loaded: Any = registry.load(model)
    live = model.metrics["conformal"]["live"]["long"]
    assert loaded.sides[0].thresholds.thresholds == tuple(live["thresholds"])
    limit = loaded.sides[0].thresholds.threshold(0.9)
    probability = np.array([[0.5, 0.5], [0.999, 0.999], [np.nan, np.nan]])
    assert loaded.abstains(probability, 0.9)[:, 0].tolist() == [True, limit >= 0.999, True]
    older = type(loaded)(loaded.feature_names, [replace(side, thresholds=None) for side in loaded.sides])
    assert not older.abstains(probability, 0.9).any()


def test_it_finds_an_edge_that_is_there_and_says_so_when_there_is_none() -> None:
    make_pair(16_000, pull=0.9)  # fewer bars hold too few independent labels to tell skill from a lucky stretch
    strong = training.run(make_run(rounds=60, folds=4).pk).metrics
    assert min(strong["overall"][side]["auc"] for side in ("long", "short")) > 0.7
    assert strong["edge"]["found"]
    assert "An edge was found out of fold" in strong["text"]
    for market in (candles.find_market(symbol) for symbol in BOTH):
        candles.forget(market)
    make_pair(9_000, pull=0.0)
    noise = training.run(make_run(rounds=60, stride=2).pk).metrics
    for side in ("long", "short"):
        part = noise["overall"][side]
        assert abs(part["auc"] - 0.5) < 3.0 / np.sqrt(3.0 * part["n_effective"])  # three standard errors for so few independent labels
    assert not noise["edge"]["found"]
    assert "No edge was found out of fold" in noise["text"]


def test_samples_are_purged_thinned_and_labelled_before_the_holdout() -> None:
    make_pair()
    params = training.TrainingParams(**QUICK, stride=8)
    known = panel.histories(BOTH, params)
    hold = panel.holdout_of(known, params)
    made = panel.build(known, panel.bitcoin(known, params), hold, params, plan=PlanConfig(), costs=CostModel(), tell=str)
    assert (made.start_ms <= hold.last_start_ms).all()
    assert (made.end_ms < hold.start_ms).all()
    assert (made.bar_ms // 900_000 % 8 == 0).all()
    assert np.isfinite(made.x).all()
    assert set(np.unique(made.y)) == {0, 1}
    assert ((made.weight > 0) & (made.weight <= 1)).all()


def test_samples_hold_the_features_of_their_bars_with_and_without_those_before() -> None:
    make_pair()
    params = training.TrainingParams(**QUICK, stride=8, learners=("lightgbm", "lstm"))
    known = panel.histories(BOTH, params)
    btc, hold = panel.bitcoin(known, params), panel.holdout_of(known, params)
    how = {"plan": PlanConfig(), "costs": CostModel(), "tell": str}
    made = panel.build(known, btc, hold, params, **how)
    for number, history in enumerate(known):
        own = made.symbol == number
        seen = features.compute(panel.before(history.frame, hold.start_ms), funding=history.funding, btc=panel.before(btc, hold.start_ms))
        bars = np.searchsorted(seen.timestamp, made.bar_ms[own])
        assert np.array_equal(made.x[own], seen.values[bars].astype(np.float32))
    assert made.windows is not None
    assert np.array_equal(made.windows.rows[made.windows.at], made.x)
    rows = panel.build(known, btc, hold, replace(params, learners=("lightgbm",)), **how)
    assert rows.windows is None
    assert np.array_equal(rows.x, made.x)
    one = learner("lightgbm")()
    assert rows.inputs(one) is rows.x  # all of them cost no copy
    assert np.array_equal(rows.inputs(one, np.array([3, 5])), rows.x[[3, 5]])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"folds": 1}, "folds must be a whole number from 2 to 10, not 1"),
        ({"stride": 0}, "stride must be a whole number from 1 to 96, not 0"),
        ({"timeframe": "5m"}, "timeframe '5m' cannot be trained on: use 15m, 30m, 1h"),
        ({"holdout_share": 0.0}, "holdout_share must be from 0.05 to 0.5, not 0.0"),
        ({"tree": 3}, "params: 'tree' is unknown"),
        ({"trials": 0}, "trials must be a whole number from 1"),
        ({"trial_variance": -0.1, "trials": 9}, "trial_variance must be a number from 0 to 10"),
        ({"trial_variance": float("nan"), "trials": 9}, "trial_variance must be a number from 0 to 10"),
        ({"trial_variance": 0.1}, "trial_variance must be a number from 0 to 10 and needs at least 2 trials"),
        ({"cpcv_groups": 3}, "cpcv_groups must be 0 or at least cpcv_test_groups + 2"),
        ({"plan": "near"}, "plan must be an object of unit, stop_atr"),
        ({"plan": {"stop": 1.0}}, "plan: 'stop' is unknown: use unit, atr_timeframe"),
        ({"plan": {"stop_atr": "1"}}, "plan: stop_atr cannot be '1'"),
        ({"plan": {"tp1_atr": 5.0}}, "plan: take-profits must be ordered"),
        ({"plan": {"stop_atr": 11.0}}, "plan: distances can be from 0.1 to 10 units"),
        ({"plan": {"stop_atr": 0.05}}, "plan: distances can be from 0.1 to 10 units"),
        ({"plan": {"stop_atr": 2**64}}, "plan: stop_atr cannot be 18446744073709551616"),
        ({"plan": {"max_hold_ms": 3_600_000}}, "plan: max_hold_ms is the platform's own: only unit, stop_atr"),
        ({"rounds": "many"}, "rounds must be a whole number"),
        ({"learners": []}, "learners must be a list of different kinds, not []: choose from lightgbm, xgboost"),
        ({"learners": "xgboost"}, "learners must be a list of different kinds"),
        ({"learners": ["xgboost", "xgboost"]}, "learners must be a list of different kinds"),
        ({"learners": ["xgboost", "oracle"]}, "learner 'oracle' is unknown: choose from lightgbm, xgboost"),
        ({"learners": [["xgboost"]]}, "learner ['xgboost'] is unknown"),
    ],
)
def test_impossible_parameters_are_refused_before_anything_is_queued(params: dict[str, Any], message: str) -> None:
    make_market(BOTH[0], make_series(100, symbol=BOTH[0]))
    with pytest.raises(UserError) as caught:
        training.queue([BOTH[0]], params=params)
    assert message in caught.value.message
    assert caught.value.field == next(iter(params))
    assert not TrainingRun.objects.exists()


def test_unusable_histories_are_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match="name at least one market"):
        training.queue([" "])
    make_market(BOTH[0], make_series(3_000, symbol=BOTH[0]))
    with pytest.raises(candles.UnknownSymbol, match="'NOPE/USDT:USDT' is not listed"):
        training.queue(["NOPE/USDT:USDT"])
    run = TrainingRun.objects.create(symbols=[BOTH[0]], params=QUICK)  # its candles were there when it was asked for
    with pytest.raises(panel.UnusableHistory, match=r"symbols: .* has 3000 candles of 15m, training with 2 folds needs 5"):
        training.run(run.pk)
    run.refresh_from_db()
    assert run.status == JobStatus.FAILED
    assert "backfill more" in run.error
    candles.add_market("SOL/USDT:USDT")
    with pytest.raises(panel.UnusableHistory, match="SOL/USDT:USDT has no candles"):
        training.run(make_run(["SOL/USDT:USDT"]).pk)
    assert not ModelVersion.objects.exists()


def test_candles_of_different_origin_are_never_mixed() -> None:
    make_market(BOTH[0], make_series(HISTORY_BARS, symbol=BOTH[0]))
    make_market(BOTH[1], make_series(HISTORY_BARS), provenance=Provenance.SIMULATED)
    with pytest.raises(panel.UnusableHistory, match="different origin are never mixed"):
        training.run(make_run().pk)


def test_a_market_that_never_moves_is_a_clear_error() -> None:
    frame = make_series(HISTORY_BARS, symbol=BOTH[0])
    flat = np.full(HISTORY_BARS, 100.0)
    make_market(BOTH[0], type(frame)(frame.symbol, "15m", frame.timestamp, flat, flat, flat, flat, frame.volume))
    with pytest.raises(panel.UnusableHistory, match="no usable sample"):
        training.run(make_run([BOTH[0]]).pk)


def test_start_queues_and_tells_the_workers_after_commit(
    heard: list[tuple[str, int]], django_capture_on_commit_callbacks: Any, django_user_model: Any
) -> None:
    make_market(BOTH[0], make_series(HISTORY_BARS, symbol=BOTH[0]))
    asker = django_user_model.objects.create_user(email="asker@example.com")
    with django_capture_on_commit_callbacks() as callbacks:
        run = training.start([BOTH[0], BOTH[0]], params=QUICK, requested_by=asker)
    assert (run.status, run.symbols, run.requested_by) == (JobStatus.QUEUED, [BOTH[0]], asker)
    assert heard == []
    assert len(callbacks) == 1


def test_a_cancelled_run_stops_at_its_next_step_and_registers_nothing(model_dir: Path) -> None:
    make_pair()
    run = make_run()

    def cancel_soon(stage: str, share: float) -> None:
        if share > 0.3:
            training.cancel(run.pk)

    with pytest.raises(Withdrawn):
        training.run(run.pk, progress=cancel_soon)
    run.refresh_from_db()
    assert run.status == JobStatus.CANCELLED
    assert not ModelVersion.objects.exists()
    assert not model_dir.exists()
    assert training.cancel(run.pk) is False
    with pytest.raises(training.NotStartable, match="is cancelled"):
        training.run(run.pk)


def test_a_run_that_works_elsewhere_is_not_started_twice() -> None:
    make_pair()
    run = make_run()
    TrainingRun.objects.filter(pk=run.pk).update(status=JobStatus.RUNNING, heartbeat_at=clock.now())
    with pytest.raises(training.NotStartable, match="is running"):
        training.run(run.pk)


def test_an_unexpected_failure_is_written_on_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    make_pair()
    run = make_run()

    def broken(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(pipeline, "train", broken)
    with pytest.raises(MemoryError):
        training.run(run.pk)
    run.refresh_from_db()
    assert (run.status, run.error) == (JobStatus.FAILED, "MemoryError: no room")


def test_the_sweep_revives_a_dead_workers_run_which_then_finishes(
    heard: list[tuple[str, int]], django_capture_on_commit_callbacks: Any
) -> None:
    make_pair()
    run, fresh = make_run(), training.queue(BOTH, params=QUICK, alongside=True)
    long_ago = clock.now() - training.STALE_AFTER - timedelta(seconds=1)
    TrainingRun.objects.filter(pk=run.pk).update(status=JobStatus.RUNNING, heartbeat_at=long_ago, created_at=long_ago, progress=0.4)
    with django_capture_on_commit_callbacks():
        assert training.sweep() == [run.pk]
    run.refresh_from_db()
    assert (run.status, run.progress, run.params["restarts"]) == (JobStatus.QUEUED, 0.0, 1)
    assert training.run(run.pk).status == ModelStatus.CHAMPION
    fresh.refresh_from_db()
    assert fresh.status == JobStatus.QUEUED


def test_a_run_whose_worker_always_dies_is_given_up() -> None:
    make_market(BOTH[0], make_series(HISTORY_BARS, symbol=BOTH[0]))
    run = make_run([BOTH[0]])
    long_ago = clock.now() - training.STALE_AFTER - timedelta(seconds=1)
    for _ in range(training.MAX_RESTARTS + 1):
        TrainingRun.objects.filter(pk=run.pk).update(status=JobStatus.RUNNING, heartbeat_at=long_ago)
        training.sweep()
    run.refresh_from_db()
    assert run.status == JobStatus.FAILED
    assert "its worker died 4 times" in run.error


def test_it_trains_the_learners_that_were_asked_for() -> None:
    make_pair()
    model = training.run(make_run(learners=["xgboost"]).pk)
    assert model.params["learners"] == ["xgboost"]
    fitted = [*model.metrics["leak_tests"]["lagged_features"].values(), *model.metrics["shuffled_labels"].values(), model.metrics["paths"]]
    assert [part["learner"] for part in fitted] == ["xgboost"] * 5
    assert set(model.metrics["blend"]["long"]) == set(model.metrics["trees"]["short"]) == {"xgboost"}
    loaded = registry.load(model)
    frame = candles.read(candles.find_market(BOTH[1]), "15m", last=features.WARMUP_BARS)
    out = loaded.predict(features.compute(frame).values[-1:])
    assert np.isfinite(out.probability).all()
    assert (out.agreement == 1.0).all()


def test_the_order_in_which_learners_are_named_changes_nothing() -> None:
    asked = training.params.parse({"learners": ["xgboost", "lightgbm"]})
    assert asked == training.TrainingParams()
    assert training.params.to_json(asked)["learners"] == ["lightgbm", "xgboost"]
