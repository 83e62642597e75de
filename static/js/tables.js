// Tables on every width. A list of things is stacked on a phone, each cell with its column's name (see components.css); a grid of
// figures that is compared down its columns (<table data-scrolls>) stays one and is scrolled, by keyboard too.

// Blocks are no longer a table to a screen reader; roles say that it still is one.
function keepRoles(table) {
  table.setAttribute("role", "table");
  for (const part of table.querySelectorAll("thead, tbody")) part.setAttribute("role", "rowgroup");
  for (const row of table.rows) {
    row.setAttribute("role", "row");
    for (const cell of row.cells) {
      const heading = cell.scope === "row" ? "rowheader" : "columnheader";
      cell.setAttribute("role", cell.tagName === "TH" ? heading : "cell");
    }
  }
}

function nameCells(table) {
  const names = [...table.querySelectorAll("thead th")].map((cell) => (cell.querySelector(".visually-hidden") ? "" : cell.textContent.trim()));
  for (const row of table.tBodies[0]?.rows ?? []) {
    for (const [at, cell] of [...row.cells].entries()) {
      if (names[at] && cell.scope !== "row" && cell.colSpan === 1) cell.dataset.label = names[at];
    }
  }
}

function openToKeyboard(box) {
  if (box.scrollWidth <= box.clientWidth) {
    for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    return;
  }
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", box.querySelector("caption")?.textContent.trim() || "Table");
}

function prepare() {
  for (const table of document.querySelectorAll("table.data:not([data-scrolls])")) {
    if (!table.tHead || "stacks" in table.dataset) continue;
    nameCells(table);
    keepRoles(table);
    table.dataset.stacks = "";
  }
  document.querySelectorAll(".table-wrap").forEach(openToKeyboard);
}

prepare();
window.addEventListener("resize", prepare);
document.addEventListener("toggle", prepare, { capture: true }); // a table inside <details> has no width before
document.addEventListener("htmx:afterSettle", prepare);
