"""A report for whoever has its link: read only, nameless, in no index, and gone the moment it is revoked."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from backtesting import sharing
from backtesting.models import BacktestRun, SharedLink
from tests.backtesting import rows
from tests.backtesting.test_pages import words
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.logs import hide_keys

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(alice):
    made = rows.make_finished(alice, rows.make_model(), trades=30)
    made.metrics["sample"]["trades"] = 30
    made.comparison = {"same": True, "trades": [30, 30], "differing": 0, "differences": [], "causes": []}
    made.save()
    return made


@pytest.fixture
def token(run):
    return sharing.create(run).token


@pytest.fixture
def stranger():
    return Client()


def addresses(token):
    return [reverse(f"backtests:{name}", args=[token]) for name in ("shared", "shared_chart", "shared_csv")]


# --- links


def test_a_token_cannot_be_guessed_and_is_not_kept(run):
    made = sharing.create(run)
    assert len(made.token) == 43  # 256 bits in base64
    assert made.token != sharing.create(run).token
    stored = SharedLink.objects.get(pk=made.link.pk)
    assert made.token not in str(vars(stored))
    assert sharing.find(made.token) == run


@pytest.mark.parametrize("token", ["", "1", "\x00", "\ud800", "x" * 10_000])
def test_no_other_token_leads_anywhere(run, token):
    sharing.create(run)
    assert sharing.find(token) is None


def test_a_link_ends_with_its_days(run, monkeypatch):
    made = sharing.create(run, days=7)
    now = clock.now()
    for days, found in ((6.99, run), (7.01, None)):
        monkeypatch.setattr(clock, "now", lambda days=days: now + timedelta(days=days))
        assert sharing.find(made.token) == found


def test_a_link_ends_with_the_account(run, token, alice):
    alice.is_active = False
    alice.save()
    assert sharing.find(token) is None


@pytest.mark.parametrize("status", ["queued", "running", "failed", "cancelled"])
def test_only_a_finished_run_is_shared(alice, status):
    with pytest.raises(UserError, match="has no report yet"):
        sharing.create(rows.make_run(alice, rows.make_model(), status=status))
    assert SharedLink.objects.count() == 0


def test_there_are_so_many_days_and_links_only(run):
    with pytest.raises(UserError, match="days: choose one of 7, 30, 90"):
        sharing.create(run, days=8)
    for _ in range(sharing.MOST_LINKS):
        sharing.create(run)
    with pytest.raises(UserError, match="has 10 links already; revoke one first"):
        sharing.create(run)
    SharedLink.objects.filter(pk=SharedLink.objects.first().pk).update(expires_at=clock.now())
    sharing.create(run)  # one that has expired does not count


# --- for its owner


def test_the_owner_sees_a_new_link_once_and_the_act_is_kept(run, alice, client_for):
    client, url = client_for(alice), reverse("backtests:detail", args=[run.pk])
    reply = client.post(reverse("backtests:share", args=[run.pk]), {"days": "30"})
    assert (reply.status_code, reply["Location"]) == (302, url + "#share")
    page = client.get(url).content.decode()
    address = re.search(r"http://testserver(/backtests/shared/[\w-]{43}/)", page)[1]
    assert Client().get(address).status_code == 200
    assert "/backtests/shared/" not in client.get(url).content.decode()
    event = AuditEvent.objects.get(action="backtest_shared")
    link = SharedLink.objects.get()
    assert (event.user, event.detail["run"], event.detail["link"]) == (alice, run.pk, link.pk)
    assert address.split("/")[3] not in str(event.detail)
    assert link.expires_at - link.created_at > timedelta(days=29)


def test_a_new_link_of_one_run_is_not_shown_on_another(run, alice, client_for):
    client = client_for(alice)
    client.post(reverse("backtests:share", args=[run.pk]))
    other = rows.make_finished(alice, run.model)
    assert "/backtests/shared/" not in client.get(reverse("backtests:detail", args=[other.pk])).content.decode()


@pytest.mark.parametrize("days", ["8", "-7", "x", "9" * 5_000])
def test_odd_days_make_no_endless_link(run, alice, client_for, days):
    reply = client_for(alice).post(reverse("backtests:share", args=[run.pk]), {"days": days}, follow=True)
    assert "choose one of 7, 30, 90" in reply.content.decode()
    assert SharedLink.objects.count() == 0


def test_a_revoked_link_leads_nowhere_at_once(run, token, alice, stranger, client_for):
    link = SharedLink.objects.get()
    assert stranger.get(addresses(token)[0]).status_code == 200
    reply = client_for(alice).post(reverse("backtests:share_revoke", args=[run.pk, link.pk]), follow=True)
    assert "The link is revoked" in reply.content.decode()
    assert [stranger.get(address).status_code for address in addresses(token)] == [404, 404, 404]
    assert AuditEvent.objects.filter(action="backtest_link_revoked", user=alice).count() == 1


def test_removing_the_run_ends_its_links(run, token, stranger):
    run.delete()
    assert stranger.get(addresses(token)[0]).status_code == 404


def test_nobody_else_makes_or_revokes_links(run, token, bob, client_for):
    link, client = SharedLink.objects.get(), client_for(bob)
    other = rows.make_finished(bob, run.model)
    assert client.post(reverse("backtests:share", args=[run.pk])).status_code == 404
    assert client.post(reverse("backtests:share_revoke", args=[run.pk, link.pk])).status_code == 404
    assert client.post(reverse("backtests:share_revoke", args=[other.pk, link.pk])).status_code == 404
    assert client.get(reverse("backtests:share", args=[run.pk])).status_code == 405
    assert SharedLink.objects.get() == link


# --- for whoever has it


def test_a_stranger_reads_the_report_and_nothing_of_its_owner(run, token, alice, stranger):
    rows.make_finished(alice, run.model, repeats=run)
    page = stranger.get(addresses(token)[0])
    told = words(page)
    assert "Backtest report" in told
    assert "Profit factor" in told
    assert "SIMULATED MARKET" in told
    content = page.content.decode()
    assert alice.email not in content
    for hidden in (
        "Run exactly again",
        "Remove",
        "Share this report",
        "--rerun",
        "came again",
        "repeats it",
        "Parquet",
        f"/backtests/{run.pk}/",
    ):
        assert hidden not in content, hidden
    assert '<form method="post"' not in content.split("<main")[1].split("</main>")[0]


def test_its_pages_are_kept_by_nobody_and_tell_nobody(run, token, stranger):
    for address in addresses(token):
        reply = stranger.get(address)
        assert reply.status_code == 200
        assert reply["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert reply["Referrer-Policy"] == "no-referrer"
        assert reply["Cache-Control"] == "private, no-store"
    assert '<meta name="robots" content="noindex' in stranger.get(addresses(token)[0]).content.decode()


def test_a_stranger_narrows_the_trades_and_takes_them_along(run, token, stranger):
    BacktestRun.objects.get().trades.filter(number__gt=2).update(side="short")
    page, _, file = addresses(token)
    reply = stranger.get(page, {"side": "long"}, headers={"HX-Request": "true", "HX-Target": "trades"})
    assert [trade.number for trade in reply.context["page"]] == [1, 2]
    assert f'href="{file}?side=long"' in reply.content.decode()
    table = list(csv.DictReader(io.StringIO(b"".join(stranger.get(file, {"side": "long"}).streaming_content).decode())))
    assert [row["number"] for row in table] == ["1", "2"]


def test_a_stranger_sees_the_chart(run, token, stranger):
    assert stranger.get(addresses(token)[1], {"trade": "3"}).json()["focus"] == 3


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_a_link_is_for_reading(run, token, stranger, method):
    assert [getattr(stranger, method)(address).status_code for address in addresses(token)] == [405, 405, 405]


def test_the_log_holds_no_link(token):
    told = {"request": f"GET /backtests/shared/{token}/trades.csv", "event": "request_finished", "code": 200}
    assert hide_keys(None, "info", told) == {"request": "GET /backtests/shared/.../trades.csv", "event": "request_finished", "code": 200}
