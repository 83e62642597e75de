// Live prices and P&L in place; rows that come or go are fetched from the server, which renders them in one place.
import { fill, fillAll } from "./figures.js";
import { connect } from "./socket.js";

export const POSITIONS_CHANGED = "positions-changed";

// Totals over the rows on the page; what came or went in between is in the fragment that the server sends then.
function addUp() {
  const money = document.querySelector("[data-money]");
  if (!money) return;
  const rows = [...document.querySelectorAll("tr[data-position]")];
  const total = (name) => rows.reduce((sum, row) => sum + Number(row.dataset[name]), 0);
  fill(money.querySelector('[data-total="net_pnl"]'), "net_pnl", total("netPnl"));
  money.querySelector('[data-total="equity"]').textContent = (Number(money.dataset.balance) + total("unrealisedPnl")).toFixed(2);
}

function update(position) {
  const place = document.querySelector(`[data-position="${position.id}"]`);
  const isOpen = position.status === "open";
  if (document.getElementById("positions-table")) {
    if (Boolean(place) !== isOpen) document.body.dispatchEvent(new Event(POSITIONS_CHANGED));
  } else if (place && place.dataset.status !== position.status) {
    // The detail page of a position that was just closed: its fills and figures are the server's to tell.
    window.location.reload();
    return;
  }
  if (!place) return;
  fillAll(place.matches("tr, .rows") ? place : document, position); // a detail page has its figures all over
  if (place.matches("tr")) {
    place.dataset.netPnl = position.net_pnl;
    place.dataset.unrealisedPnl = position.unrealised_pnl;
    addUp();
  }
}

const root = document.querySelector("[data-positions-live]");
if (root) {
  connect(`/ws/positions/${root.dataset.positionsLive}/`, (message) => message.type === "position" && update(message), {
    onOpen: (isReconnect) => isReconnect && document.body.dispatchEvent(new Event(POSITIONS_CHANGED)),
  });
}
