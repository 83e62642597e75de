"""Market history. Rows are written and read in bulk by exchanges.candles; their time is the bar's OPEN in ms UTC, as venues count it.

The market's key is not constrained in the database: PostgreSQL would check it for every one of a million rows, which costs two thirds
of the ingest rate, and one ingest writes one market that it holds locked. Markets are protected from deletion where money depends on them.

How PostgreSQL lays the two tables of bars out, and the triggers that keep CandleMonth, are the migration's candle_layout: one that
rebuilds these tables (on SQLite Django does so for nearly every change of a column) has to create the triggers again.
"""

from django.db import models
from django.db.models import F, Q

from exchanges.models.market import Market


class Bar(models.Model):
    pk = models.CompositePrimaryKey("market_id", "timeframe", "timestamp")
    market = models.ForeignKey(Market, models.CASCADE, db_index=False, db_constraint=False)
    timeframe = models.CharField(max_length=3)
    timestamp = models.BigIntegerField(help_text="Open of the bar, ms since the epoch, UTC.")
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.market_id} {self.timeframe} {self.timestamp}"


class Candle(Bar):
    """A closed bar of last-trade prices; volume in base coins."""

    volume = models.FloatField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(low__gt=0, high__gte=F("open"))
                & Q(high__gte=F("close"), low__lte=F("open"))
                & Q(low__lte=F("close"), volume__gte=0),
                name="candle_prices_possible",
            ),
        ]


class MarkCandle(Bar):
    """A closed bar of mark prices, which liquidations and unrealised P&L go by."""

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(low__gt=0, high__gte=F("open")) & Q(high__gte=F("close"), low__lte=F("open")) & Q(low__lte=F("close")),
                name="mark_candle_prices_possible",
            ),
        ]


class CandleMonth(models.Model):
    """One month of one series, kept by the database's own triggers with every write of a bar, whoever writes it.

    `revision` is a number drawn anew at every change: whoever holds the month's bars under the same number holds what is stored.
    """

    pk = models.CompositePrimaryKey("market_id", "timeframe", "price", "month_ms")
    market = models.ForeignKey(Market, models.DO_NOTHING, db_index=False, db_constraint=False)
    timeframe = models.CharField(max_length=3)
    price = models.CharField(max_length=4, help_text="last or mark")
    month_ms = models.BigIntegerField(help_text="First instant of the calendar month, ms since the epoch, UTC.")
    bars = models.IntegerField()
    last_ms = models.BigIntegerField(help_text="Open of the month's newest bar.")
    revision = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.market_id} {self.timeframe} {self.price} {self.month_ms}"


class FundingRate(models.Model):
    """One funding boundary: longs pay `rate` times their notional to shorts when it is positive."""

    pk = models.CompositePrimaryKey("market_id", "timestamp")
    market = models.ForeignKey(Market, models.CASCADE, db_index=False, db_constraint=False)
    timestamp = models.BigIntegerField(help_text="Funding time, ms since the epoch, UTC.")
    rate = models.FloatField(help_text="Fraction of notional per interval: 0.0001 is 1 bp.")

    def __str__(self) -> str:
        return f"{self.market_id} {self.timestamp} {self.rate}"
