// The order book: twenty rows a side that stay where they are, quantities added up from the best price, a bar as long as the sum is large.
import { dateTime } from "./liveprice.js";

function fillSide(body, levels, { places, qtyPlaces, deepest, isReversed }) {
  const rows = isReversed ? [...body.rows].reverse() : [...body.rows];
  let total = 0;
  for (const [at, row] of rows.entries()) {
    const level = levels[at];
    if (level) total += level[1];
    const texts = level ? [level[0].toFixed(places), level[1].toFixed(qtyPlaces), total.toFixed(qtyPlaces)] : ["–", "", ""];
    for (const [i, text] of texts.entries()) if (row.cells[i].textContent !== text) row.cells[i].textContent = text;
    row.style.setProperty("--depth", level && deepest ? `${((total / deepest) * 100).toFixed(1)}%` : "0%");
  }
}

const sum = (levels, count) => levels.slice(0, count).reduce((total, [, qty]) => total + qty, 0);

/** Write {bids, asks, ts_ms} into the table below `scope`. */
export function fillBook(scope, { bids, asks, ts_ms }) {
  const table = scope.querySelector("[data-book]");
  table.parentElement.hidden = false;
  scope.querySelector("[data-book-none]").hidden = true;
  const [askBody, bidBody] = ["asks", "bids"].map((side) => table.querySelector(`[data-side="${side}"]`));
  const count = bidBody.rows.length;
  const places = Number(scope.dataset.places);
  const look = { places, qtyPlaces: Number(scope.dataset.qtyPlaces), deepest: Math.max(sum(bids, count), sum(asks, count)) };
  fillSide(askBody, asks, { ...look, isReversed: true });
  fillSide(bidBody, bids, { ...look, isReversed: false });
  const spread = asks.length && bids.length ? asks[0][0] - bids[0][0] : null;
  const text = spread === null ? "Spread –" : `Spread ${spread.toFixed(places)} (${((spread / bids[0][0]) * 10_000).toFixed(2)} bp)`;
  table.querySelector("[data-spread]").textContent = text;
  scope.querySelector("[data-book-state]").textContent = `${dateTime(ts_ms)}:${String(new Date(ts_ms).getUTCSeconds()).padStart(2, "0")} UTC`;
}
