import pytest

from accounts.models import AuditEvent
from exchanges import backfill, candles
from exchanges.models import BackfillJob, JobStatus
from exchanges.venues import registry
from tests.exchanges.frames import START_MS, make_frame
from tests.venue import Instrument, TestVenue, VenueState

START, STATUS = "/api/v1/backfill/start", "/api/v1/backfill/status/"
BODY = {"symbols": ["BTC/USDT:USDT"], "timeframe": "15m", "since": "2024-01-01", "until": "2024-01-03"}


@pytest.fixture
def venue(settings):
    state = VenueState(now_ms=START_MS + 300 * 900_000)
    state.enlist(Instrument("BTC"), make_frame(300))
    with TestVenue(state) as running:
        settings.VENUE_BASE_URLS = {"binance": running.url}
        registry.market_data.cache_clear()
        yield running
        registry.market_data.cache_clear()


def post(client, **changes):
    return client.post(START, BODY | changes, content_type="application/json")


def test_it_starts_a_backfill_and_tells_how_far_it_is(venue, sam, client_for, django_capture_on_commit_callbacks):
    client = client_for(sam)
    with django_capture_on_commit_callbacks(execute=True):
        started = post(client)
    assert started.status_code == 202
    assert started.json()["status"] == "queued"
    assert started.json()["progress"] == 0
    told = client.get(f"{STATUS}{started.json()['id']}").json()
    assert (told["status"], told["progress"], told["rows"], told["error"], told["eta_s"]) == ("done", 1.0, 192, "", None)
    assert told["rate"] > 0
    assert told["since"] == "2024-01-01T00:00:00Z"
    assert len(candles.read(candles.find_market("BTC/USDT:USDT"), "15m")) == 192
    assert BackfillJob.objects.get().requested_by == sam


def change(client, job, what):
    return client.post(f"/api/v1/backfill/{job.pk}/{what}")


def test_it_pauses_resumes_and_cancels(venue, sam, client_for, django_capture_on_commit_callbacks):
    client = client_for(sam)
    job = backfill.start(symbols=["BTC/USDT:USDT"], since_ms=START_MS, until_ms=START_MS + 10**8)
    for what, status in (("pause", "paused"), ("cancel", "cancelled")):
        reply = change(client, job, what)
        assert (reply.status_code, reply.json()["status"]) == (200, status)
    refused = change(client, job, "pause")
    assert refused.status_code == 422
    assert refused.json() == {"detail": f"status: job {job.pk} is cancelled and cannot be paused", "field": "status"}
    with django_capture_on_commit_callbacks(execute=True):
        assert change(client, job, "resume").json()["status"] == "queued"
    job.refresh_from_db()
    assert job.status == JobStatus.DONE
    assert change(client, job, "resume").status_code == change(client, job, "cancel").status_code == 422
    recorded = AuditEvent.objects.filter(user=sam).order_by("pk").values_list("action", flat=True)
    assert [action for action in recorded if action.startswith("backfill")] == ["backfill_paused", "backfill_cancelled", "backfill_resumed"]


def test_it_lists_the_newest_first(sam, client_for):
    client = client_for(sam)
    ids = [post(client, since=f"2024-01-0{day}", until="2024-01-09").json()["id"] for day in (1, 2, 3)]
    backfill.pause(BackfillJob.objects.get(pk=ids[1]))
    told = client.get("/api/v1/backfill").json()
    assert ([job["id"] for job in told["items"]], told["count"]) == (ids[::-1], 3)
    told = client.get("/api/v1/backfill?status=paused&limit=1").json()
    assert ([job["id"] for job in told["items"]], told["count"]) == ([ids[1]], 1)
    assert client.get("/api/v1/backfill?offset=2").json()["items"][0]["id"] == ids[0]
    for wrong in ("status=sleeping", "limit=0", "limit=201", "offset=-1"):
        assert client.get(f"/api/v1/backfill?{wrong}").status_code == 422


def test_it_tells_about_every_market(venue, sam, client_for, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        started = post(client_for(sam), symbols=["BTC/USDT:USDT", "ETH/USDT:USDT"], since="2023-12-01")
    told = client_for(sam).get(f"{STATUS}{started.json()['id']}").json()
    assert (told["status"], told["rows"]) == ("failed", 192)
    btc, eth = told["series"]
    assert (btc["symbol"], btc["progress"], btc["begins"], btc["has_history"]) == ("BTC/USDT:USDT", 1.0, "2024-01-01T00:00:00Z", True)
    assert btc["errors"] == []
    assert (eth["progress"], eth["begins"]) == (0.0, None)
    assert "binance does not list ETH/USDT:USDT" in eth["errors"][0]


def test_it_continues_an_unfinished_job_when_asked_again(sam, client_for):
    client = client_for(sam)
    assert post(client).json()["id"] == post(client).json()["id"]
    assert BackfillJob.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbols": ["NOPE/USDT:USDT"]}, "symbols: 'NOPE/USDT:USDT' is not listed on binance"),
        ({"symbols": ["BTCUSDT"]}, "did you mean BTC/USDT"),
        ({"symbols": []}, "symbols"),
        ({"timeframe": "7m"}, "timeframe: '7m' is not known"),
        ({"since": "2999-01-01", "until": None}, "since: lies in the future"),
        ({"since": "1999-01-01"}, "since: lies before 2009"),
        ({"since": "soon"}, "since"),
        ({"until": "2023-01-01"}, "since: leaves no whole 15m bar before until"),
        ({"venue": "mtgox"}, "venue: 'mtgox' is not known"),
        ({"speed": 9}, "speed"),
    ],
)
def test_it_answers_422_and_starts_nothing(sam, client_for, changes, message):
    reply = post(client_for(sam), **changes)
    assert reply.status_code == 422
    assert message in reply.content.decode()
    assert not BackfillJob.objects.exists()


def test_it_is_for_staff_with_a_second_factor(client, alice, sam, client_for):
    assert post(client).status_code == 401
    assert post(client_for(alice)).status_code == 403
    client.force_login(sam)
    assert post(client).status_code == 403, "a password alone is not enough"
    job = backfill.start(symbols=["BTC/USDT:USDT"], since_ms=START_MS, until_ms=START_MS + 10**9)
    assert client_for(alice).get(f"{STATUS}{job.pk}").status_code == 403
    assert client.get(f"{STATUS}{job.pk}").status_code == 403
    assert BackfillJob.objects.count() == 1


def test_it_knows_only_jobs_that_exist(sam, client_for):
    client = client_for(sam)
    assert client.get(f"{STATUS}999").status_code == 404
    assert client.get(f"{STATUS}abc").status_code == 404
    assert client.get(START).status_code == 405


def test_it_tells_why_a_job_failed(venue, sam, client_for):
    job = backfill.start(symbols=["ETH/USDT:USDT"], since_ms=START_MS, until_ms=START_MS + 10**8)
    backfill.run(job.pk)
    told = client_for(sam).get(f"{STATUS}{job.pk}").json()
    assert told["status"] == JobStatus.FAILED
    assert "does not list ETH/USDT:USDT" in told["error"]
    assert "127.0.0.1" not in told["error"]


@pytest.mark.parametrize("page", ["venue", "market", "backfilljob"])
def test_it_shows_the_admin_pages(sam, client_for, page):
    job = backfill.start(symbols=["BTC/USDT:USDT"], since_ms=START_MS, until_ms=START_MS + 10**8)
    reply = client_for(sam).get(f"/admin/exchanges/{page}/")
    assert reply.status_code == 200
    if page == "backfilljob":
        assert 'max="100" value="0"' in reply.content.decode()
        assert client_for(sam).get(f"/admin/exchanges/backfilljob/{job.pk}/change/").status_code == 200


def test_it_cancels_and_resumes_from_the_admin(venue, sam, client_for):
    job = backfill.start(symbols=["BTC/USDT:USDT"], since_ms=START_MS, until_ms=START_MS + 10**8)
    client = client_for(sam)
    for action, status in (("cancel_jobs", JobStatus.CANCELLED), ("resume_jobs", JobStatus.QUEUED)):
        client.post("/admin/exchanges/backfilljob/", {"action": action, "_selected_action": [job.pk]})
        job.refresh_from_db()
        assert job.status == status


def test_it_removes_a_history_from_the_admin(sam, client_for):
    market = candles.find_market("BTC/USDT:USDT")
    candles.ingest(market, make_frame(5), provenance="file")
    client_for(sam).post("/admin/exchanges/market/", {"action": "remove_history", "_selected_action": [market.pk]})
    market.refresh_from_db()
    assert market.provenance == "none"
    assert len(candles.read(market, "15m")) == 0
