"""The rules of docs/backtesting.md once more: slowly, bar by bar, in decimal numbers, without a line of the product.

Bars are looked up by their open in ms. Where a decision hangs on less than a double can tell, the oracle says so in `ties`.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from types import SimpleNamespace

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SLACK = Decimal("1e-9")
NARROW, HAIR = Decimal("1e-11"), Decimal("2e-15")
ZERO, ONE, HUNDRED = Decimal(0), Decimal(1), Decimal(100)


@dataclass
class Bar:
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    mark_high: Decimal
    mark_low: Decimal
    due: list = field(default_factory=list)  # (price, rate, cost)
    finer: list = field(default_factory=list)  # (open, high, low)


@dataclass
class Place:
    """A position, or the order it will be."""

    symbol: int
    side: int
    decided: int
    reference: Decimal
    qty: Decimal
    leverage: int
    margin: Decimal
    stop: Decimal
    targets: list
    trail: Decimal
    deadline: int
    limit: Decimal | None = None
    expires: int = 0
    is_open: bool = False
    entered: int = 0
    entry: Decimal = ZERO
    first_stop: Decimal = ZERO
    liquidation: Decimal | None = None
    left: Decimal = ZERO
    share_left: Decimal = ONE
    hit: int = 0
    best: Decimal = ZERO
    mark: Decimal = ZERO
    gained: Decimal = ZERO
    fees: Decimal = ZERO
    slipped: Decimal = ZERO
    funding: Decimal = ZERO
    proceeds: Decimal = ZERO
    is_ambiguous: bool = False
    closed: int = 0
    reason: str = ""

    def beyond(self, a, b):
        """Whether a is further in the direction of profit than b."""
        return a > b if self.side > 0 else a < b

    def unrealised(self):
        return self.side * (self.mark - self.entry) * self.left

    def pnl(self):
        return self.gained - self.fees + self.funding


class Oracle:
    """markets: {ms: Bar} for each symbol; decisions: {(symbol, ms): (side, unit, rank)}; specs and rules: plain names and decimals."""

    def __init__(self, markets, decisions, specs, rules):
        self.markets, self.decisions, self.specs, self.rules = markets, decisions, specs, rules
        self.stamps = [sorted(market) for market in markets]
        self.balance = self.day_start = self.peak = rules.capital
        self.fall = ZERO
        self.places, self.newest, self.trades, self.refused = {}, {}, [], {}
        self.signals = self.ties = 0
        self.equity, self.notional, self.daily = [], [], {}

    # What hangs on a hair.

    def over(self, a, b):
        """a > b, and a note when the two are as good as equal."""
        self.ties += (a != 0 or b != 0) and abs(a - b) <= NARROW * max(ONE, abs(a), abs(b))
        return a > b

    def whole(self, number, rounding):
        """The next whole number with the slack of the rules."""
        moved = number + SLACK if rounding == ROUND_FLOOR else number - SLACK
        self.ties += abs(moved - moved.quantize(ONE, ROUND_HALF_EVEN)) < HAIR * max(ONE, abs(number))
        return moved.quantize(ONE, rounding)

    def to_tick(self, price, tick):
        if tick == 0:
            return price
        steps = price / tick
        self.ties += abs(abs(steps - steps.quantize(ONE, ROUND_FLOOR)) - Decimal("0.5")) < NARROW * max(ONE, abs(steps))
        return max(tick, steps.quantize(ONE, ROUND_HALF_EVEN) * tick)

    # One moment.

    def run(self):
        moments = sorted({ms for market in self.markets for ms in market})
        before = None
        for now in moments:
            if before is None or now // DAY_MS != before // DAY_MS:
                self.day_start = self.balance
            wanted = self.find_signals(before, now)
            if self.rules.reverses:
                self.reverse(wanted, now)
            for symbol in sorted(wanted, key=lambda symbol: (-wanted[symbol][2], symbol)):
                self.refuse(self.try_to_enter(symbol, before, now, *wanted[symbol][:2]))
            for symbol in sorted(self.places):
                if now in self.markets[symbol]:
                    self.live_through(self.places[symbol], now)
            self.mark(now)
            before = now
        return self

    def refuse(self, word):
        if word:
            self.refused[word] = self.refused.get(word, 0) + 1

    def worth(self):
        return self.balance + sum(place.unrealised() for place in self.places.values() if place.is_open)

    def mark(self, now):
        worth = self.worth()
        self.equity.append(worth)
        self.notional.append(sum(place.left * place.mark for place in self.places.values() if place.is_open))
        self.peak = max(self.peak, worth)
        self.fall = max(self.fall, 1 - worth / self.peak)
        self.daily[now // DAY_MS] = worth

    # Signals.

    def find_signals(self, before, now):
        wanted = {}
        for symbol, market in enumerate(self.markets):
            decision = self.decisions.get((symbol, before))
            if decision is None or now - before != self.rules.bar_ms or now not in market:
                continue
            side, unit, _ = decision
            if self.rules.signal_bars and self.is_open_still(symbol, side, before):
                continue
            close = market[before].close
            self.newest[symbol] = (side, before, close - side * self.rules.stop * unit, close + side * self.rules.targets[0] * unit)
            self.signals += 1
            wanted[symbol] = decision
        return wanted

    def is_open_still(self, symbol, side, now):
        if symbol not in self.newest:
            return False
        of, since, stop, target = self.newest[symbol]
        if of != side or now - since >= self.rules.signal_bars * self.rules.bar_ms:
            return False
        seen = [bar for ms, bar in self.markets[symbol].items() if since < ms <= now]
        if side > 0:
            return not any(bar.low <= stop or bar.high >= target for bar in seen)
        return not any(bar.high >= stop or bar.low <= target for bar in seen)

    def reverse(self, wanted, now):
        for symbol in sorted(wanted):
            place = self.places.get(symbol)
            if place is None or place.side == wanted[symbol][0]:
                continue
            if not place.is_open:
                self.drop(place, "unfilled")
                continue
            bar = self.markets[symbol][now]
            self.pay_funding(place, bar)
            if place.liquidation is not None and not place.beyond(bar.open, place.liquidation):
                self.sell(place, place.left, place.liquidation, "liquidation", bar)
                self.close(place, now, "liquidation")
            else:
                self.sell(place, place.left, bar.open, "opposite", bar)
                self.close(place, now, "opposite")

    # The gate and the size.

    def try_to_enter(self, symbol, before, now, side, unit):
        rules, spec, worth = self.rules, self.specs[symbol], self.worth()
        decided, bar = self.markets[symbol][before], self.markets[symbol][now]
        if worth <= 0:
            return "equity"
        if self.day_start <= 0 or not self.over(rules.max_daily_loss_pct - SLACK, HUNDRED * (1 - worth / self.day_start)):
            return "daily_loss"
        if not self.over(rules.max_drawdown_pct - SLACK, HUNDRED * (1 - worth / self.peak)):
            return "drawdown"
        if len(self.places) >= rules.max_open:
            return "open_positions"
        if symbol in self.places:
            return "position"
        if self.over(abs(bar.open / decided.close - 1), Decimal("0.05")):
            return "deviation"
        reference, stop = decided.close, decided.close - side * rules.stop * unit
        is_limit = rules.limit_offset > 0
        asked = self.to_tick(reference - side * rules.limit_offset * unit, spec.tick) if is_limit else reference
        qty, leverage = self.size(spec, worth, asked, stop + asked - reference if rules.anchors_at_fill else stop, decided.volume)
        if qty <= 0:
            return "size"
        margin = qty * asked / leverage
        free = self.balance + min(ZERO, worth - self.balance) - sum(place.margin for place in self.places.values())
        if self.over(margin, free):
            return "margin"
        if rules.max_joint_pct > 0 and self.over(qty * asked + self.joint(symbol, side, before), worth * rules.max_joint_pct / HUNDRED):
            return "correlation"
        targets = [reference + side * distance * unit for distance in rules.targets]
        place = Place(
            symbol, side, before, reference, qty, leverage, margin, stop, targets, rules.trail * unit, before + rules.bar_ms + rules.max_hold_ms
        )  # fmt: skip
        if is_limit:
            place.limit, place.expires = asked, before + rules.limit_bars * rules.bar_ms
            self.places[symbol] = place
            return ""
        return self.fill(place, now, bar, bar.open, takes=True)

    def size(self, spec, worth, price, stop, volume):
        rules = self.rules
        cap, margin = min(rules.max_leverage, spec.max_leverage), worth * rules.max_margin_pct / HUNDRED
        if rules.sizes_by_risk:
            away = abs(price - stop) / price
            if away == 0:
                return ZERO, 1
            cap = max(1, min(cap, int(self.floor_exactly(1 / (away + Decimal("0.01"))))))
            cost = spec.stop_cost_pct + spec.hold_cost_pct * rules.max_hold_ms / HOUR_MS
            notional = worth * rules.risk_pct / HUNDRED / (away + cost / HUNDRED)
        else:
            notional = worth * rules.notional_pct / HUNDRED
        qty = self.whole(min(notional, margin * cap) / price / spec.step, ROUND_FLOOR) * spec.step
        if qty <= 0 or self.over(spec.least, qty * price):
            return ZERO, 1
        leverage = max(1, min(cap, int(self.whole(qty * price / margin, ROUND_CEILING))))
        most = rules.participation * volume
        if rules.participation > 0 and self.over(qty, most):
            qty = self.whole(most / spec.step, ROUND_FLOOR) * spec.step
            if self.over(spec.least, qty * price):
                qty = ZERO
        return qty, leverage

    def floor_exactly(self, number):
        self.ties += abs(number - number.quantize(ONE, ROUND_HALF_EVEN)) < NARROW * max(ONE, number)
        return number.quantize(ONE, ROUND_FLOOR)

    def joint(self, symbol, side, before):
        """The notional of the others that counts with this one's."""
        total = ZERO
        for other in self.places.values():
            rho = self.correlation(symbol, other.symbol, before)
            share = ONE if rho is None else max(ZERO, side * other.side * rho)
            notional = other.left * other.mark if other.is_open else other.qty * other.limit
            total += share * notional
        return total

    def correlation(self, a, b, before):
        """None where it cannot be known."""
        length = self.rules.correlation_bars
        one, two = ([ms for ms in self.stamps[symbol] if ms <= before][-length - 1 :] for symbol in (a, b))
        if len(one) <= length or len(two) <= length or one != two or length < 2:
            return None
        x, y = (self.returns(symbol, stamps) for symbol, stamps in ((a, one), (b, two)))
        mean_x, mean_y = sum(x) / length, sum(y) / length
        both = sum((p - mean_x) * (q - mean_y) for p, q in zip(x, y, strict=True))
        squares = sum((p - mean_x) ** 2 for p in x) * sum((q - mean_y) ** 2 for q in y)
        return both / squares.sqrt() if squares > 0 else None

    def returns(self, symbol, stamps):
        closes = [self.markets[symbol][ms].close for ms in stamps]
        return [later / earlier - 1 for earlier, later in pairwise(closes)]

    # Fills.

    def slippage(self, symbol, bar, notional):
        rules = self.rules
        rate = self.specs[symbol].slippage + rules.slippage_range * (bar.high - bar.low) / bar.open
        if rules.impact > 0:
            turnover = bar.volume * bar.close
            rate += rules.impact * (notional / turnover).sqrt() if turnover > 0 else Decimal("0.1")
        return min(rate, Decimal("0.1"))

    def fill(self, place, now, bar, price, *, takes):
        spec, side = self.specs[place.symbol], place.side
        rate = self.slippage(place.symbol, bar, place.qty * price) if takes else ZERO
        paid = price
        if takes:
            paid = price * (1 + side * rate)
            if place.limit is not None and place.beyond(paid, place.limit):
                paid = place.limit
        paid = self.to_tick(paid, spec.tick)
        moved = paid - place.reference if self.rules.anchors_at_fill else ZERO
        stop, first, second, third = (self.to_tick(level + moved, spec.tick) for level in (place.stop, *place.targets))
        if not (place.beyond(paid, stop) and place.beyond(first, paid)):
            return "price_moved"
        liquidation = self.liquidation(spec, side, paid, place.qty, place.leverage)
        if liquidation is not None and not place.beyond(paid, liquidation):
            return "margin"
        place.stop = place.first_stop = stop
        place.targets, place.liquidation = [first, second, third], liquidation
        place.is_open, place.entered, place.entry, place.left = True, now, paid, place.qty
        place.best = place.mark = paid
        place.margin = place.qty * paid / place.leverage
        place.slipped = side * (paid - price) * place.qty if rate > 0 else ZERO
        self.pay_fee(place, place.qty * paid * (spec.taker if takes else spec.maker))
        self.places[place.symbol] = place
        return ""

    def liquidation(self, spec, side, entry, qty, leverage):
        if not spec.tiers:
            return None
        beyond = [tier[0] for tier in spec.tiers[1:]] + [Decimal("Infinity")]
        for number, (floor, rate, deduction) in enumerate(spec.tiers):
            price = (side * entry * qty - entry * qty / leverage - deduction) / (qty * (side - rate))
            if (number == 0 or floor <= price * qty) and price * qty < beyond[number]:
                return self.to_tick(price, spec.tick) if price > 0 else None
        raise AssertionError("the tiers' deductions leave a step, and the price is in it")

    def pay_fee(self, place, fee):
        place.fees += fee
        self.balance -= fee

    def pay_funding(self, place, bar):
        for price, rate, cost in bar.due:
            paid = place.left * price * (place.side * rate + cost)
            place.funding -= paid
            self.balance -= paid

    def sell(self, place, qty, price, reason, bar):
        """Close a part (a short buys)."""
        spec, side = self.specs[place.symbol], place.side
        rests, fee = reason in ("tp1", "tp2", "tp3"), spec.taker
        got = price
        if rests:
            fee = spec.maker
        elif reason == "liquidation":
            kept = place.entry / place.leverage - side * (place.entry - price)  # of each coin's margin
            fee = min(spec.taker + spec.liquidation_fee, max(ZERO, kept / price))
        else:
            rate = self.slippage(place.symbol, bar, qty * price)
            got = price * (1 - side * rate)
            if rate > 0:
                place.slipped += side * (price - self.to_tick(got, spec.tick)) * qty
        got = self.to_tick(got, spec.tick)
        gain = side * (got - place.entry) * qty
        place.gained += gain
        self.balance += gain
        place.proceeds += got * qty
        place.left -= qty
        self.pay_fee(place, got * qty * fee)

    def close(self, place, now, reason):
        place.closed, place.reason = now, reason
        del self.places[place.symbol]
        self.trades.append(place)

    def drop(self, order, word):
        del self.places[order.symbol]
        self.refuse(word)

    # A bar.

    def live_through(self, place, now):
        market = self.markets[place.symbol]
        bar, is_last = market[now], now == self.stamps[place.symbol][-1]
        filled_inside = False
        if not place.is_open:
            if now > place.expires:
                return self.drop(place, "unfilled")
            if not place.beyond(bar.open, place.limit):
                word = self.fill(place, now, bar, bar.open, takes=True)
            elif place.beyond(place.limit, bar.low if place.side > 0 else bar.high):
                word, filled_inside = self.fill(place, now, bar, place.limit, takes=False), True
            else:
                return self.drop(place, "unfilled") if now == place.expires or is_last else None
            if word:
                return self.drop(place, word)
        if now != place.entered:
            self.pay_funding(place, bar)
        for leg in self.legs(place, bar, filled_inside):
            for share, price, reason in self.walk(place, now, *leg):
                self.exit(place, share, price, reason, bar, now)
            if place.closed:
                return None
        place.mark = bar.close
        if is_last:
            self.sell(place, place.left, bar.close, "end_of_data", bar)
            self.close(place, now, "end_of_data")
        return None

    def legs(self, place, bar, filled_inside):
        """What is walked for one bar: (open, high, low, mark high, mark low, path, whether the order of a whole bar is assumed)."""
        path = self.rules.path
        if filled_inside:
            high, low = (place.entry, bar.low) if place.side > 0 else (bar.high, place.entry)
            return [(place.entry, high, low, bar.mark_high, bar.mark_low, "pessimistic", False)]
        if not bar.finer:
            return [(bar.open, bar.high, bar.low, bar.mark_high, bar.mark_low, path, True)]
        *others, (o, high, low) = bar.finer
        last = (o, high, low, max(high, bar.mark_high), min(low, bar.mark_low), path, False)
        return [(*each, *each[1:], path, False) for each in others] + [last]

    def walk(self, place, now, o, high, low, mark_high, mark_low, path, is_assumed):
        """[(share, or None for all, price, reason)]."""
        adverse, favourable, mark_adverse = (low, high, mark_low) if place.side > 0 else (high, low, mark_high)
        if place.liquidation is not None and not place.beyond(o, place.liquidation):
            return [(None, place.liquidation, "liquidation")]
        if now >= place.deadline:
            return [(None, o, "time")]
        within = place.beyond(o, place.stop)
        if is_assumed and within and not place.beyond(adverse, place.stop) and place.beyond(favourable, place.targets[place.hit]):
            place.is_ambiguous = True
        stop_at_open = place.stop
        nearer = abs(adverse - o) - abs(favourable - o) > SLACK * o
        if within and (path == "optimistic" or (path == "adaptive" and nearer)):
            exits = self.favourable_leg(place, favourable)
            if place.hit == 3 or (exits and exits[-1][0] is None):
                return exits
            stop = place.stop if path == "adaptive" else stop_at_open
            return exits + self.adverse_leg(place, stop, None, adverse, mark_adverse)
        return self.adverse_leg(place, stop_at_open, o, adverse, mark_adverse) or self.favourable_leg(place, favourable)

    def adverse_leg(self, place, stop, o, adverse, mark_adverse):
        is_stopped = not place.beyond(adverse, stop)
        liquidation = place.liquidation
        is_reached = liquidation is not None and not place.beyond(mark_adverse, liquidation)
        if is_reached and not (is_stopped and place.beyond(stop, liquidation)):
            return [(None, liquidation, "liquidation")]
        if not is_stopped:
            return []
        price = o if o is not None and place.beyond(stop, o) else stop
        return [(None, price, "trail" if place.hit else "stop")]

    def favourable_leg(self, place, favourable):
        exits, shares = [], self.rules.shares
        for number in (0, 1, 2):
            if place.hit == number and place.beyond(favourable, place.targets[number]):
                place.hit += 1
                is_last = not any(shares[number + 1 :])
                exits.append((None if is_last else shares[number], place.targets[number], f"tp{number + 1}"))
                if is_last:
                    return exits
        if place.beyond(favourable, place.best):
            place.best = favourable
        if place.hit in (1, 2):
            for level in (place.entry, place.best - place.side * place.trail):
                if place.beyond(level, place.stop):
                    place.stop = level
        return exits

    def exit(self, place, share, price, reason, bar, now):
        if share is None:
            self.sell(place, place.left, price, reason, bar)
            return self.close(place, now, reason)
        spec = self.specs[place.symbol]
        place.share_left -= share
        stays = self.whole(place.share_left * place.qty / spec.step, ROUND_CEILING) * spec.step
        qty, least = place.left - stays, ZERO if spec.tiers else spec.least / price
        if qty > 0 and not self.over(least, qty) and not self.over(least, stays):
            self.sell(place, qty, price, reason, bar)
        return None


def exact(number):
    """The decimal that a double is written as: 97.3, not 97.2999999999999971."""
    return Decimal(repr(float(number)))


def plain(**values):
    """Names for what the oracle is told; floats become decimals."""
    return SimpleNamespace(**{name: exact(value) if isinstance(value, float) else value for name, value in values.items()})
