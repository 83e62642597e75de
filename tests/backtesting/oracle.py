"""The rules of the simulation once more, written plainly and slowly from their description: nothing here is shared with the product.

Markets are lists of bars per symbol: (bar number, open, high, low, close, funding rate, funding cost). Candidates are {(symbol, bar number): plan}.
"""

import math
from dataclasses import dataclass, field

DAY_MS = 86_400_000


@dataclass
class Held:
    symbol: int
    side: int
    plan: tuple
    entered: int
    qty: float
    entry: float
    leverage: int
    margin: float
    liquidation: float
    deadline: int
    left: float = 0.0
    share_left: float = 1.0
    stop: float = 0.0
    best: float = 0.0
    hit: int = 0
    mark: float = 0.0
    pnl: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    fills: list = field(default_factory=list)

    def unrealised(self):
        return self.side * (self.mark - self.entry) * self.left


def stop_first(held, at, bar, shares):
    """What one bar does to a position: [(share or None for all, price, reason, rests)]."""
    _, o, high, low, _, _, _ = bar
    side, (_, tp1, tp2, tp3, trail) = held.side, held.plan[:5]
    if held.liquidation > 0 and (o <= held.liquidation if side > 0 else o >= held.liquidation):
        return [(None, held.liquidation, "liquidation", False)]
    if at >= held.deadline:
        return [(None, o, "time", False)]
    worst, best = (low, high) if side > 0 else (high, low)
    liquidated = held.liquidation > 0 and (worst <= held.liquidation if side > 0 else worst >= held.liquidation)
    if liquidated and (held.liquidation >= held.stop if side > 0 else held.liquidation <= held.stop):
        return [(None, held.liquidation, "liquidation", False)]
    if worst <= held.stop if side > 0 else worst >= held.stop:
        gapped = o < held.stop if side > 0 else o > held.stop
        return [(None, o if gapped else held.stop, "trail" if held.hit else "stop", False)]
    exits = []
    for number, (target, share) in enumerate(zip((tp1, tp2, tp3), (*shares[:2], None), strict=True), start=1):
        through = best > target if side > 0 else best < target
        if held.hit == number - 1 and through:
            exits.append((share, target, f"tp{number}", True))
            held.hit = number
    held.best = max(held.best, best) if side > 0 else min(held.best, best)
    if held.hit in (1, 2):
        levels = [held.stop, held.entry, held.best - side * trail]
        held.stop = max(levels) if side > 0 else min(levels)
    return exits


def size(equity, price, stop, rules, cap, step, least):
    """(qty, leverage): the loss at the stop with costs is the risk, the margin at most its share of equity."""
    away = abs(price - stop) / price
    highest = max(1, min(cap, math.floor(1 / (away + 0.01))))
    margin = equity * rules.max_margin_pct / 100
    notional = min(equity * rules.risk_pct / 100 / (away + rules.stop_cost_pct / 100), margin * highest)
    qty = math.floor(notional / price / step + 1e-9) * step
    if qty <= 0 or qty * price < least:
        return 0.0, 1
    return qty, max(1, min(highest, math.ceil(qty * price / margin - 1e-9)))


class Oracle:
    def __init__(self, start_ms, markets, plans, specs, rules):
        self.start_ms, self.plans, self.specs, self.rules = start_ms, plans, specs, rules
        self.bars = [{bar[0]: bar for bar in market} for market in markets]
        self.balance = self.day_start = self.peak = rules.capital
        self.held, self.signals, self.trades, self.curve, self.refused = {}, {}, [], [], {}

    def at(self, number):
        return self.start_ms + number * self.rules.bar_ms

    def equity(self):
        return self.balance + sum(held.unrealised() for held in self.held.values())

    def run(self):
        day = None
        for number in sorted({number for market in self.bars for number in market}):
            if self.at(number) // DAY_MS != day:
                day, self.day_start = self.at(number) // DAY_MS, self.balance
            self.enter(number)
            for symbol, market in enumerate(self.bars):
                if number in market:
                    self.live_through(symbol, market[number])
            self.curve.append(self.equity())
            self.peak = max(self.peak, self.equity())
        return self

    def enter(self, number):
        fresh = []
        for symbol, market in enumerate(self.bars):
            plan = self.plans.get((symbol, number - 1))
            if number in market and number - 1 in market and plan is not None:
                open_signal = self.signals.get(symbol)
                if open_signal and open_signal[0] == plan[0] and number - 1 - open_signal[1] < self.rules.signal_bars:
                    continue
                self.signals[symbol] = (plan[0], number - 1, plan[1], plan[2])
                fresh.append((-plan[6], symbol, plan))
        for _, symbol, plan in sorted(fresh):
            word = self.try_to_enter(symbol, number, plan)
            if word:
                self.refused[word] = self.refused.get(word, 0) + 1

    def try_to_enter(self, symbol, number, plan):
        rules, specs, equity = self.rules, self.specs, self.equity()
        side, stop, tp1 = plan[:3]
        if equity <= 0:
            return "equity"
        if self.day_start <= 0 or 100 * (1 - equity / self.day_start) >= rules.max_daily_loss_pct - 1e-9:
            return "daily_loss"
        if 100 * (1 - equity / self.peak) >= rules.max_drawdown_pct - 1e-9:
            return "drawdown"
        if len(self.held) >= rules.max_open:
            return "open_positions"
        if symbol in self.held:
            return "position"
        reference, opened = self.bars[symbol][number - 1][4], self.bars[symbol][number][1]
        if abs(opened / reference - 1) > 0.05:
            return "deviation"
        cap = min(rules.max_leverage, specs[symbol].max_leverage)
        qty, leverage = size(equity, reference, stop, rules, cap, specs[symbol].step_size, specs[symbol].min_notional)
        if qty <= 0:
            return "size"
        free = self.balance + min(0, equity - self.balance) - sum(held.margin for held in self.held.values())
        if qty * reference / leverage > free:
            return "margin"
        price = opened * (1 + side * rules.slippage)
        if not min(stop, tp1) < price < max(stop, tp1):
            return "price_moved"
        keep = specs[symbol].tiers[0].rate if specs[symbol].tiers else 0
        liquidation = max(0.0, price * (side - 1 / leverage) / (side - keep)) if keep > 0 else 0.0
        if liquidation > 0 and side * (price - liquidation) <= 0:
            return "margin"
        deadline = self.at(number) + rules.max_hold_ms
        held = Held(symbol, side, plan[1:6], number, qty, price, leverage, qty * price / leverage, liquidation, deadline)
        held.left, held.stop, held.best, held.mark = qty, stop, price, price
        self.held[symbol] = held
        self.pay_fee(held, qty * price * specs[symbol].taker)
        return ""

    def pay_fee(self, held, fee):
        held.fees += fee
        self.balance -= fee

    def live_through(self, symbol, bar):
        number, o, high, low, close, rate, cost = bar
        signal = self.signals.get(symbol)
        if signal:
            side, _, stop, tp1 = signal
            if (low <= stop or high >= tp1) if side > 0 else (high >= stop or low <= tp1):
                del self.signals[symbol]
        held = self.held.get(symbol)
        if held is None:
            return
        paid = held.left * o * (held.side * rate + cost) if number != held.entered else 0.0
        held.funding -= paid
        self.balance -= paid
        held.mark = close
        for share, price, reason, rests in stop_first(held, self.at(number), bar, (self.rules.share1, self.rules.share2)):
            self.exit(held, share, price, reason, rests, number)
        if symbol in self.held and number == max(self.bars[symbol]):
            self.exit(held, None, close, "end_of_data", False, number)

    def exit(self, held, share, price, reason, rests, number):
        qty = held.left
        if share is not None:
            spec = self.specs[held.symbol]
            step, least = spec.step_size, 0 if spec.tiers else spec.min_notional / price
            held.share_left -= share
            stays = math.ceil(held.share_left * held.qty / step - 1e-9) * step
            qty = round((held.left - stays) / step) * step
            if qty < least or stays < least:
                qty = 0
        if qty > 0:
            got = price if rests or reason == "liquidation" else price * (1 - held.side * self.rules.slippage)
            gain = held.side * (got - held.entry) * qty
            self.balance += gain
            held.pnl += gain
            held.left -= qty
            held.fills.append((qty, got))
            spec = self.specs[held.symbol]
            fee = spec.maker if rests else spec.taker + (spec.liquidation_fee if reason == "liquidation" else 0)
            self.pay_fee(held, qty * got * fee)
        if share is None:
            del self.held[held.symbol]
            self.trades.append((held, number, reason))
