// How a live value is written into the page: the same way the server writes it.
const FORMATS = {
  qty: (value) => value,
  mark_price: (value) => value,
  stop_price: (value) => value,
  tps_hit: (value) => `${value} of 3`,
  net_pnl: (value) => signed(value, 4),
  return_on_margin_pct: (value) => `${signed(value, 2)} %`,
};
const SIGNED = new Set(["net_pnl", "return_on_margin_pct"]);

function signed(value, places) {
  return `${value > 0 ? "+" : ""}${Number(value).toFixed(places)}`;
}

function mark(element, value) {
  element.classList.toggle("loss", value < 0);
  element.classList.toggle("gain", value > 0);
}

export function fill(element, field, value) {
  element.textContent = FORMATS[field](value);
  if (SIGNED.has(field)) mark(element, value);
}

// Every [data-field] below `scope`, from a position's message.
export function fillAll(scope, position) {
  for (const element of scope.querySelectorAll("[data-field]")) fill(element, element.dataset.field, position[element.dataset.field]);
}

export function fillMoney(element, value) {
  element.textContent = signed(value, 2);
  mark(element, value);
}
