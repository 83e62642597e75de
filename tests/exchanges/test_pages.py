"""Pages of positions: whose they are, what they show, and the ways out."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from exchanges.models import KillSwitch, Order, Position
from tests.exchanges.trading import OPENED, make_account, make_market, make_position

pytestmark = pytest.mark.django_db


def close(position: Position, **changes) -> Position:
    values = {
        "status": "closed",
        "qty": Decimal(0),
        "closed_at": OPENED + timedelta(hours=3),
        "exit_reason": "tp3",
        "realised_pnl": Decimal("2.5"),
        **changes,
    }
    Position.objects.filter(pk=position.pk).update(**values)
    position.refresh_from_db()
    return position


@pytest.mark.parametrize("name", ["list", "history", "export"])
def test_it_sends_strangers_to_the_login(client, name):
    reply = client.get(reverse(f"positions:{name}"))
    assert reply.status_code == 302
    assert reply["Location"].startswith(reverse("account_login"))


def test_it_shows_open_positions_of_their_owner_only(alice, bob, client_for):
    make_position(alice)
    assert "BTC/USDT:USDT" in client_for(alice).get(reverse("positions:list")).content.decode()
    page = client_for(bob).get(reverse("positions:list")).content.decode()
    assert "BTC/USDT:USDT</a>" not in page
    assert "No open positions" in page


def test_it_answers_htmx_with_the_table_alone(alice, client_for):
    make_position(alice)
    page = client_for(alice).get(reverse("positions:list"), headers={"HX-Request": "true"}).content.decode()
    assert page.strip().startswith('<section id="positions-table"')
    assert "<html" not in page


@pytest.mark.parametrize(("name", "method"), [("detail", "get"), ("close", "post")])
def test_it_hides_a_position_from_others(alice, bob, client_for, name, method):
    url = reverse(f"positions:{name}", args=[make_position(alice).pk])
    assert getattr(client_for(bob), method)(url).status_code == 404
    assert Order.objects.count() == 0


def test_it_shows_plan_money_and_label_on_the_detail_page(alice, client_for):
    position = make_position(alice, make_market(provenance="simulated"))
    page = client_for(alice).get(reverse("positions:detail", args=[position.pk])).content.decode()
    for text in ("simulated market", "49000", "51000", "-0.05", "Close position"):
        assert text in page


def test_it_labels_simulated_markets_in_the_table(alice, client_for):
    make_position(alice, make_market(provenance="simulated"))
    assert "badge--sim" in client_for(alice).get(reverse("positions:list")).content.decode()


def test_it_asks_for_a_market_exit_once(alice, client_for):
    position = make_position(alice)
    url = reverse("positions:close", args=[position.pk])
    client = client_for(alice)
    for _ in range(2):
        assert client.post(url).status_code == 302
    order = Order.objects.get()
    assert (order.side, order.reduce_only, order.qty, order.position_id) == ("sell", True, position.qty, position.pk)


def test_it_needs_a_post_to_close(alice, client_for):
    assert client_for(alice).get(reverse("positions:close", args=[make_position(alice).pk])).status_code == 405


def test_it_says_so_when_a_closed_position_is_closed_again(alice, client_for):
    position = close(make_position(alice))
    reply = client_for(alice).post(reverse("positions:close", args=[position.pk]), follow=True)
    assert "closed already" in reply.content.decode()
    assert Order.objects.count() == 0


def test_it_sums_the_history_after_costs_and_filters_it(alice, client_for):
    close(make_position(alice))
    close(
        make_position(alice, make_market("ETH/USDT:USDT"), side="short", initial_stop=Decimal(51_000)),
        realised_pnl=Decimal(-1),
        funding=Decimal("-0.2"),
    )
    client = client_for(alice)
    page = client.get(reverse("positions:history")).content.decode()
    assert "1 of 2" in page
    assert "+1.2000" in page  # 2.5 - 0.05 - 1 - 0.05 - 0.2
    filtered = client.get(reverse("positions:history"), {"symbol": "ETH/USDT:USDT"}).content.decode()
    assert "BTC/USDT:USDT</a>" not in filtered
    assert client.get(reverse("positions:history"), {"symbol": "nonsense", "side": "up", "page": "x"}).status_code == 200


def test_it_exports_the_history(alice, client_for):
    close(make_position(alice))
    reply = client_for(alice).get(reverse("positions:export"))
    rows = list(csv.DictReader(io.StringIO(b"".join(reply.streaming_content).decode())))
    assert len(rows) == 1
    assert rows[0]["symbol"] == "BTC/USDT:USDT"
    assert Decimal(rows[0]["net_pnl"]) == Decimal("2.45")


def test_it_stops_and_resumes_trading(alice, client_for):
    make_account(alice)
    client = client_for(alice)
    reply = client.post(reverse("positions:stop_all"), follow=True)
    assert "Your trading is stopped" in reply.content.decode()
    assert KillSwitch.objects.get(user=alice).level == "stop"
    client.post(reverse("positions:resume"))
    assert "Your trading is stopped" not in client.get(reverse("positions:list")).content.decode()


def test_it_flattens_when_asked(alice, bob, client_for):
    mine, other = make_position(alice), make_position(bob)
    client_for(alice).post(reverse("positions:stop_all"), {"flatten": "on"})
    assert list(Order.objects.values_list("position_id", flat=True)) == [mine.pk]
    assert other.is_open


def make_order(held: Position, origin: str, state: str, **changes) -> Order:
    values = {"account": held.account, "market": held.market, "side": "sell", "order_type": "market", "qty": held.qty}
    return Order.objects.create(origin=origin, client_order_id=origin, state=state, **{**values, **changes})


def test_it_adds_up_the_money_of_open_positions(alice, client_for):
    position = make_position(alice, mark_price=Decimal(50_500))
    make_position(alice, make_market("ETH/USDT:USDT"), mark_price=Decimal(49_000), margin=Decimal("5.5"))
    page = client_for(alice).get(reverse("positions:list")).content.decode()
    assert '<span data-total="equity">99.00</span>' in page  # 100 + 1 - 2
    assert '<span class="loss" data-total="net_pnl">-1.1000</span> <small>USDT</small>' in page
    assert "25.50" in page
    assert f'data-balance="{position.account.balance:f}' in page


def test_it_shows_what_is_on_its_way_and_offers_no_second_exit(alice, client_for):
    position = make_position(alice)
    make_order(position, "close:1:1", "ready", position=position, reduce_only=True)
    make_order(position, "signal:9", "unknown", market=make_market("ETH/USDT:USDT"))
    client = client_for(alice)
    page = client.get(reverse("positions:list")).content.decode()
    for text in ("On their way", "closes a position", "waiting for a price", "being found out at the venue"):
        assert text in page
    close_url = reverse("positions:close", args=[position.pk])
    assert close_url not in page
    detail = client.get(reverse("positions:detail", args=[position.pk])).content.decode()
    assert "Being closed" in detail
    assert close_url not in detail


@pytest.mark.parametrize(
    ("state", "words"),
    [("denied", "refused by the risk gate"), ("rejected", "refused by the venue"), ("expired", "expired"), ("canceled", "cancelled")],
)
def test_it_says_why_an_order_was_not_filled(alice, bob, client_for, state, words):
    make_order(make_position(alice), "signal:9", state, reason="Because of <this>.")
    page = client_for(alice).get(reverse("positions:list")).content.decode()
    assert words in page
    assert "Because of &lt;this&gt;." in page
    assert "Because of" not in client_for(bob).get(reverse("positions:list")).content.decode()


def test_it_shows_why_each_order_moved(alice, client_for):
    position = make_position(alice)
    client = client_for(alice)
    client.post(reverse("positions:close", args=[position.pk]))
    page = client.get(reverse("positions:detail", args=[position.pk])).content.decode()
    assert "<td>submit</td><td>ready</td><td>manual</td>" in page


def test_it_records_who_closed_stopped_and_resumed(alice, bob, client_for):
    position = make_position(alice)
    client = client_for(alice)
    client_for(bob).post(reverse("positions:close", args=[position.pk]))
    client.post(reverse("positions:close", args=[position.pk]))
    client.post(reverse("positions:stop_all"), {"flatten": "on"})
    client.post(reverse("positions:resume"))
    events = list(AuditEvent.objects.exclude(action="signed_in").order_by("pk").values_list("user", "action", "detail"))
    assert events == [
        (alice.pk, "position_close_asked", {"position": position.pk}),
        (alice.pk, "trading_stopped", {"flatten": True, "closing": 1}),
        (alice.pk, "trading_resumed", {}),
    ]


def test_it_records_what_staff_do_with_kill_switches(sam, client_for):
    client = client_for(sam)
    add = reverse("admin:exchanges_killswitch_add")
    assert client.post(add, {"user": "", "venue": "", "level": "stop", "reason": "maintenance"}).status_code == 302
    switch = KillSwitch.objects.get()
    change = reverse("admin:exchanges_killswitch_change", args=[switch.pk])
    client.post(change, {"user": "", "venue": "", "level": "run", "reason": "done"})
    client.post(reverse("admin:exchanges_killswitch_delete", args=[switch.pk]), {"post": "yes"})
    events = AuditEvent.objects.filter(user=sam, action__startswith="kill_switch").order_by("pk")
    assert [(event.action, event.detail["level"]) for event in events] == [
        ("kill_switch_set", "stop"),
        ("kill_switch_set", "run"),
        ("kill_switch_removed", "run"),
    ]
    assert not KillSwitch.objects.exists()
