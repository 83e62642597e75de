"""Models on pages: what each learned and how far it may be believed; older ones without the newer figures, too."""

import re
from typing import Any

import pytest
from django.urls import reverse

from signals import training
from signals.models import ModelStatus, ModelVersion
from signals.views import figures, plots
from signals.views.plots import Point
from tests.signals.markets import QUICK, make_facts, make_pair

pytestmark = pytest.mark.django_db


@pytest.fixture
def trader(client_for, alice):
    return client_for(alice)


def make_model(version: int = 1, **changes: Any) -> ModelVersion:
    """A row without files: pages read nothing else."""
    facts = make_facts(**changes)
    return ModelVersion.objects.create(
        scope="default", version=version, artefact=f"default-v{version}", manifest_sha256="1" * 64, features=["ret_4", "rsi_14"], **facts
    )


@pytest.fixture(scope="module")
def learned(django_db_setup, django_db_blocker, tmp_path_factory):
    """Metrics and parameters of a real training, rolled back."""
    from django.db import transaction
    from django.test import override_settings

    with django_db_blocker.unblock(), override_settings(MODEL_DIR=tmp_path_factory.mktemp("models")), transaction.atomic():
        make_pair(9_000, pull=0.9)  # an edge to trade on
        model = training.run(
            training.queue(
                ["BTC/USDT:USDT", "ETH/USDT:USDT"], params=QUICK | {"folds": 3, "rounds": 40, "trials": 12, "trial_variance": 0.0025}
            ).pk
        )
        facts = {"metrics": model.metrics, "params": model.params, "symbols": model.symbols}
        transaction.set_rollback(True)
    return facts


def html_of(client: Any, name: str, *args: Any) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()


def test_it_sends_a_visitor_to_the_login_and_answers_get_only(client, trader):
    model = make_model()
    for name, args in (("models:list", []), ("models:detail", [model.pk])):
        address = reverse(name, args=args)
        assert client.get(address).status_code == 302
        assert trader.post(address).status_code == 405
    assert trader.get(reverse("models:detail", args=[model.pk + 1])).status_code == 404


def test_without_a_model_it_says_how_to_get_one(trader):
    html = html_of(trader, "models:list")
    assert "No model yet" in html
    assert "manage.py train" in html


def test_it_lists_models_newest_first_with_what_they_did(trader, learned):
    make_model(1, status=ModelStatus.REFUSED)
    make_model(2, **learned)
    html = html_of(trader, "models:list")
    assert re.findall(r"default v(\d)", html) == ["2", "1"]
    assert "2 models" in html
    new, old = re.findall(r'<tr data-model="\d+">(.*?)</tr>', html, re.DOTALL)
    assert "passed" in new
    assert str(learned["metrics"]["trading"]["overall"]["trades"]) in new
    assert "not run" in old
    assert "Refused" in old


def test_it_shows_every_part_of_a_trained_models_evidence(trader, learned):
    html = html_of(trader, "models:detail", make_model(**learned).pk)
    metrics = learned["metrics"]
    for title in figures.LEAK_TITLES.values():
        assert title in html
    assert html.count('<span class="badge badge--ok">passed</span>') >= 3
    assert metrics["text"].split(".")[0] in html.replace("&#x27;", "'")
    overall = metrics["trading"]["overall"]
    assert f"{overall['hit_rate'] * 100:.1f} %" in html
    assert f"{overall['deflated_sharpe'] * 100:.1f} %" in html
    assert f"0.050 measured, {overall['chance_variance'] ** 0.5:.3f} by chance" in html
    assert "Trials it was chosen from" in html
    for name in ("Fold 2", "Fold 3", "BTC/USDT:USDT", "Path 1", "Path 3"):
        assert f">{name}" in html
    assert html.count('<svg class="plot"') == 6  # trades, paths, reliability and precision of both sides
    assert html.count('role="img" aria-label="') >= 6
    for level in metrics["conformal"]["sides"]["long"]:
        assert f"{level['coverage'] * 100:.1f} %" in html
    assert "0" * 64 in html
    assert "<code>cpcv_groups</code>" in html
    assert html.count("Fitted: lightgbm.") == 2


def test_a_model_without_the_newer_figures_still_has_a_page(trader, learned):
    bare = html_of(trader, "models:detail", make_model(1).pk)
    assert "registered without figures" in bare
    assert "No leak test was stored" in bare
    older = {
        key: value for key, value in learned["metrics"].items() if key not in {"trading", "conformal", "precision", "paths", "leak_tests"}
    }
    html = html_of(trader, "models:detail", make_model(2, **{**learned, "metrics": older}).pk)
    assert html.count('<svg class="plot"') == 2
    assert "Trades out of fold" not in html


def test_a_model_that_would_not_have_traded_says_so(trader, learned):
    nothing = dict.fromkeys(learned["metrics"]["trading"]["overall"]) | {
        "trades": 0,
        "days": 20,
        "start": "2023-02-01",
        "end": "2023-03-01",
    }
    trading = learned["metrics"]["trading"] | {"overall": nothing, "folds": [], "symbols": {}, "regimes": {}}
    html = html_of(trader, "models:detail", make_model(**{**learned, "metrics": learned["metrics"] | {"trading": trading}}).pk)
    assert "nothing would have been traded" in html
    assert "Trials it was chosen from" not in html


def test_a_refused_model_says_why(trader, learned):
    failed = {
        "passed": False, "rows": 6, "features": 144, "count": 1,
        "offending": [{"feature": "ret_4", "symbol": "ETH/USDT:USDT", "at": "2023-05-01", "learned": 0.5, "without_the_future": None}],
    }  # fmt: skip
    tests = {**learned["metrics"]["leak_tests"], "truncated_features": failed, "passed": False}
    metrics = {**learned["metrics"], "leak_tests": tests}
    reason = "leak tests failed: 1 of 144 features change once the future is cut off (ret_4)"
    html = html_of(trader, "models:detail", make_model(status=ModelStatus.REFUSED, reason=reason, **{**learned, "metrics": metrics}).pk)
    assert reason in html
    assert '<span class="badge badge--bad">failed</span>' in html
    assert "ret_4 of ETH/USDT:USDT at 2023-05-01 was 0.5 and is unknown without them" in html


def test_it_says_why_something_was_not_measured(trader, learned):
    metrics = learned["metrics"] | {
        "paths": {"groups": 0, "test_groups": 2, "rows": 10, "learner": "lightgbm", "reason": "not asked for", "each": []},
        "conformal": learned["metrics"]["conformal"] | {"sides": {"long": [], "short": []}, "reason": "at least 3 folds are needed"},
    }
    html = html_of(trader, "models:detail", make_model(**{**learned, "metrics": metrics}).pk)
    assert "No paths: not asked for." in html
    assert "Not measured: at least 3 folds are needed." in html


def test_a_simulated_market_is_said_to_be_one(trader):
    assert "badge--sim" in html_of(trader, "models:detail", make_model(provenance="simulated").pk)
    assert "badge--sim" in html_of(trader, "models:list")


# --- the drawings


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.42, 0.61, [0.45, 0.5, 0.55, 0.6]), (-1.3, 2.9, [-1.0, 0.0, 1.0, 2.0])],
)
def test_ticks_are_round_numbers_within_the_range(low, high, expected):
    assert plots.steps(low, high) == pytest.approx(expected)


def test_a_calibrated_model_lies_on_the_diagonal():
    plot = plots.reliability([Point(share, share, share - 0.05, share + 0.05) for share in (0.3, 0.5, 0.7)], "x")
    assert plot is not None
    [guide] = plot.guides
    for mark in plot.marks:
        share = (mark.x - guide.x1) / (guide.x2 - guide.x1)
        assert guide.y1 + share * (guide.y2 - guide.y1) == pytest.approx(mark.y, abs=0.2)
        assert mark.high < mark.y < mark.low  # up is smaller
        assert plots.LEFT <= mark.x <= plots.WIDTH - plots.RIGHT


def test_rows_stand_under_each_other_and_show_zero():
    plot = plots.rows([Point(0.0, 1.0, 0.5, None, "A"), Point(0.0, -2.0, -3.0, -1.0, "B")], "x", "y")
    assert plot is not None
    first, second = plot.marks
    assert second.y - first.y == plots.ROW
    assert second.x < plot.guides[0].x1 < first.x
    assert first.high == first.x  # an open end is drawn up to the point only
    assert plots.rows([], "x", "y") is None


def test_the_fewer_are_kept_the_further_right_it_is_drawn():
    plot = plots.by_share([Point(1.0, 0.4, 0.3, 0.5), Point(0.1, 0.5, 0.3, 0.7), Point(0.01, 0.6, 0.2, 0.9)], "x", 0.45)
    assert plot is not None
    xs = [mark.x for mark in plot.marks]
    assert xs == sorted(xs)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert len(plot.band.split()) == 6
