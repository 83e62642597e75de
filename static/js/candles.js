// Rows of one market in one timeframe. Closed bars and their indicators are the API's; the bars after them are put together from the
// stream's, and stand only until the API has them: a bar counts as closed when the server says so.
const PAGE = 500;
const MOST_ROWS = 8_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const MINUTE = "1m";
const BASE = "15m";
const BASE_MS = 900_000;
const LENGTHS_MS = { "1m": 60_000, "15m": BASE_MS, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000 };
const INDICATORS = ["rsi", "macd", "macd_signal", "macd_histogram"];

function toRow([time, open, high, low, close, volume]) {
  return { time, open, high, low, close, volume };
}

function fold(time, bars) {
  return {
    time,
    open: bars[0].open,
    high: Math.max(...bars.map((bar) => bar.high)),
    low: Math.min(...bars.map((bar) => bar.low)),
    close: bars.at(-1).close,
    volume: bars.reduce((sum, bar) => sum + bar.volume, 0),
  };
}

export class Candles {
  /** `url`: the market's candles; `playedMs`: how far stored history has been played, if it is. `onRows(rows, {fresh})` gets all rows anew, `onRow(row)` the newest one that is forming. */
  constructor(url, { playedMs, onRows, onRow }) {
    Object.assign(this, { url, onRows, onRow, isPlayed: playedMs > 0, nowMs: playedMs || -Infinity, timeframe: "", lengthMs: 0, closed: [], hasOlder: false });
    this.parts = new Map();
    this.heard = new Map();
    this.isOpening = false;
    this.turn = 0;
    this.failures = 0;
    this.timer = 0;
  }

  /** Show another timeframe, or this one anew. Rejects when the server cannot be asked. */
  async open(timeframe) {
    const turn = ++this.turn;
    this.isOpening = true;
    window.clearTimeout(this.timer);
    this.timer = 0;
    try {
      const answer = await this.ask({ timeframe, limit: PAGE }, true);
      if (turn !== this.turn) return;
      Object.assign(this, { timeframe, lengthMs: answer.length_ms, hasOlder: answer.has_older, failures: 0, asking: false });
      this.closed = this.rowsOf(answer);
      this.parts.clear();
      await this.fetchParts(turn);
      this.recall();
    } finally {
      if (turn === this.turn) this.isOpening = false;
    }
    if (turn === this.turn) this.onRows(this.rows(), { fresh: true });
  }

  get source() {
    return this.timeframe === MINUTE ? MINUTE : BASE;
  }

  get newestMs() {
    return this.closed.at(-1)?.time ?? -Infinity;
  }

  /** Closed rows and those that are forming, oldest first. */
  rows() {
    return [...this.closed, ...this.forming()];
  }

  /** More of the past, when there is any. Rejects when the server cannot be asked. */
  async older() {
    if (!this.hasOlder || this.asking || !this.closed.length || this.closed.length >= MOST_ROWS) return;
    const turn = this.turn;
    this.asking = true;
    try {
      const answer = await this.ask({ timeframe: this.timeframe, limit: PAGE, end: this.closed[0].time }, true);
      if (turn !== this.turn) return;
      const rows = this.rowsOf(answer);
      this.hasOlder = answer.has_older && rows.length > 0;
      this.closed = [...rows, ...this.closed];
      if (rows.length) this.onRows(this.rows(), { fresh: false });
    } finally {
      if (turn === this.turn) this.asking = false;
    }
  }

  /** A bar of the stream. */
  hear(bar) {
    this.heard.set(bar.timeframe, { ...bar, time: bar.timestamp });
    if (bar.timeframe !== this.source || !this.lengthMs) return;
    if (this.bucket(bar.timestamp) > this.newestMs) {
      this.parts.set(bar.timestamp, this.heard.get(bar.timeframe));
      const newest = this.forming().at(-1);
      if (newest && !this.isOpening) this.onRow(newest);
    }
    this.reach(bar.closed ? bar.timestamp + LENGTHS_MS[this.source] : bar.timestamp);
  }

  /** The market's time lies before what is stored: history is being played, and what comes after that time is not to be seen yet. */
  play(ms) {
    if (this.isOpening || !(ms < this.newestMs || ms < this.nowMs - this.lengthMs)) return;
    Object.assign(this, { isPlayed: true, nowMs: ms });
    if (this.lengthMs) this.open(this.timeframe).catch(() => {}); // the next tick tries again
  }

  /** Market time is at least this: when a bar should have closed by then that is not here, ask for it. */
  reach(ms) {
    this.nowMs = Math.max(this.nowMs, ms);
    if (!this.lengthMs || this.timer || ms < this.newestMs + 2 * this.lengthMs) return;
    const wait = this.failures ? Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures) : FIRST_WAIT_MS / 4;
    this.timer = window.setTimeout(() => this.refresh(), wait);
  }

  /** Fetch what has closed since, as after a connection that was lost. Never rejects: the next update asks again. */
  async refresh() {
    const turn = this.turn;
    const known = this.newestMs;
    try {
      const span = Number.isFinite(known) ? { start: known } : {};
      const answer = await this.ask({ timeframe: this.timeframe, limit: PAGE, ...span }, true);
      if (turn !== this.turn) return;
      const rows = this.rowsOf(answer);
      const kept = this.closed.filter((row) => row.time < (rows[0]?.time ?? Infinity));
      // So much is new that the rows before it are no longer next to it.
      const isGap = kept.length > 0 && answer.has_older && rows.length === PAGE && rows[0].time > known;
      this.closed = isGap ? rows : [...kept, ...rows];
      if (isGap) this.hasOlder = true;
      for (const time of this.parts.keys()) if (this.bucket(time) <= this.newestMs) this.parts.delete(time);
      this.failures = this.newestMs > known ? 0 : this.failures + 1;
      if (this.newestMs > known) this.onRows(this.rows(), { fresh: isGap });
    } catch {
      this.failures += 1;
    } finally {
      if (turn === this.turn) this.timer = 0;
    }
  }

  // The bars that a higher frame's unfinished one is made of and that have closed already.
  async fetchParts(turn) {
    if (this.source === this.timeframe || !this.closed.length) return;
    const start = this.newestMs + this.lengthMs;
    if (this.isPlayed && this.nowMs - BASE_MS < start) return; // none has closed yet
    const answer = await this.ask({ timeframe: BASE, limit: PAGE, start }, false);
    if (turn !== this.turn) return;
    for (const row of answer.candles.map(toRow)) this.parts.set(row.time, row);
  }

  // The bar that the stream told last, maybe before the API's answer came; the next may be a while away.
  recall() {
    const bar = this.heard.get(this.source);
    if (!bar || this.parts.has(bar.time) || this.bucket(bar.time) <= this.newestMs) return;
    if (!(this.isPlayed && bar.time > this.nowMs)) this.parts.set(bar.time, bar);
  }

  bucket(ms) {
    return Math.floor(ms / this.lengthMs) * this.lengthMs;
  }

  forming() {
    const buckets = new Map();
    for (const part of [...this.parts.values()].sort((a, b) => a.time - b.time)) {
      const time = this.bucket(part.time);
      if (time > this.newestMs) buckets.set(time, [...(buckets.get(time) ?? []), part]);
    }
    return [...buckets].map(([time, parts]) => fold(time, parts));
  }

  rowsOf({ candles, indicators }) {
    return candles.map((candle, at) => ({ ...toRow(candle), ...Object.fromEntries(INDICATORS.map((name) => [name, indicators[name]?.[at] ?? null])) }));
  }

  async ask(query, withIndicators) {
    const url = new URL(this.url, window.location.href);
    const until = this.isPlayed ? { end: this.nowMs - LENGTHS_MS[query.timeframe] + 1 } : {};
    for (const [name, value] of Object.entries({ ...until, ...query })) url.searchParams.set(name, value);
    if (withIndicators) for (const name of ["rsi", "macd"]) url.searchParams.append("indicators", name);
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${url.pathname} answered ${answer.status}`);
    return answer.json();
  }
}
