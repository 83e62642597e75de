"""Random markets and rules for the kernel, and the same for the oracle."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from backtesting import kernel
from exchanges import exits
from tests.backtesting.oracle import Bar, Oracle, exact, plain

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
TIERS = (kernel.Tier(0.0, 0.005), kernel.Tier(700.0, 0.02, 10.5), kernel.Tier(1500.0, 0.06, 70.5))
"""The deduction makes what is to be kept go on without a step: 700 x (2 % - 0.5 %) = 10.5, and 1,500 x (6 % - 2 %) more."""
NARROW_TIERS = (kernel.Tier(0.0, 0.005), kernel.Tier(300.0, 0.01, 1.5), kernel.Tier(900.0, 0.02, 10.5), kernel.Tier(1400.0, 0.04, 38.5))
SHARES = ((0.3, 0.4, 0.3), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.0, 0.25, 0.75))


class Drawn(NamedTuple):
    """One random case: what the kernel takes, and the series it was made of."""

    series: list
    bars: kernel.Bars
    entries: kernel.Entries
    specs: list
    rules: kernel.Rules


class Setting(NamedTuple):
    """What is drawn of a case besides its random numbers."""

    seed: int
    symbols: int
    bar_ms: int
    tick: float
    step: float
    spot: bool
    marks: bool
    finer: bool
    gaps: float
    jump: float
    geared: bool
    min_notional: float
    liquidation_fee: float
    costs: tuple
    rules: dict


RULES = st.fixed_dictionaries(
    {
        "sizing": st.sampled_from([kernel.BY_RISK, kernel.BY_NOTIONAL]),
        "risk_pct": st.sampled_from([0.5, 2.0, 8.0]),
        "notional_pct": st.sampled_from([12.0, 45.0, 150.0]),
        "max_margin_pct": st.sampled_from([2.0, 5.5, 11.0, 61.0]),
        "max_leverage": st.sampled_from([1, 7, 20, 20]),
        "max_open": st.integers(1, 4),
        "limits": st.sampled_from([(10.0, 25.0), (2.0, 5.0), (1e9, 1e9)]),
        "max_joint_pct": st.sampled_from([0.0, 0.0, 61.7, 173.1]),
        "correlation_bars": st.sampled_from([1, 4, 12]),
        "slippage_range": st.sampled_from([0.0, 0.0537]),
        "impact": st.sampled_from([0.0, 0.00713]),
        "participation": st.sampled_from([0.0, 0.0, 0.0317]),
        "stop": st.sampled_from([0.7, 1.5, 9.0, 9.0]),
        "trail": st.sampled_from([0.3, 1.25]),
        "shares": st.sampled_from(SHARES),
        "hold_bars": st.integers(1, 40),
        "anchor": st.sampled_from([kernel.AT_DECISION, kernel.AT_FILL]),
        "opposite": st.sampled_from([kernel.KEEP, kernel.REVERSE]),
        "limit_offset": st.sampled_from([0.0, 0.0, 0.2, 0.9]),
        "limit_bars": st.integers(1, 4),
        "path": st.sampled_from(list(exits.PATHS.values())),
        "signal_bars": st.integers(0, 4),
    }
)
COSTS = st.tuples(st.sampled_from([0.0, 0.00031719, 0.0021]), st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 0.013]))
"""Of one market: slippage, what a stop costs in % of notional, and an hour of holding."""
SETTINGS = st.builds(
    Setting,
    seed=st.integers(0, 10**9),
    symbols=st.integers(1, 4),
    bar_ms=st.sampled_from([900_000, 14_400_000]),
    tick=st.sampled_from([0.0, 0.01, 0.1, 0.25]),
    step=st.sampled_from([1e-4, 0.01, 1.0]),
    spot=st.sampled_from([False, False, False, True]),
    marks=st.booleans(),
    finer=st.booleans(),
    gaps=st.sampled_from([0.0, 0.05]),
    jump=st.sampled_from([0.03, 0.03, 0.06]),
    geared=st.sampled_from([False, False, True]),
    min_notional=st.sampled_from([0.0, 5.0, 100.0]),
    liquidation_fee=st.sampled_from([0.0, 0.0125]),
    costs=st.tuples(*[COSTS] * 4),
    rules=RULES,
)


def draw(setting: Setting) -> Drawn:
    """The case of a setting."""
    rng = np.random.default_rng(setting.seed)
    series = [random_series(rng, setting, price=40.0 * (s + 1)) for s in range(setting.symbols)]
    bars = kernel.join(series)
    n = bars.at.shape[0]
    side = np.where(rng.random(n) < rng.choice([0.1, 0.3]), rng.choice([-1, 1], n), 0).astype(np.int8)
    entries = kernel.entries_of(bars, side, bars.rows["close"] * rng.uniform(0.003, 0.02, n), rng.random(n))
    tiers = () if setting.spot else (NARROW_TIERS if setting.geared else TIERS)
    spec = kernel.Spec(setting.step, setting.tick, setting.min_notional, 20, 0.0002, 0.0005, setting.liquidation_fee, tiers)
    own = [spec._replace(**dict(zip(spec._fields[-3:], each, strict=True))) for each in setting.costs]
    return Drawn(series, bars, entries, own[: setting.symbols], rules_of(setting))


def rules_of(setting: Setting) -> kernel.Rules:
    given = dict(setting.rules)
    (daily, fall), shares = given.pop("limits"), given.pop("shares")
    if setting.geared:  # stops far away and little margin: positions end by liquidation
        given |= {"sizing": kernel.BY_NOTIONAL, "max_leverage": 20, "max_margin_pct": given["notional_pct"] / 17.3, "stop": 9.0}
    return kernel.Rules(
        capital=1000.0, max_daily_loss_pct=daily, max_drawdown_pct=fall, tp1=1.1, tp2=1.9, tp3=3.2, share1=shares[0], share2=shares[1],
        share3=shares[2], max_hold_ms=given.pop("hold_bars") * setting.bar_ms, bar_ms=setting.bar_ms, **given,
    )  # fmt: skip


def random_series(rng: np.random.Generator, setting: Setting, *, price: float) -> kernel.Series:
    """A walk that begins late and jumps now and then; every bar is made of three finer ones, which are told of half of the bars if any."""
    length, late = int(rng.integers(15, 110)), int(rng.integers(0, 30))
    at, rows, finer, first = [], [], [], [0]
    for number in range(length):
        parts = []
        for part in range(3):
            opened = price * float(np.exp(rng.normal(0, setting.jump))) if part == 0 and rng.random() < 0.07 else price
            price = opened * float(np.exp(rng.normal(0, 0.004)))
            high, low = max(opened, price) * (1 + rng.uniform(0, 0.002)), min(opened, price) * (1 - rng.uniform(0, 0.002))
            parts.append([on_tick(value, setting.tick) for value in (opened, high, low, price)])
        if rng.random() < setting.gaps:
            continue
        o, high, low, close = parts[0][0], max(part[1] for part in parts), min(part[2] for part in parts), parts[-1][3]
        mark_high, mark_low = (on_tick(level * (1 + rng.normal(0, 0.008)), setting.tick) for level in (high, low))
        volume = 0.0 if not setting.tick and rng.random() < 0.03 else float(rng.lognormal(5, 1))
        at.append(late + number)
        rows.append((o, high, low, close, volume, max(mark_high, mark_low), min(mark_high, mark_low)))
        finer += parts if setting.finer and rng.random() < 0.5 else []
        first.append(len(finer))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    due = np.flatnonzero(rng.random(len(rows)) < 0.1)
    return kernel.Series(
        START_MS + np.array(at, np.int64) * setting.bar_ms, *columns[:5], *(columns[5:] if setting.marks else (np.empty(0), np.empty(0))),
        due_row=due, due_price=columns[0][due] * rng.uniform(0.99, 1.01, due.size), due_rate=rng.normal(0, 5e-4, due.size),
        due_cost=rng.choice([0.0, 1e-4], due.size), detail_first=np.array(first, np.int64) if setting.finer else np.empty(0, np.int64),
        **{f"detail_{name}": np.array([part[k] for part in finer]) for k, name in enumerate(("open", "high", "low"))},
    )  # fmt: skip


def on_tick(price: float, tick: float) -> float:
    """As venues send prices: the double nearest to a decimal that has few digits."""
    return float(round(price / tick) * exact(tick)) if tick else price


def tell(drawn: Drawn) -> Oracle:
    """The oracle's answer to the same case."""
    decisions, entries = {}, drawn.entries
    stamps, symbols = drawn.bars.timestamp, drawn.bars.symbol
    for k, row in enumerate(entries.row.tolist()):
        decisions[int(symbols[row]), int(stamps[row])] = (int(entries.side[k]), exact(entries.unit[row]), exact(entries.rank[k]))
    markets = [market_of(series) for series in drawn.series]
    specs = [
        plain(
            step=spec.step_size, tick=spec.tick, least=spec.min_notional, max_leverage=spec.max_leverage, maker=spec.maker, taker=spec.taker,
            liquidation_fee=spec.liquidation_fee, slippage=spec.slippage, stop_cost_pct=spec.stop_cost_pct, hold_cost_pct=spec.hold_cost_pct,
            tiers=[tuple(map(exact, tier)) for tier in spec.tiers],
        )
        for spec in drawn.specs
    ]  # fmt: skip
    return Oracle(markets, decisions, specs, told_rules(drawn.rules)).run()


def told_rules(rules: kernel.Rules):
    return plain(
        **rules._asdict() | {"path": next(word for word, code in exits.PATHS.items() if code == rules.path)},
        sizes_by_risk=rules.sizing == kernel.BY_RISK,
        anchors_at_fill=rules.anchor == kernel.AT_FILL,
        reverses=rules.opposite == kernel.REVERSE,
        targets=[exact(target) for target in (rules.tp1, rules.tp2, rules.tp3)],
        shares=[exact(share) for share in (rules.share1, rules.share2, rules.share3)],
    )


def market_of(series: kernel.Series) -> dict[int, Bar]:
    market = {}
    has_marks, has_finer = series.mark_high.size > 0, series.detail_first.size > 0
    for row, ms in enumerate(series.timestamp.tolist()):
        o, high, low, close, volume = (exact(column[row]) for column in series[1:6])
        mark_high, mark_low = (exact(series.mark_high[row]), exact(series.mark_low[row])) if has_marks else (high, low)
        due = [tuple(exact(column[k]) for column in series[9:12]) for k in np.flatnonzero(series.due_row == row)]
        parts = range(series.detail_first[row], series.detail_first[row + 1]) if has_finer else ()
        finer = [tuple(exact(column[k]) for column in series[13:16]) for k in parts]
        market[ms] = Bar(o, high, low, close, volume, mark_high, mark_low, due, finer)
    return market
