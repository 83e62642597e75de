"""Trainings for staff: the page and the API."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from exchanges.models import JobStatus
from signals import learners, registry, training
from signals.models import ModelVersion, TrainingRun
from tests.signals.markets import HISTORY_BARS, QUICK, make_market, make_pair
from tests.signals.series import make_series
from traderai.lib import clock

pytestmark = pytest.mark.django_db
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
API = "/api/v1/train"
PAGE, RUNS, START = (reverse(f"admin:signals_training{part}") for part in ("", "_runs", "_start"))
FORM = {
    "venue": "binance",
    "symbols": [BTC],
    "learners": ["lightgbm", "xgboost"],
    "timeframe": "15m",
    "folds": "2",
    "stride": "4",
    "rounds": "12",
    "scope": "default",
}


@pytest.fixture(autouse=True)
def model_dir(settings, tmp_path):
    settings.MODEL_DIR = tmp_path / "models"
    registry.forget()
    yield settings.MODEL_DIR
    registry.forget()


@pytest.fixture
def btc():
    return make_market(BTC, make_series(HISTORY_BARS, symbol=BTC))


@pytest.fixture
def staff(client_for, sam):
    return client_for(sam)


def post(client, path, body=None):
    return client.post(f"{API}{path}", body or {}, content_type="application/json")


def changing(run, what):
    return reverse("admin:signals_training_change", args=[run.pk, what])


# --- the API


def test_it_queues_a_training_and_tells_how_far_it_is(staff, sam, btc):
    reply = post(staff, "/start", {"symbols": [BTC], "params": {"folds": 2}})
    assert reply.status_code == 202
    run = TrainingRun.objects.get()
    assert (run.status, run.symbols, run.requested_by) == ("queued", [BTC], sam)
    told = staff.get(f"{API}/status/{run.pk}").json()
    assert (told["id"], told["status"], told["progress"], told["scope"], told["params"]["folds"]) == (run.pk, "queued", 0.0, "default", 2)
    assert [line["text"] for line in told["log"]] == ["Asked for by sam@example.com."]
    assert AuditEvent.objects.get(action__startswith="training_").action == "training_started"


def test_a_worker_takes_it_and_the_reply_names_the_model(staff, django_capture_on_commit_callbacks):
    make_pair()
    with django_capture_on_commit_callbacks(execute=True):
        run_id = post(staff, "/start", {"symbols": [BTC, ETH], "params": QUICK}).json()["id"]
    told = staff.get(f"{API}/status/{run_id}").json()
    assert (told["status"], told["progress"], told["model_version"]) == ("done", 1.0, 1)
    assert told["model_id"] == ModelVersion.objects.get().pk
    assert told["log"][-1]["text"].startswith("Registered as default v1")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols", "is not listed"),
        ({"symbols": ["SOL/USDT:USDT"]}, "symbols", "has no candles"),
        ({"symbols": [ETH]}, "symbols", "has 100 candles of 15m"),
        ({"symbols": [BTC], "params": {"folds": 99}}, "folds", "from 2 to 10"),
        ({"symbols": [BTC], "params": {"scope": "A B"}}, "scope", "lower-case"),
        ({"symbols": [BTC], "params": {"venue": "mtgox"}}, "venue", "mtgox"),
        ({"symbols": [BTC], "params": {"learners": ["oracle"]}}, "learners", "is unknown"),
        ({"symbols": [BTC], "params": {"plan": {"stop_atr": 2**64}}}, "plan", "stop_atr cannot be"),
        ({"symbols": [BTC], "params": {"plan": [1, 1, 2, 3]}}, "plan", "plan must be an object"),
        ({"symbols": [" "]}, "symbols", "name at least one"),
    ],
)
def test_the_api_refuses_what_cannot_work_and_names_the_field(staff, btc, body, field, said):
    make_market(ETH, make_series(100))
    reply = post(staff, "/start", body)
    assert (reply.status_code, reply.json()["field"]) == (422, field)
    assert said in reply.json()["detail"]
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize("body", [{}, {"symbols": []}, {"symbols": [BTC], "params": {"magic": 1}}, {"symbols": [BTC], "fast": True}])
def test_the_api_refuses_a_body_it_does_not_know(staff, btc, body):
    assert post(staff, "/start", body).status_code == 422
    assert not TrainingRun.objects.exists()


def test_the_api_refuses_a_second_training_and_a_full_disk(staff, btc, settings):
    assert post(staff, "/start", {"symbols": [BTC], "params": QUICK}).status_code == 202
    reply = post(staff, "/start", {"symbols": [BTC], "params": QUICK})
    assert (reply.status_code, reply.json()["field"]) == (422, "symbols")
    assert post(staff, "/start", {"symbols": [BTC], "params": QUICK, "alongside": True}).status_code == 202
    settings.MODEL_DIR = "/proc/models"
    reply = post(staff, "/start", {"symbols": [BTC], "params": QUICK | {"scope": "other"}})
    assert (reply.status_code, reply.json()["field"]) == (422, "model_folder")


def test_the_api_lists_cancels_and_restarts(staff, btc):
    run = training.queue([BTC], params=QUICK)
    assert post(staff, f"/{run.pk}/restart").status_code == 422
    assert post(staff, f"/{run.pk}/cancel").json()["status"] == "cancelled"
    again = post(staff, f"/{run.pk}/cancel")
    assert (again.status_code, again.json()["field"]) == (422, "status")
    assert staff.get(f"{API}?status=cancelled").json()["count"] == 1
    assert post(staff, f"/{run.pk}/restart").status_code == 202
    page = staff.get(API).json()
    assert [(item["id"], item["status"]) for item in page["items"]] == [(run.pk, "queued")]
    assert staff.get(f"{API}?status=cancelled").json()["count"] == 0
    assert {event.action for event in AuditEvent.objects.filter(action__startswith="training_")} == {
        "training_cancelled",
        "training_restarted",
    }
    assert post(staff, f"/{run.pk + 1}/cancel").status_code == 404


@pytest.mark.parametrize("query", ["status=asleep", "limit=0", "limit=201", "offset=-1", "nonsense=1"])
def test_the_api_refuses_a_bad_query(staff, query):
    assert staff.get(f"{API}?{query}").status_code == 422


def test_a_trader_may_neither_see_nor_start_trainings(client_for, alice, btc):
    trader = client_for(alice)
    assert post(trader, "/start", {"symbols": [BTC]}).status_code == 403
    for path in ("", "/status/1"):
        assert trader.get(f"{API}{path}").status_code == 403
    assert not TrainingRun.objects.exists()


# --- the page


def test_an_empty_page_says_what_to_do(staff):
    page = staff.get(PAGE).content.decode()
    assert "None yet." in page
    assert "No market has candles yet" in page


def test_the_form_starts_a_training(staff, sam, btc):
    answer = staff.post(START, FORM)
    assert answer.status_code == 302
    run = TrainingRun.objects.get()
    assert (run.symbols, run.scope, run.requested_by, run.params["trials"]) == ([BTC], "default", sam, 1)
    assert {name: run.params[name] for name in ("folds", "stride", "rounds", "timeframe", "venue")} == {
        "folds": 2,
        "stride": 4,
        "rounds": 12,
        "timeframe": "15m",
        "venue": "binance",
    }
    assert AuditEvent.objects.get(action__startswith="training_").detail["run"] == run.pk


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"symbols": []}, "Choose at least one market"),
        ({"learners": []}, "Choose at least one learner"),
        ({"learners": ["oracle"]}, "is not one of the available choices"),
        ({"symbols": ["NOPE/USDT:USDT"]}, "is not one of the available choices"),
        ({"symbols": [ETH]}, "backfill more"),
        ({"folds": "11"}, "from 2 to 10"),
        ({"trials": "0"}, "trials must be a whole number from 1"),
        ({"plan": "1, 1, 2"}, "barriers must be four numbers"),
        ({"plan": "1, one, 2, 3"}, "barriers must be four numbers"),
        ({"plan": "1, 3, 2, 4"}, "take-profits must be ordered"),
        ({"plan": "nan, 1, 2, 3"}, "stop_atr cannot be nan"),
        ({"rounds": "many"}, "Enter a whole number"),
        ({"scope": "A B"}, "lower-case letters"),
        ({"timeframe": "7m"}, "Select a valid choice"),
        ({"venue": "mtgox"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_asked_for_is_said_beside_the_field(staff, btc, wrong, said):
    make_market(ETH, make_series(100))
    answer = staff.post(START, FORM | wrong)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not TrainingRun.objects.exists()


def test_the_form_trains_the_learners_that_were_ticked(staff, btc):
    assert staff.post(START, FORM | {"learners": ["mlp", "xgboost"]}).status_code == 302
    assert TrainingRun.objects.get().params["learners"] == ["xgboost", "mlp"]


def test_the_form_trains_on_the_barriers_that_were_typed(staff, btc):
    assert staff.post(START, FORM | {"plan": " 1, 1,2 , 3.5"}).status_code == 302
    run = TrainingRun.objects.get()
    assert run.params["plan"] == {"stop_atr": 1.0, "tp1_atr": 1.0, "tp2_atr": 2.0, "tp3_atr": 3.5}
    assert training.TrainingParams(plan=run.params["plan"]).plan_config.tp3_atr == 3.5


def test_a_learner_without_its_libraries_is_shown_with_the_remedy_and_refused_at_once(staff, btc, monkeypatch):
    monkeypatch.setitem(learners.PACKAGES, "tft", ("a-package-that-nobody-has",))
    page = staff.get(PAGE).content.decode()
    assert re.search(r'<input[^>]*value="tft"[^>]*disabled', page)
    assert not re.search(r'<input[^>]*value="xgboost"[^>]*disabled', page)
    assert "not installed: install the extra `deep`" in page
    answer = staff.post(START, FORM | {"learners": ["tft"]})
    assert answer.status_code == 422
    assert "needs PyTorch, which is not installed" in str(answer.context["form"].errors["learners"])
    reply = post(staff, "/start", {"symbols": [BTC], "params": {"learners": ["tft"]}})
    assert (reply.status_code, reply.json()["field"]) == (422, "learners")
    assert not TrainingRun.objects.exists()


def test_the_form_says_that_such_a_training_is_not_over_and_that_the_disk_is_full(staff, btc, settings):
    staff.post(START, FORM)
    assert "is not over" in staff.post(START, FORM).content.decode()
    assert staff.post(START, FORM | {"alongside": "on"}).status_code == 302
    settings.MODEL_DIR = "/proc/models"
    answer = staff.post(START, FORM | {"scope": "other"})
    assert answer.status_code == 422
    assert "has 0 MB left" in answer.content.decode()


def test_runs_show_progress_time_and_their_newest_lines_and_ask_for_themselves(staff, btc):
    run = training.queue([BTC], params=QUICK)
    for number in range(12):
        training.note(run.pk, f"step {number}.")
    now = clock.now()
    TrainingRun.objects.filter(pk=run.pk).update(
        status=JobStatus.RUNNING, started_at=now - timedelta(seconds=60), heartbeat_at=now, progress=0.5, stage="fold 1 of 2"
    )
    page = staff.get(RUNS).content.decode()
    assert "every 2s" in page
    assert 'value="50" aria-label="Training' in page
    assert "60 s left" in page
    assert "fold 1 of 2" in page
    assert "step 11." in page
    assert "step 5." not in page
    assert "step 5." in staff.get(reverse("admin:signals_training_log", args=[run.pk])).content.decode()
    TrainingRun.objects.update(status=JobStatus.FAILED, error="no room")
    page = staff.get(RUNS).content.decode()
    assert "every 2s" not in page
    assert "no room" in page


def test_the_log_asks_for_itself_alone_while_the_run_works(staff, btc):
    run = training.queue([BTC], params=QUICK)
    address = reverse("admin:signals_training_log", args=[run.pk])
    part = staff.get(address, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<section")
    assert "every 2s" in part
    training.cancel(run.pk)
    assert "every 2s" not in staff.get(address).content.decode()


@pytest.mark.parametrize(
    ("before", "what", "after"),
    [
        (JobStatus.QUEUED, "cancel", JobStatus.CANCELLED),
        (JobStatus.RUNNING, "cancel", JobStatus.CANCELLED),
        (JobStatus.FAILED, "restart", JobStatus.QUEUED),
        (JobStatus.CANCELLED, "restart", JobStatus.QUEUED),
        (JobStatus.DONE, "restart", JobStatus.DONE),
        (JobStatus.DONE, "cancel", JobStatus.DONE),
    ],
)
def test_runs_are_changed_and_the_audit_trail_knows(staff, btc, before, what, after):
    run = training.queue([BTC], params=QUICK)
    TrainingRun.objects.filter(pk=run.pk).update(status=before)
    answer = staff.post(changing(run, what), follow=True)
    run.refresh_from_db()
    assert run.status == after
    assert AuditEvent.objects.filter(action__startswith="training_").exists() is (before != after)
    assert ("cannot be" in answer.content.decode()) is (before == after)


def test_a_restart_beside_another_training_is_refused_on_the_page(staff, btc):
    run = training.queue([BTC], params=QUICK)
    training.cancel(run.pk)
    training.queue([BTC], params=QUICK)
    assert "is not over" in staff.post(changing(run, "restart"), follow=True).content.decode()


def test_changes_are_not_made_by_a_link_and_unknown_ones_not_found(staff, btc):
    run = training.queue([BTC], params=QUICK)
    assert staff.get(changing(run, "cancel")).status_code == 405
    assert staff.post(changing(run, "destroy")).status_code == 404


def test_staff_without_the_permission_may_not_look_or_act(staff, sam, btc):
    run = training.queue([BTC], params=QUICK)
    sam.is_superuser = False
    sam.save(update_fields=["is_superuser"])
    for address in (PAGE, RUNS, reverse("admin:signals_training_log", args=[run.pk])):
        assert staff.get(address).status_code == 403
    assert staff.post(START, FORM).status_code == 403
    assert staff.post(changing(run, "cancel")).status_code == 403
    run.refresh_from_db()
    assert run.status == JobStatus.QUEUED


def test_the_page_asks_as_much_for_many_runs_as_for_one(staff, btc, django_assert_max_num_queries):
    for number in range(9):
        run = training.queue([BTC], params=QUICK | {"scope": f"s{number}"})
        training.cancel(run.pk)
    staff.get(PAGE)
    with django_assert_max_num_queries(20):
        assert staff.get(PAGE).content.decode().count('aria-label="Training ') == 9
