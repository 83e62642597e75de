// Lightweight Charts in the site's colours. Any <figure data-chart="equity|drawdown|candles"> is drawn by itself:
//   data-source="id of a json_script element" or data-url="an API address that answers the same JSON"
// equity, drawdown: [[time_ms, value], ...]
// candles: {candles: [[open_ms, open, high, low, close, volume?], ...],
//           lines: [{price, label, kind}], markers: [{time_ms, kind, text, side}]}
//           length_ms?, regimes?: [{since_ms, until_ms, regime}]}: a strip above the candles
// kind: entry | target | stop | exit, side: long | short.
import "../vendor/lightweight-charts.js";
import { regimeAt } from "./regimes.js";
import { THEME_CHANGED } from "./theme.js";

const charts = window.LightweightCharts;

export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function faded(hex, share) {
  return `${hex}${Math.round(share * 255).toString(16).padStart(2, "0")}`;
}

export function frame() {
  const line = token("line");
  return {
    layout: {
      background: { color: "transparent" },
      textColor: token("ink-soft"),
      fontFamily: token("font"),
      fontSize: 11,
      attributionLogo: false,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: line } },
    crosshair: { vertLine: { color: token("line-strong") }, horzLine: { color: token("line-strong") } },
    rightPriceScale: { borderColor: line },
    // Without room for half a pixel a bar the library would drop the oldest: a curve must begin where its caption says.
    timeScale: { borderColor: line, timeVisible: true, secondsVisible: false, minBarSpacing: 0.01 },
  };
}

export const kindColour = (kind) => token({ target: "gain", stop: "loss", exit: "brass" }[kind] ?? "ink");

const areaColours = (tone) => ({
  lineColor: token(tone),
  topColor: faded(token(tone), tone === "loss" ? 0.02 : 0.28),
  bottomColor: faded(token(tone), tone === "loss" ? 0.28 : 0.02),
});

export const candleColours = () => ({
  upColor: token("gain"),
  downColor: token("loss"),
  wickUpColor: token("gain"),
  wickDownColor: token("loss"),
  borderVisible: false,
});

// Both theme switches repaint, the reader's and the system's; a turned phone shows the whole span again.
function paint(chart, restyle) {
  const repaint = () => {
    chart.applyOptions(frame());
    restyle();
  };
  document.addEventListener(THEME_CHANGED, repaint);
  chart.timeScale().subscribeSizeChange(() => chart.timeScale().fitContent());
  repaint();
  chart.timeScale().fitContent(); // last: options of the time scale undo an earlier one
}

export const regimeColour = (name) => token(`regime-${name}`);

/** A strip along the upper edge of the first pane, for points {time, value: 1, color}. It takes no part in the prices' scale. */
export function regimeStrip(chart) {
  const strip = chart.addSeries(charts.HistogramSeries, {
    priceScaleId: "regime",
    lastValueVisible: false,
    priceLineVisible: false,
    autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
  });
  strip.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0.97 } });
  return strip;
}

export const seconds = (ms) => Math.floor(ms / 1000);

// The library wants strictly rising times: of several values within one second the last stands.
function rising(rows, toPoint) {
  const points = new Map();
  for (const row of rows) points.set(seconds(row[0]), toPoint(row));
  return [...points.entries()].sort((a, b) => a[0] - b[0]).map(([time, point]) => ({ time, ...point }));
}

export function precisionOf(price) {
  return Math.min(8, Math.max(2, 5 - Math.floor(Math.log10(Math.abs(price) || 1))));
}

function areaChart(canvas, rows, tone) {
  const chart = charts.createChart(canvas, { autoSize: true, ...frame() });
  const series = chart.addSeries(charts.AreaSeries, { lineWidth: 2, priceLineVisible: false, ...areaColours(tone) });
  series.setData(rising(rows, ([, value]) => ({ value })));
  chart.timeScale().fitContent();
  paint(chart, () => series.applyOptions(areaColours(tone)));
  return { chart, series };
}

export const equityChart = (canvas, rows) => areaChart(canvas, rows, "brass");
export const drawdownChart = (canvas, rows) => areaChart(canvas, rows, "loss");

export function markerOf({ time_ms, kind, text, side }) {
  const isBelow = (kind === "entry") === (side !== "short");
  return {
    time: seconds(time_ms),
    position: isBelow ? "belowBar" : "aboveBar",
    shape: kind === "entry" ? (isBelow ? "arrowUp" : "arrowDown") : "circle",
    color: kindColour(kind),
    text: text ?? "",
  };
}

/** Draw candles with the plan's price lines and the trade's markers. `update(row)` of the answer sets the newest candle. */
export function candleChart(canvas, { candles, lines = [], markers = [], regimes = [], length_ms: lengthMs = 0 }) {
  const chart = charts.createChart(canvas, { autoSize: true, ...frame() });
  const series = chart.addSeries(charts.CandlestickSeries, candleColours());
  const precision = precisionOf(candles.at(-1)?.[4] ?? 1);
  series.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  const toCandle = ([, open, high, low, close]) => ({ open, high, low, close });
  // The scale holds the plan's levels too, not only the candles.
  const levels = lines.map((line) => Number(line.price));
  const withLevels = ({ minValue, maxValue }) => ({ minValue: Math.min(minValue, ...levels), maxValue: Math.max(maxValue, ...levels) });
  const autoscaleInfoProvider = (original) => {
    const info = original();
    return info?.priceRange ? { ...info, priceRange: withLevels(info.priceRange) } : info;
  };
  series.applyOptions({ autoscaleInfoProvider });
  series.setData(rising(candles, toCandle));
  const drawn = lines.map((line) => [
    line,
    series.createPriceLine({ price: Number(line.price), title: line.label, lineWidth: 1, lineStyle: line.kind === "entry" ? 0 : 2, axisLabelVisible: true, color: kindColour(line.kind) }),
  ]);
  const strip = regimes.length ? regimeStrip(chart) : null;
  const toRegime = ([time]) => {
    const name = regimeAt(regimes, time + lengthMs);
    return name ? { value: 1, color: regimeColour(name) } : {};
  };
  if (strip) series.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.08 } });
  const sorted = [...markers].sort((a, b) => a.time_ms - b.time_ms);
  const pins = charts.createSeriesMarkers(series, sorted.map(markerOf));
  chart.timeScale().fitContent();
  paint(chart, () => {
    series.applyOptions(candleColours());
    for (const [line, priceLine] of drawn) priceLine.applyOptions({ color: kindColour(line.kind) });
    pins.setMarkers(sorted.map(markerOf));
    strip?.setData(rising(candles, toRegime));
  });
  return { chart, series, update: (row) => series.update({ time: seconds(row[0]), ...toCandle(row) }) };
}

export const KINDS = { equity: equityChart, drawdown: drawdownChart, candles: candleChart };

async function dataOf(figure) {
  if (figure.dataset.source) return JSON.parse(document.getElementById(figure.dataset.source).textContent);
  const answer = await fetch(figure.dataset.url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${figure.dataset.url} answered ${answer.status}`);
  return answer.json();
}

export async function mount(figure) {
  if (figure.dataset.mounted) return;
  figure.dataset.mounted = "yes";
  const canvas = figure.querySelector(".chart__canvas");
  canvas.setAttribute("role", "img");
  const caption = figure.querySelector("figcaption");
  if (caption) canvas.setAttribute("aria-label", caption.textContent.replace(/\s+/g, " ").trim());
  try {
    KINDS[figure.dataset.chart](canvas, await dataOf(figure));
  } catch (error) {
    canvas.textContent = "The chart's data could not be loaded. Reload the page to try again.";
    throw error;
  }
}

const mountAll = () => document.querySelectorAll("figure[data-chart]").forEach(mount);
mountAll();
document.addEventListener("htmx:afterSettle", mountAll);
