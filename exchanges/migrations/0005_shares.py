"""The brokers of shares and ten liquid markets of each. They have no candles, and are asked for none, until somebody with keys backfills them.

Steps are the exchanges' of 2026; a backfill of another symbol brings today's with it. Fees are those of one side: Alpaca takes no commission, and
the regulators a few tenths of a basis point of what is sold; Zerodha takes none for delivery, and India's taxes and charges are 10 to 12.
"""

from django.db import migrations

VENUES = [("alpaca", "Alpaca", 0.3), ("zerodha", "Zerodha Kite", 12.0)]

US = ["AAPL", "MSFT", "NVDA", "AMZN", "GOOGL", "META", "TSLA", "AMD", "SPY", "QQQ"]
US_STEPS = {"tick_size": "0.01", "step_size": "0.000000001", "min_notional": "1"}

INDIA = [
    # NSE symbol, tick size
    ("RELIANCE", "0.1"),
    ("TCS", "0.1"),
    ("HDFCBANK", "0.05"),
    ("INFY", "0.1"),
    ("ICICIBANK", "0.1"),
    ("SBIN", "0.05"),
    ("BHARTIARTL", "0.1"),
    ("ITC", "0.05"),
    ("LT", "0.1"),
    ("AXISBANK", "0.1"),
]


def fill(apps, schema_editor):
    venue_model, market_model = apps.get_model("exchanges", "Venue"), apps.get_model("exchanges", "Market")
    venues = {}
    for slug, name, fee_bps in VENUES:
        defaults = {"name": name, "maker_bps": fee_bps, "taker_bps": fee_bps}
        venues[slug], _created = venue_model.objects.get_or_create(slug=slug, defaults=defaults)
    for base in US:
        add(market_model, venues["alpaca"], base, "USD", US_STEPS)
    for base, tick in INDIA:
        add(market_model, venues["zerodha"], base, "INR", {"tick_size": tick, "step_size": "1", "min_notional": "0"})


def add(market_model, venue, base, quote, facts):
    defaults = {"base": base, "quote": quote, "kind": "equity", "max_leverage": 1, **facts}
    market_model.objects.get_or_create(venue=venue, symbol=f"{base}/{quote}", defaults=defaults)


class Migration(migrations.Migration):
    dependencies = [("exchanges", "0004_equity_kind")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
