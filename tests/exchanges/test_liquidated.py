"""A paper position that the market jumps over its liquidation price: it loses its margin, at that price, and pays the taker's fee."""

from decimal import Decimal

import pytest

from exchanges import candles, execution, paper_accounts, positions
from exchanges.models import Fill, Position
from exchanges.ports import EntryPlan
from tests.backtesting.lived import BAR_MS, ETH, START_MS, bars

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_leaves_at_the_liquidation_price_without_slipping(alice):
    market = candles.find_market(ETH)
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    candles.ingest(market, bars([(2000, 2000, 2000, 2000)] * 2), provenance="file")
    plan = EntryPlan(2000.0, 1940.0, 2020.0, 2040.0, 2060.0, 20.0, 48 * 3_600_000, START_MS + 2 * BAR_MS, (0.3, 0.4, 0.3))
    account = paper_accounts.open_for(alice)
    order = execution.submit(account, market=market, side="buy", origin="signal:1", plan=plan, risk_profile="high")
    order.refresh_from_db()
    assert order.state == "filled", order.reason
    liquidation = Position.objects.get().liquidation_price
    candles.ingest(market, bars([(1000, 1000, 1000, 1000)], 2), provenance="file")
    positions.on_bar(market.pk)

    position, fill = Position.objects.get(), Fill.objects.get(reason="liquidation")

    assert (position.exit_reason, fill.price) == ("liquidation", liquidation)
    assert fill.fee == pytest.approx(fill.qty * fill.price * Decimal("0.0005"))
