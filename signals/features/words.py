"""Features in plain language, for the reasons shown with a signal. Every name of the catalogue has a phrase here; a test holds that."""

import re
from typing import NamedTuple


class Phrase(NamedTuple):
    """`words` may hold {span}, the feature's window in hours or days; `kind` says how its value reads: number, percent, or bp (basis points)."""

    pattern: re.Pattern[str]
    words: str
    kind: str


def _table(*rows: tuple[str, str, str]) -> tuple[Phrase, ...]:
    return tuple(Phrase(re.compile(pattern + r"(?:_(?P<frame>1h|4h|1d))?"), words, kind) for pattern, words, kind in rows)


PHRASES = _table(
    # candles
    (r"body", "Body of the last bar within its range (-1 to 1)", "number"),
    (r"upper_wick", "Upper wick as a share of the last bar's range", "number"),
    (r"lower_wick", "Lower wick as a share of the last bar's range", "number"),
    (r"body_size", "Body of the last bar in average ranges", "number"),
    (r"wick_balance_(?P<bars>\d+)", "Lower minus upper wicks over {span}", "number"),
    (r"close_location_(?P<bars>\d+)", "Where bars close within their range over {span} (-1 to 1)", "number"),
    (r"engulfing", "Engulfing bar (+1 rising, -1 falling)", "number"),
    (r"inside_outside", "Inside (-1) or outside (+1) bar", "number"),
    (r"streak_\d+", "Closes in a row in one direction", "number"),
    (r"doji_share_(?P<bars>\d+)", "Share of bars without a body over {span}", "number"),
    # price and calendar
    (r"ret_(?P<bars>\d+)", "Price change over {span}", "percent"),
    (r"zret_(?P<bars>\d+)", "Price change over {span}, in its usual deviations", "number"),
    (r"range_pos_(?P<bars>\d+)", "Place in the range of {span} (-1 low, 1 high)", "number"),
    (r"dist_high_(?P<bars>\d+)", "Distance below the high of {span}, in average ranges", "number"),
    (r"dist_low_(?P<bars>\d+)", "Distance above the low of {span}, in average ranges", "number"),
    (r"ret_accel_(?P<bars>\d+)", "Acceleration of the price over {span}, in average ranges", "number"),
    (r"hour_(?:sin|cos)", "Time of day", "number"),
    (r"week_(?:sin|cos)", "Time of the week", "number"),
    # trend
    (r"ema_dist_(?P<count>\d+)", "Distance from the {count}-bar exponential average, in average ranges", "number"),
    (r"sma_dist_(?P<count>\d+)", "Distance from the {count}-bar average, in average ranges", "number"),
    (r"ema_gap_(?P<count>\d+)_(?P<other>\d+)", "Gap between the {count}- and {other}-bar averages, in average ranges", "number"),
    (r"macd_hist", "MACD histogram, in average ranges", "number"),
    (r"adx_\d+", "Trend strength (ADX, 0 to 1)", "number"),
    (r"di_diff_\d+", "Upward minus downward pressure (DI)", "number"),
    (r"aroon_\d+", "Aroon oscillator (-1 to 1)", "number"),
    (r"slope_(?P<bars>\d+)", "Slope of the price over {span}, in its usual deviations", "number"),
    (r"slope_fit_(?P<bars>\d+)", "How straight the trend of {span} is (-1 to 1)", "number"),
    (r"efficiency_(?P<bars>\d+)", "How direct the move of {span} was (-1 to 1)", "number"),
    (r"agreement_1h_4h_1d", "Agreement of the hourly, four-hourly and daily moves (-1 to 1)", "number"),
    # momentum
    (r"rsi_(?P<count>\d+)", "RSI of {count} bars (-1 oversold, 1 overbought)", "number"),
    (r"rsi_change_(?P<bars>\d+)", "Change of the RSI over {span}", "number"),
    (r"stoch_[kd]_\d+", "Stochastic oscillator (-1 to 1)", "number"),
    (r"stoch_rsi_\d+", "Stochastic RSI (-1 to 1)", "number"),
    (r"cci_\d+", "Commodity channel index", "number"),
    (r"cmo_\d+", "Chande momentum (-1 to 1)", "number"),
    (r"trix_\d+", "Change of the triple-smoothed average", "bp"),
    (r"power_balance_\d+", "Balance of power between buyers and sellers (-1 to 1)", "number"),
    # volatility
    (r"atr_pct_\d+", "Average range as a share of the price", "percent"),
    (r"rv_(?P<bars>\d+)", "Volatility per bar over {span}", "percent"),
    (r"rv_ratio_(?P<bars>\d+)_(?P<more>\d+)", "Volatility of {span} against that of {longer} (0: equal)", "number"),
    (r"parkinson_\d+", "Range-based against close-based volatility", "number"),
    (r"garman_klass_(?P<bars>\d+)", "Volatility from the bars' ranges over {span}", "percent"),
    (r"bollinger_width_\d+", "Width of the Bollinger bands", "percent"),
    (r"bollinger_pos_\d+", "Place within the Bollinger bands, in deviations", "number"),
    (r"down_up_(?P<bars>\d+)", "Downward against upward volatility over {span}", "number"),
    (r"vol_of_vol_(?P<bars>\d+)", "How unsteady volatility was over {span}", "number"),
    (r"range_expansion", "Last bar's range against the average", "number"),
    (r"skew_(?P<bars>\d+)", "Lopsidedness of the moves over {span}", "number"),
    (r"kurtosis_(?P<bars>\d+)", "Share of extreme moves over {span} (excess kurtosis)", "number"),
    (r"drawdown_(?P<bars>\d+)", "Deepest fall within {span}", "percent"),
    (r"jump_(?P<bars>\d+)", "Share of sudden jumps in the moves of {span}", "number"),
    # volume
    (r"volume_ratio_(?P<bars>\d+)_(?P<more>\d+)", "Volume of {span} against that of {longer}", "number"),
    (r"volume_z_(?P<bars>\d+)", "Volume against that of {span}, in deviations", "number"),
    (r"signed_volume_(?P<bars>\d+)", "Volume of rising minus falling bars over {span} (-1 to 1)", "number"),
    (r"cmf_\d+", "Chaikin money flow (-1 to 1)", "number"),
    (r"mfi_\d+", "Money flow index (-1 to 1)", "number"),
    (r"vwap_dist_(?P<bars>\d+)", "Distance from the volume-weighted price of {span}, in average ranges", "number"),
    (r"impact_(?P<bars>\d+)_(?P<more>\d+)", "How easily the price moves: {span} against {longer}", "number"),
    (r"volume_move_corr_(?P<bars>\d+)", "How volume goes with the size of moves over {span}", "number"),
    (r"zero_volume_(?P<bars>\d+)", "Share of bars without a trade over {span}", "number"),
    # funding
    (r"funding_known", "Whether the funding rate is known (1) or not (0)", "number"),
    (r"funding_last", "Newest funding rate", "bp"),
    (r"funding_day", "Funding paid over a day", "bp"),
    (r"funding_week", "Mean funding rate of a week", "bp"),
    (r"funding_change", "Newest funding rate against the week's mean", "bp"),
    (r"funding_z", "Newest funding rate against three weeks, in deviations", "number"),
    # Bitcoin
    (r"btc_known", "Whether Bitcoin's price is known (1) or not (0)", "number"),
    (r"btc_ret_(?P<bars>\d+)", "Bitcoin's change over {span}", "percent"),
    (r"btc_range_pos_(?P<bars>\d+)", "Bitcoin's place in its range of {span} (-1 low, 1 high)", "number"),
    (r"btc_rv_(?P<bars>\d+)", "Bitcoin's volatility per bar over {span}", "percent"),
    (r"btc_rv_ratio_(?P<bars>\d+)_(?P<more>\d+)", "Bitcoin's volatility of {span} against that of {longer} (0: equal)", "number"),
    (r"rel_ret_(?P<bars>\d+)", "Change over {span} beyond Bitcoin's", "percent"),
    (r"btc_beta_(?P<bars>\d+)", "How strongly it follows Bitcoin over {span}", "number"),
    (r"btc_corr_(?P<bars>\d+)", "Correlation with Bitcoin over {span}", "number"),
    (r"btc_rel_vol_(?P<bars>\d+)", "Volatility against Bitcoin's over {span} (0: equal)", "number"),
    # regime
    (r"regime_vol_rank", "Rank of today's volatility among recent weeks (0 to 1)", "number"),
    (r"regime_trend", "How direct the move of ten days was (-1 to 1)", "number"),
    (r"regime_fall", "Fall from the high of a week", "percent"),
    (r"regime_code", "Market regime (0 sideways, 1 bull, 2 bear, 3 volatile, 4 crisis)", "number"),
)
MINUTES = {None: 15, "1h": 60, "4h": 240, "1d": 1440}


class Described(NamedTuple):
    """A feature's phrase, and how its values are written."""

    words: str
    kind: str


def describe(name: str) -> Described | None:
    """The phrase of the feature called `name`; None when it has none."""
    for phrase in PHRASES:
        match = phrase.pattern.fullmatch(name)
        if match:
            return Described(_fill(phrase.words, match.groupdict()), phrase.kind)
    return None


def write(value: float, kind: str) -> str:
    """A value as people read it, always signed."""
    if kind == "percent":
        return f"{value * 100.0:+.2f} %"
    if kind == "bp":
        return f"{value:+.2f} bp"
    return f"{value:+.2f}"


def _fill(words: str, found: dict[str, str | None]) -> str:
    minutes = MINUTES[found.get("frame")]
    text = words.format(
        span=_span(minutes * int(found.get("bars") or 0)),
        longer=_span(minutes * int(found.get("more") or 0)),
        count=found.get("count"),
        other=found.get("other"),
    )
    return f"{text}, on {found['frame']} bars" if found.get("frame") else text


def _span(minutes: int) -> str:
    for size, unit in ((1440, "day"), (60, "hour")):
        if minutes >= size and minutes % size == 0:
            count = minutes // size
            return f"{count} {unit}s" if count > 1 else f"one {unit}"
    return f"{minutes} minutes"
