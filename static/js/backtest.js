// A backtest's report: the list of trades whose order two controls name, and the equity with its benchmark as a dashed line. Data: {equity: [[time_ms, value], ...], benchmark: [[time_ms, value], ...]}
import { KINDS, equityChart, frame, mount, token } from "./chart.js";
import { THEME_CHANGED } from "./theme.js";

const DASHED = 2;
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink-soft").trim();

KINDS["equity-benchmark"] = (canvas, { equity, benchmark }) => {
  const { chart, series } = equityChart(canvas, equity);
  const line = chart.addSeries(window.LightweightCharts.LineSeries, {
    color: ink(),
    lineWidth: 1,
    lineStyle: DASHED,
    priceLineVisible: false,
    title: "Buy and hold",
  });
  line.setData(benchmark.map(([time, value]) => ({ time: Math.floor(time / 1000), value })));
  chart.timeScale().fitContent();
  document.addEventListener(THEME_CHANGED, () => line.applyOptions({ color: ink() }));
  return { chart, series };
};

// Several runs: [{name, rows: [[time_ms, value], ...]}, ...]. Colour and dashes tell them apart; .legend in components.css has the same.
const LOOKS = [["brass", 0], ["gain", 2], ["paper", 0], ["loss", 1], ["ink", 2], ["ink-soft", 0]];

KINDS.compare = (canvas, runs) => {
  const chart = window.LightweightCharts.createChart(canvas, { autoSize: true, ...frame() });
  const lines = runs.map(({ name, rows }, at) => {
    const line = chart.addSeries(window.LightweightCharts.LineSeries, { lineWidth: 2, lineStyle: LOOKS[at][1], priceLineVisible: false, title: name.replace(/\D+/, "") });
    line.setData(rows.map(([time, value]) => ({ time: Math.floor(time / 1000), value })));
    return line;
  });
  const paint = () => {
    chart.applyOptions(frame());
    for (const [at, line] of lines.entries()) line.applyOptions({ color: token(LOOKS[at][0]) });
    chart.timeScale().fitContent();
  };
  document.addEventListener(THEME_CHANGED, paint);
  chart.timeScale().subscribeSizeChange(() => chart.timeScale().fitContent());
  paint();
  return { chart };
};

for (const figure of document.querySelectorAll("figure[data-backtest-chart]")) {
  figure.dataset.chart = figure.dataset.backtestChart;
  mount(figure);
}

// A heading changes the order, too: the form, which is not part of what is swapped, follows.
document.addEventListener("htmx:afterSettle", () => {
  const select = document.querySelector('form.filters select[name="sort"]');
  const list = document.getElementById("trades");
  if (select && list) select.value = list.dataset.sort;
});
