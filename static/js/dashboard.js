// Live money on the dashboard: prices and P&L of open positions, and the equity that follows from them.
import { fillAll, fillMoney } from "./figures.js";
import { connect } from "./socket.js";

const REFRESH_MS = 1000;
let refreshAt = 0;

// Something opened or closed: rows are rendered by the server alone, so ask it for this part of the page again.
function refresh() {
  const now = Date.now();
  if (now < refreshAt) return;
  refreshAt = now + REFRESH_MS;
  window.setTimeout(() => window.htmx.ajax("GET", window.location.pathname, { target: "#dashboard", select: "#dashboard", swap: "outerHTML" }), REFRESH_MS);
}

function update(position) {
  const row = document.querySelector(`[data-position="${position.id}"]`);
  if (Boolean(row) !== (position.status === "open")) {
    refresh();
    return;
  }
  if (!row) return;
  row.dataset.unrealisedPnl = position.unrealised_pnl;
  fillAll(row, position);
  const stats = document.querySelector("[data-dashboard]");
  if (!stats) return;
  const rows = [...document.querySelectorAll("[data-position]")];
  const total = rows.reduce((sum, each) => sum + Number(each.dataset.unrealisedPnl), 0);
  fillMoney(stats.querySelector("[data-unrealised]"), total);
  stats.querySelector("[data-equity]").textContent = (Number(stats.dataset.balance) + total).toFixed(2);
}

connect(`/ws/positions/${document.getElementById("dashboard").dataset.user}/`, (message) => {
  if (message.type === "position") update(message);
});
