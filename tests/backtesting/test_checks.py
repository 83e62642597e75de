"""Look-ahead checks as jobs, on the command line and on the strategy's page."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.urls import reverse

from backtesting import checks
from backtesting.models import LookaheadCheck
from exchanges.models import JobStatus, Market
from signals import features
from signals.models import ModelVersion
from tests.backtesting.conftest import BARS
from tests.signals import scenes
from tests.signals.scenes import BTC, ETH
from tests.signals.series import make_series
from traderai.lib import clock
from traderai.lib.errors import UserError

pytestmark = pytest.mark.django_db
STRATEGY = "ml-ensemble"
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(checks, "ENDS", 1)
    monkeypatch.setattr(checks, "CUTS", 3)


@pytest.fixture
def leak(monkeypatch):
    """A planted defect: ret_4 is the next bar's."""
    honest = features.compute

    def compute(frame, **more):
        seen = honest(frame, **more)
        values, column = seen.values.copy(), seen.names.index("ret_4")
        values[:-1, column] = values[1:, column]
        return seen._replace(values=values)

    monkeypatch.setattr(features, "compute", compute)


def start(user=None, **changes):
    return checks.start(user, **{"strategy": STRATEGY, "symbols": [ETH], "cuts": 3, "queue": False, **changes})


def check_lookahead(*args):
    out = io.StringIO()
    call_command("check_lookahead", "--strategy", STRATEGY, "--symbols", ETH, "--cuts", "3", *args, stdout=out)
    return out.getvalue()


# --- the job


def test_it_passes_the_product_and_says_on_which_bars(champion):
    seen = []
    check = checks.execute(start().pk, progress=lambda stage, share: seen.append((stage, share)))
    assert (check.status, check.passed, check.model) == (JobStatus.DONE, True, champion)
    (report,) = check.findings["markets"]
    assert (report["symbol"], report["bars"], report["cuts"], report["findings"]) == (ETH, BARS, 3, [])
    assert report["decided"] > 0
    assert report["settled_bars"] <= features.WARMUP_BARS
    assert report["last_ms"] - report["first_ms"] == (BARS - 1) * 900_000
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert ETH in seen[0][0]
    json.dumps(check.findings, allow_nan=False)


def test_it_names_a_leak_with_times_and_values(champion, leak):
    check = checks.execute(start().pk)
    assert (check.status, check.passed) == (JobStatus.DONE, False)
    found = check.findings["markets"][0]["findings"][0]
    assert (found["analysis"], found["kind"], found["name"], found["bars"]) == ("look-ahead", "feature", "ret_4", 3)
    assert found["whole"] != found["short"]


def test_it_keeps_the_newest_result_only(champion):
    old = checks.execute(start().pk)
    new = checks.execute(start().pk)
    assert list(LookaheadCheck.objects.values_list("pk", flat=True)) == [new.pk]
    assert old.pk != new.pk


def test_one_that_is_unfinished_is_not_asked_for_twice(champion, alice):
    first = start()
    assert start(alice).pk == first.pk
    assert LookaheadCheck.objects.count() == 1


def test_it_runs_once_and_tells_a_failure_on_its_row(champion, monkeypatch):
    check = start()
    LookaheadCheck.objects.filter(pk=check.pk).update(status=JobStatus.RUNNING)
    assert checks.execute(check.pk).status == JobStatus.RUNNING
    LookaheadCheck.objects.filter(pk=check.pk).update(status=JobStatus.QUEUED)
    Market.objects.filter(symbol=ETH).delete()
    with pytest.raises(UserError):
        checks.execute(check.pk)
    check.refresh_from_db()
    assert check.status == JobStatus.FAILED
    assert ETH in check.error


def test_one_that_is_removed_while_it_runs_ends_quietly(champion):
    check = start()

    def remove(stage, share):
        LookaheadCheck.objects.all().delete()

    assert checks.execute(check.pk, progress=remove).passed is None
    assert not LookaheadCheck.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "astrology"}, "strategy: template 'astrology' is unknown: use one of ml-ensemble"),
        ({"bars": 100}, "bars: must be from 2800 to 50000, not 100"),
        ({"cuts": 0}, "cuts: must be from 1 to 500, not 0"),
        ({"symbols": []}, "symbols: name at least one"),
        ({"symbols": ["SOL/USDT:USDT"]}, "symbols: SOL/USDT:USDT has no candles; import or backfill them first"),
    ],
)
def test_it_refuses_what_cannot_be_examined(champion, changes, words):
    with pytest.raises(UserError) as refused:
        start(**changes)
    assert refused.value.message.startswith(words)
    assert not LookaheadCheck.objects.exists()


def test_it_looks_at_the_markets_of_the_venue_that_the_model_learned_from(champion):
    ModelVersion.objects.update(venue_slug="okx")
    with pytest.raises(UserError, match="is not listed on okx"):
        start()


def test_it_says_what_to_do_without_a_model_or_without_enough_bars(db, learners):
    with pytest.raises(UserError, match="there is no champion yet; train one first"):
        start()
    scenes.make_market(ETH, frame=make_series(500, symbol=ETH))
    scenes.make_champion(scenes.make_ensemble(learners), symbols=[ETH])
    with pytest.raises(UserError, match="has 500 bars of 15m, a check needs 2800; backfill or import more"):
        start()
    ModelVersion.objects.update(timeframe="1h")
    with pytest.raises(UserError, match="learned from 1h bars"):
        start()
    ModelVersion.objects.update(timeframe="15m", provenance="venue")
    with pytest.raises(UserError, match="both be simulated or both be real"):
        start()


def test_a_sweep_finds_what_a_killed_worker_left(champion, django_capture_on_commit_callbacks):
    check = start()
    long_ago = clock.now() - timedelta(hours=1)
    LookaheadCheck.objects.update(status=JobStatus.RUNNING, heartbeat_at=long_ago, created_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):  # tasks run at once in tests
        assert checks.sweep() == 1
    check.refresh_from_db()
    assert (check.status, check.passed) == (JobStatus.DONE, True)


# --- the command


def test_the_command_prints_json_and_succeeds(champion):
    found = json.loads(check_lookahead("--json"))
    assert (found["passed"], found["strategy"], found["data"], found["model_version"]) == (True, STRATEGY, "simulated", champion.version)
    assert found["markets"][0]["findings"] == []


def test_the_command_fails_and_names_what_moved(champion, leak):
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"ret_4.* moved when the data was shortened"):
        call_command("check_lookahead", "--strategy", STRATEGY, "--symbols", ETH, "--cuts", "3", stdout=out)
    assert "FAILED [SIMULATED MARKET]" in out.getvalue()
    assert "ret_4 (feature)" in out.getvalue()


def test_the_command_says_in_one_line_what_to_do(db):
    with pytest.raises(CommandError, match="there is no champion yet") as refused:
        check_lookahead()
    assert "\n" not in str(refused.value)


# --- the page


def address(name="lookahead"):
    return reverse(f"backtests:{name}", args=[STRATEGY])


def fragment(client) -> str:
    html = client.get(address(), **HTMX).content.decode()
    assert "<html" not in html
    return html


def test_the_page_says_that_nothing_was_checked_yet(alice, client_for, db):
    client = client_for(alice)
    assert "no model has been trained and promoted" in fragment(client)
    assert address() in client.get(reverse("strategies:list")).content.decode()
    assert client.get(reverse("backtests:lookahead", args=["astrology"])).status_code == 404


def test_staff_and_those_who_set_the_strategy_up_may_start_one(champion, sam, alice, bob, client_for):
    scenes.make_config(alice, scenes.make_account(alice))
    for user, status in ((sam, 302), (alice, 302), (bob, 403)):
        client = client_for(user)
        assert ("Check for look-ahead" in fragment(client)) == (status == 302)
        assert client.post(address("lookahead_start")).status_code == status
        LookaheadCheck.objects.all().delete()
    assert client_for(alice).get(address("lookahead_start")).status_code == 405


def test_it_is_run_by_a_worker_and_shown(champion, sam, client_for, django_capture_on_commit_callbacks):
    client = client_for(sam)
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        client.post(address("lookahead_start"))
    html = client.get(address()).content.decode()
    for words in ("passed", "nothing moved", f"model version {champion.version}", ETH, BTC, "simulated"):
        assert words in html
    assert 'hx-trigger="every' not in html


def test_it_polls_while_one_is_unfinished_and_offers_no_second(champion, sam, client_for):
    check = start()
    client = client_for(sam)
    assert "waiting for a worker" in fragment(client)
    LookaheadCheck.objects.filter(pk=check.pk).update(status=JobStatus.RUNNING, stage="Shortening the history", progress=0.5)
    html = fragment(client)
    assert 'value="0.50"' in html
    assert 'hx-trigger="every 2s"' in html
    assert "Check for look-ahead" not in html


def test_it_shows_what_moved(champion, alice, client_for, leak):
    checks.execute(start().pk)
    html = fragment(client_for(alice))
    assert "failed" in html
    assert "<code>ret_4</code>" in html
    assert "it knows bars after" in html


def test_the_result_of_another_model_is_not_shown(champion, alice, client_for, learners):
    checks.execute(start().pk)
    scenes.make_champion(scenes.make_ensemble(learners))
    assert "No look-ahead check yet with model version" in fragment(client_for(alice))
