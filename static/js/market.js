// A market's page: the chart from the API, and everything that moves from /ws/market/{symbol}/.
import { fillBook } from "./book.js";
import { Candles } from "./candles.js";
import { eachFrame } from "./frames.js";
import { dateTime, fillFeed, fillTick } from "./liveprice.js";
import { MarketChart } from "./marketchart.js";
import { Regimes, shares } from "./regimes.js";
import { connect } from "./socket.js";

const TABLE_ROWS = 100;
const scope = document.querySelector("[data-market]");
const figure = document.querySelector("[data-market-chart]");
const places = Number(scope.dataset.places);
const jsonOf = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "[]");
const shown = (value, decimals = places) => (value === null || value === undefined ? "–" : value.toFixed(decimals));

function chartOf(element) {
  const legend = element.querySelector("[data-legend]");
  const state = element.querySelector("[data-chart-state]");
  const details = document.querySelector("[data-bars]");
  const summary = element.querySelector("[data-regimes]");
  const regimes = element.dataset.regimesUrl ? new Regimes(element.dataset.regimesUrl) : null;
  const regimeOf = ({ time }) => regimes?.at(time + candles.lengthMs) ?? null;
  let pointedMs = null;

  const candles = new Candles(element.dataset.url, {
    playedMs: Number(element.dataset.playedMs ?? 0),
    onRows: (rows, { fresh }) => {
      chart.draw(rows, { fresh });
      tell();
      tabulate();
      classify();
    },
    onRow: (row) => {
      chart.update(row);
      tell();
    },
  });
  const chart = new MarketChart(element.querySelector("[data-canvas]"), {
    places,
    regimeOf,
    onLegend: (openMs) => {
      pointedMs = openMs;
      tell();
    },
    onEdge: () => candles.older().catch(() => complain("Older bars could not be loaded.", () => candles.older())),
  });

  // What kind of market it was at each bar's close, as far as it was known then.
  async function classify() {
    const closed = candles.closed;
    if (!regimes || !closed.length) return;
    try {
      if (!(await regimes.cover(closed[0].time, closed.at(-1).time + candles.lengthMs))) return;
    } catch {
      summary.textContent = "The regimes could not be loaded; they are asked for again with the next bar.";
      return;
    }
    chart.draw(candles.rows(), { fresh: false });
    const { newest } = regimes;
    const now = newest ? `Regime: ${newest.regime} since ${dateTime(newest.since_ms)} UTC.` : "Regime: not known yet, it needs a month of history.";
    summary.textContent = newest ? `${now} In the ${candles.closed.length} bars here: ${shares(candles.closed.map(regimeOf))}.` : now;
    tell();
    tabulate();
  }

  // The bar under the pointer, else the newest, in words and figures.
  function tell() {
    const rows = candles.rows();
    const row = rows.find(({ time }) => time === pointedMs) ?? rows.at(-1);
    if (!row) return;
    const prices = `${dateTime(row.time)} UTC  O ${shown(row.open)}  H ${shown(row.high)}  L ${shown(row.low)}  C ${shown(row.close)}  V ${shown(row.volume, 2)}`;
    const isForming = row.time > candles.newestMs;
    const regime = regimeOf(row);
    const known = regime ? `  ${regime}` : "";
    legend.textContent = isForming ? `${prices}  forming` : `${prices}  RSI ${shown(row.rsi, 1)}  MACD ${shown(row.macd)}  signal ${shown(row.macd_signal)}${known}`;
  }

  function tabulate() {
    if (!details.open) return;
    const body = details.querySelector("tbody");
    details.querySelector("[data-bars-frame]").textContent = candles.timeframe;
    body.replaceChildren(
      ...candles.closed.slice(-TABLE_ROWS).reverse().map((row) => {
        const line = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = dateTime(row.time);
        const texts = [shown(row.open), shown(row.high), shown(row.low), shown(row.close), shown(row.volume, 2), shown(row.rsi, 1), shown(row.macd), shown(row.macd_signal)];
        const cells = texts.map((text) => Object.assign(document.createElement("td"), { className: "num", textContent: text }));
        line.append(head, ...cells, Object.assign(document.createElement("td"), { textContent: regimeOf(row) ?? "–" }));
        return line;
      }),
    );
  }

  function complain(text, again) {
    const button = Object.assign(document.createElement("button"), { className: "btn btn--small", textContent: "Try again", type: "button" });
    button.addEventListener("click", () => {
      state.replaceChildren();
      again().catch(() => complain(text, again));
    });
    state.replaceChildren(`${text} `, button);
  }

  async function open(timeframe) {
    state.textContent = "Loading candles…";
    element.setAttribute("aria-busy", "true");
    for (const link of document.querySelectorAll("[data-frame]")) {
      if (link.dataset.frame === timeframe) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    for (const link of document.querySelectorAll("[data-export]")) link.search = `?timeframe=${timeframe}`;
    try {
      await candles.open(timeframe);
      state.textContent = candles.closed.length ? "" : `There are no closed ${timeframe} bars yet.`;
    } catch {
      complain("The candles could not be loaded.", () => open(timeframe));
    } finally {
      element.removeAttribute("aria-busy");
    }
  }

  // Frames change in place; their links are addresses all the same, for back, reload and sharing.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-frame]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    window.history.pushState({}, "", link.href);
    open(link.dataset.frame);
  });
  window.addEventListener("popstate", () => open(new URLSearchParams(window.location.search).get("timeframe") ?? element.dataset.timeframe));
  details.addEventListener("toggle", tabulate);

  function drawLines() {
    chart.setLines([...jsonOf("position-lines"), ...jsonOf("signal-lines")]);
  }
  document.addEventListener("htmx:afterSettle", drawLines);
  drawLines();
  open(element.dataset.timeframe);
  return candles;
}

const candles = figure && chartOf(figure);
let isStreamed = false;

function stretch(name, price, isBeyond) {
  const place = scope.querySelector(`[data-live="${name}"]`);
  if (place && isBeyond(price, Number(place.textContent))) place.textContent = price.toFixed(places);
}

const FILL = {
  tick: (tick) => {
    fillTick(scope, tick);
    stretch("high", tick.price, (price, high) => price > high);
    stretch("low", tick.price, (price, low) => price < low);
    if (isStreamed && tick.source !== "venue") candles?.play(tick.ts_ms); // not the last word of a stream that has ended
    candles?.reach(tick.ts_ms);
  },
  bar: (bar) => candles?.hear(bar),
  book: (book) => fillBook(scope, book),
  feed: (feed) => {
    isStreamed = true;
    fillFeed(scope, feed);
  },
};
const add = eachFrame((updates) => updates.forEach((update) => FILL[update.type](update)));

connect(
  `/ws/market/${encodeURI(scope.dataset.symbol)}/?venue=${scope.dataset.venue}`,
  (message) => message.type in FILL && add([message.type, message.timeframe, message.timestamp].join(":"), message),
  { onOpen: (isReconnect) => isReconnect && candles?.refresh() },
);
