"""Searches on the staff's page: started, watched, cancelled, gone on with, and trained from."""

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from exchanges.models import JobStatus
from signals.models import Search, SearchTrial, TrainingRun, TrialState
from tests.signals.markets import HISTORY_BARS, make_market
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db
BTC = "BTC/USDT:USDT"
PAGE, START = reverse("admin:signals_searches"), reverse("admin:signals_search_start")
FORM = {
    "venue": "binance",
    "symbols": [BTC],
    "learners": ["lightgbm", "xgboost"],
    "timeframe": "15m",
    "folds": "2",
    "stride": "4",
    "rounds": "12",
    "scope": "default",
    "trials": "20",
    "workers": "2",
}


@pytest.fixture
def btc():
    return make_market(BTC, make_series(HISTORY_BARS, symbol=BTC))


@pytest.fixture
def staff(client_for, sam):
    return client_for(sam)


@pytest.fixture
def row(btc, sam) -> Search:
    return Search.objects.create(symbols=[BTC], params={"folds": 2}, trials_wanted=4, requested_by=sam, status=JobStatus.RUNNING)


def add(row: Search, number: int, value: float | None, state: str = TrialState.DONE) -> SearchTrial:
    tuning = {"lightgbm": {"num_leaves": 7 + number}}
    now = clock.now()
    return SearchTrial.objects.create(
        search=row, number=number, tuning=tuning, state=state, value=value, folds=[value] if value else [], started_at=now, heartbeat_at=now
    )


def changing(row: Search, what: str) -> str:
    return reverse("admin:signals_search_change_state", args=[row.pk, what])


def test_it_says_what_to_do_when_there_is_nothing(staff):
    page = staff.get(PAGE).content.decode()
    assert "None yet. Start one below." in page
    assert "No market has candles yet" in page


def test_it_starts_a_search(staff, sam, btc):
    reply = staff.post(START, FORM)
    row = Search.objects.get()
    assert reply.url == reverse("admin:signals_search_detail", args=[row.pk])
    assert (row.status, row.symbols, row.trials_wanted, row.workers, row.params["folds"], row.requested_by) == (
        "queued",
        [BTC],
        20,
        2,
        2,
        sam,
    )
    assert AuditEvent.objects.get(action="search_started").detail["search"] == row.pk


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("trials", "0", "not a whole number from 1 to 1,000"),
        ("workers", "99", "from 1 to 32"),
        ("folds", "77", "from 2 to 10"),
        ("symbols", [], "Choose at least one"),
        ("learners", ["oracle"], "is not one of the available choices"),
    ],
)
def test_what_it_cannot_be_asked_for_is_said_beside_the_field(staff, btc, field, value, said):
    reply = staff.post(START, FORM | {field: value})
    assert reply.status_code == 422
    assert said in reply.content.decode()
    assert said in str(reply.context["form"].errors[field])
    assert not Search.objects.exists()


def test_it_shows_trials_the_best_and_its_chart_and_asks_again_while_at_work(staff, row):
    for number, value in enumerate([-0.01, 0.002, 0.001]):
        add(row, number, value)
    add(row, 3, None, TrialState.RUNNING)
    url = reverse("admin:signals_search_detail", args=[row.pk])
    page = staff.get(url).content.decode()
    assert "Best: trial 1 with a skill of 0.00200" in page
    assert page.count("<circle") == 3
    assert f'hx-get="{url}"' in page
    assert "75" in page
    part = staff.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert part.count("<tr>") == 5
    assert "num_leaves 8" in part
    listed = staff.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert "3 done, 0 pruned of 4" in listed


def test_a_search_without_an_edge_says_so(staff, row):
    add(row, 0, -0.004)
    assert "no better than the base rate" in staff.get(reverse("admin:signals_search_detail", args=[row.pk])).content.decode()


def test_it_is_cancelled_gone_on_with_and_trained_from(staff, row, settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    add(row, 0, 0.01)
    staff.post(changing(row, "cancel"))
    row.refresh_from_db()
    assert row.status == JobStatus.CANCELLED
    assert "is cancelled: that cannot be done now" in staff.post(changing(row, "cancel"), follow=True).content.decode()
    staff.post(changing(row, "resume"), {"more_trials": "6"})
    row.refresh_from_db()
    assert (row.status, row.trials_wanted) == (JobStatus.QUEUED, 10)
    assert "whole number from 0 to 1,000" in staff.post(changing(row, "resume"), {"more_trials": "x"}, follow=True).content.decode()
    staff.post(changing(row, "train"))
    run = TrainingRun.objects.get()
    assert (run.params["tuning"], run.params["trials"]) == ({"lightgbm": {"num_leaves": 7}}, 1)
    assert list(AuditEvent.objects.filter(action__startswith="search_").order_by("pk").values_list("action", flat=True)) == [
        "search_cancel", "search_resume", "search_train",
    ]  # fmt: skip
    assert staff.post(changing(row, "explode")).status_code == 404


def test_it_is_the_staffs(client_for, alice, row):
    client = client_for(alice)
    for url in (PAGE, reverse("admin:signals_search_detail", args=[row.pk])):
        assert client.get(url).status_code == 302
    assert client.post(changing(row, "cancel")).status_code == 302
    row.refresh_from_db()
    assert row.status == JobStatus.RUNNING
