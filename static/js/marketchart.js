// Candles with volume, RSI and MACD in panes below, price lines, and older bars as the reader moves left. It draws rows; where they come from is candles.js's.
import { candleColours, faded, frame, kindColour, regimeColour, regimeStrip, seconds, token } from "./chart.js";
import { THEME_CHANGED } from "./theme.js";

const charts = window.LightweightCharts;
const EDGE_BARS = 40;
const SHOWN_BARS = 120;
const DOTTED = 1;
const DASHED = 2;
const KEYS = { ArrowLeft: -8, ArrowRight: 8 };
const ZOOM = { "+": 0.8, "=": 0.8, "-": 1.25 };

const point = (time, value) => (value === null || value === undefined ? { time } : { time, value });

function scaleOf(places) {
  return { type: "price", precision: places, minMove: 10 ** -places };
}

export class MarketChart {
  /** `onLegend(openMs)` hears which bar the reader points at, null for none; `onEdge()` that the oldest bars come into sight; `regimeOf(row)` names a row's regime, null when it is not known. */
  constructor(canvas, { places, onLegend, onEdge, regimeOf }) {
    this.regimeOf = regimeOf;
    this.chart = charts.createChart(canvas, { autoSize: true, ...frame() });
    this.chart.applyOptions({ timeScale: { minBarSpacing: 0.5, rightOffset: 4 } });
    this.candles = this.chart.addSeries(charts.CandlestickSeries, { priceFormat: scaleOf(places), autoscaleInfoProvider: (original) => this.withLines(original()) });
    this.volume = this.chart.addSeries(charts.HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.2 } });
    this.regime = regimeStrip(this.chart);
    const quiet = { lineWidth: 1, priceLineVisible: false };
    this.rsi = this.chart.addSeries(charts.LineSeries, { ...quiet, autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 100 } }) }, 1);
    this.levels = [30, 70].map((price) => this.rsi.createPriceLine({ price, lineWidth: 1, lineStyle: DOTTED, axisLabelVisible: false }));
    this.histogram = this.chart.addSeries(charts.HistogramSeries, { priceLineVisible: false, lastValueVisible: false }, 2);
    this.macd = this.chart.addSeries(charts.LineSeries, { ...quiet, lastValueVisible: false }, 2);
    this.signal = this.chart.addSeries(charts.LineSeries, { ...quiet, lastValueVisible: false }, 2);
    for (const [pane, factor] of [6, 1.6, 1.6].entries()) this.chart.panes()[pane].setStretchFactor(factor);
    this.rows = [];
    this.lines = [];
    this.drawn = [];
    this.chart.subscribeCrosshairMove(({ time }) => onLegend(time === undefined ? null : time * 1000));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && this.rows.length && range.from < EDGE_BARS && onEdge());
    this.paint();
    document.addEventListener(THEME_CHANGED, () => this.paint());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Draw these rows ({time, open, high, low, close, volume, rsi, macd, macd_signal, macd_histogram}, times in ms) instead of others. */
  draw(rows, { fresh }) {
    this.rows = rows;
    for (const [series, toPoint] of this.parts()) series.setData(rows.map(toPoint));
    if (!fresh) return;
    this.candles.priceScale().applyOptions({ autoScale: true });
    this.chart.timeScale().setVisibleLogicalRange({ from: rows.length - SHOWN_BARS, to: rows.length + 4 });
  }

  /** Draw the newest row anew, or one after it. */
  update(row) {
    for (const [series, toPoint] of this.parts()) series.update(toPoint(row));
  }

  /** Price lines by the name of who wants them: [{price, label, kind}]. */
  setLines(lines) {
    this.lines = lines;
    for (const line of this.drawn) this.candles.removePriceLine(line);
    this.drawn = lines.map((line) =>
      this.candles.createPriceLine({ price: Number(line.price), title: line.label, lineWidth: 1, lineStyle: line.kind === "entry" ? 0 : DASHED, axisLabelVisible: true, color: kindColour(line.kind) }),
    );
  }

  parts() {
    const up = faded(token("gain"), 0.45);
    const down = faded(token("loss"), 0.45);
    const at = ({ time }) => seconds(time);
    const regime = (row) => {
      const name = this.regimeOf(row);
      return name ? { time: at(row), value: 1, color: regimeColour(name) } : { time: at(row) };
    };
    return [
      [this.candles, (row) => ({ time: at(row), open: row.open, high: row.high, low: row.low, close: row.close })],
      [this.volume, (row) => ({ time: at(row), value: row.volume, color: row.close >= row.open ? up : down })],
      [this.rsi, (row) => point(at(row), row.rsi)],
      [this.histogram, (row) => ({ ...point(at(row), row.macd_histogram), color: row.macd_histogram >= 0 ? up : down })],
      [this.macd, (row) => point(at(row), row.macd)],
      [this.signal, (row) => point(at(row), row.macd_signal)],
      [this.regime, regime], // last: before the candles it would be without a value, and the chart at its beginning
    ];
  }

  // The scale holds the plan's levels too, unless they lie so far away that the candles would become a line.
  withLines(info) {
    if (!info?.priceRange) return info;
    const { minValue, maxValue } = info.priceRange;
    const room = Math.max(maxValue - minValue, maxValue * 0.01) * 2;
    const near = this.lines.map((line) => Number(line.price)).filter((price) => price > minValue - room && price < maxValue + room);
    return { ...info, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
  }

  paint() {
    const look = frame();
    this.chart.applyOptions({ ...look, timeScale: { ...look.timeScale, minBarSpacing: 0.5, rightOffset: 4 } });
    this.chart.applyOptions({ layout: { panes: { separatorColor: token("line"), separatorHoverColor: token("sunken") } } });
    this.candles.applyOptions(candleColours());
    this.rsi.applyOptions({ color: token("brass") });
    this.macd.applyOptions({ color: token("ink") });
    this.signal.applyOptions({ color: token("brass") });
    for (const level of this.levels) level.applyOptions({ color: token("line-strong") });
    this.setLines(this.lines);
    if (this.rows.length) this.draw(this.rows, { fresh: false });
  }

  key(event) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in KEYS) scale.setVisibleLogicalRange({ from: range.from + KEYS[event.key], to: range.to + KEYS[event.key] });
    else if (event.key in ZOOM) scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * ZOOM[event.key], to: range.to });
    else if (event.key === "End") scale.scrollToRealTime();
    else return;
    event.preventDefault();
  }
}
