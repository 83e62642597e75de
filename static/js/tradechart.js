// A backtest's trades on the candles of their market. The section names the address of its data; controls and rows of the list ask for others.
import { candleColours, frame, kindColour, markerOf, precisionOf, seconds } from "./chart.js";
import { THEME_CHANGED } from "./theme.js";

const charts = window.LightweightCharts;
const when = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const signed = (value, places) => `${value > 0 ? "+" : ""}${value.toFixed(places)}`;

class TradeChart {
  constructor(section) {
    const find = (name) => section.querySelector(`[data-chart-${name}]`);
    Object.assign(this, { section, canvas: find("canvas"), state: find("state"), legend: find("legend"), list: find("list"), symbol: find("symbol"), turn: 0, lines: [] });
    this.chart = charts.createChart(this.canvas, { autoSize: true, ...frame() });
    this.series = this.chart.addSeries(charts.CandlestickSeries, { ...candleColours(), priceLineVisible: false, lastValueVisible: false, autoscaleInfoProvider: (original) => this.withLines(original()) });
    this.pins = charts.createSeriesMarkers(this.series, []);
    this.chart.subscribeCrosshairMove(({ time }) => this.tell(time));
    this.chart.timeScale().subscribeSizeChange(() => this.chart.timeScale().fitContent());
    document.addEventListener(THEME_CHANGED, () => this.paint());
    find("controls").hidden = false;
    this.symbol?.addEventListener("change", () => this.show({ symbol: this.symbol.value }));
    find("whole").addEventListener("click", () => this.show({ symbol: this.data.symbol, whole: 1 }));
    for (const button of section.querySelectorAll("[data-chart-step]")) {
      button.addEventListener("click", () => this.show({ trade: this.data[button.dataset.chartStep] }));
    }
    this.list.addEventListener("click", ({ target }) => target.dataset.trade && this.show({ trade: target.dataset.trade }));
  }

  /** Ask for {trade} or {symbol, whole} and draw it. What is asked for last is shown. */
  async show(query) {
    const turn = ++this.turn;
    this.state.textContent = "Loading the candles …";
    const url = new URL(this.section.dataset.tradeChart, window.location.href);
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`${url.pathname} answered ${answer.status}`);
      const data = await answer.json();
      if (turn === this.turn) this.draw(data);
    } catch (error) {
      if (turn === this.turn) this.state.textContent = "The candles could not be loaded. Try again, or reload the page.";
      throw error;
    }
  }

  draw(data) {
    this.data = data;
    this.state.textContent = data.candles.length ? data.text : `${data.text} No candles of ${data.symbol} are stored for this time any more.`;
    this.canvas.setAttribute("aria-label", data.text);
    this.canvas.removeAttribute("aria-labelledby");
    this.canvas.hidden = !data.candles.length;
    const precision = precisionOf(data.candles.at(-1)?.[4] ?? 1);
    this.series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    this.series.setData(data.candles.map(([time, open, high, low, close]) => ({ time: seconds(time), open, high, low, close })));
    for (const name of ["previous", "next"]) this.section.querySelector(`[data-chart-step="${name}"]`).disabled = data[name] === null;
    if (this.symbol) this.symbol.value = data.symbol;
    this.fillList(data.trades);
    this.paint();
    this.chart.timeScale().fitContent();
    this.tell(undefined);
  }

  fillList(trades) {
    this.list.hidden = !trades.length;
    const rows = trades.map((trade) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "btn btn--small btn--quiet" });
      button.dataset.trade = trade.number;
      button.textContent = `${trade.number} ${trade.side}, ${when(trade.entry_ms)} to ${when(trade.exit_ms)}, ${trade.reason}, ${signed(trade.pnl_pct, 2)} %`;
      if (trade.number === this.data.focus) button.setAttribute("aria-current", "true");
      const row = document.createElement("li");
      row.append(button);
      return row;
    });
    this.list.querySelector("ul").replaceChildren(...rows);
  }

  /** The bar that is pointed at, and what the trades did in it; nothing for none. */
  tell(time) {
    const bar = time === undefined ? undefined : this.data?.candles.find(([open]) => seconds(open) === time);
    if (!bar) {
      this.legend.textContent = "\u00a0";
      return;
    }
    const [open, ...prices] = bar;
    const isInside = (ms) => ms >= open && ms < open + this.data.length_ms;
    const done = this.data.trades.flatMap((trade) => [
      ...(isInside(trade.entry_ms) ? [`trade ${trade.number} ${trade.side} enters at ${trade.entry_price}`] : []),
      ...(isInside(trade.exit_ms) ? [`trade ${trade.number} leaves by ${trade.reason} at ${Number(trade.exit_price.toPrecision(7))}, ${signed(trade.pnl_pct, 2)} %`] : []),
    ]);
    const named = ["O", "H", "L", "C"].map((letter, at) => `${letter} ${prices[at]}`).join("  ");
    this.legend.textContent = [`${when(open)} UTC  ${named}`, ...done].join(" · ");
  }

  // The scale holds the chosen trade's levels too, not only the candles.
  withLines(info) {
    if (!info?.priceRange) return info;
    const levels = (this.data?.lines ?? []).map((line) => line.price);
    const { minValue, maxValue } = info.priceRange;
    return { ...info, priceRange: { minValue: Math.min(minValue, ...levels), maxValue: Math.max(maxValue, ...levels) } };
  }

  paint() {
    this.chart.applyOptions(frame());
    this.series.applyOptions(candleColours());
    this.pins.setMarkers([...(this.data?.markers ?? [])].sort((a, b) => a.time_ms - b.time_ms).map(markerOf));
    for (const line of this.lines) this.series.removePriceLine(line);
    this.lines = (this.data?.lines ?? []).map(({ price, label, kind }) =>
      this.series.createPriceLine({ price, title: label, lineWidth: 1, lineStyle: kind === "entry" ? 0 : 2, axisLabelVisible: true, color: kindColour(kind) }),
    );
  }
}

const section = document.querySelector("[data-trade-chart]");
if (section) {
  const chart = new TradeChart(section);
  chart.show({ trade: section.dataset.trade });
  // "Show on the chart" of a row: the list may be swapped, so the page listens.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show-trade]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    chart.show({ trade: link.dataset.showTrade });
    section.scrollIntoView();
    chart.canvas.focus({ preventScroll: true });
  });
}
