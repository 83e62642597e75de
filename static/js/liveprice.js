// How a market's live values are written into [data-live="price|change|feed|at"] below an element: the same way the server writes them.
const TONES = { live: "badge--ok", stale: "badge--warn", down: "badge--bad" };
// A venue's own prices need no badge; imported history that moves is being played.
const ORIGINS = { simulated: ["badge--sim", "SIMULATED MARKET"], replay: ["badge--warn", "REPLAY"] };
const FLASH_MS = 700;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (number) => String(number).padStart(2, "0");

/** 11:52 of an instant in ms, UTC. */
export function clockTime(ms) {
  const at = new Date(ms);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

/** 21 Nov 11:52 of an instant in ms, UTC. */
export function dateTime(ms) {
  const at = new Date(ms);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${clockTime(ms)}`;
}

export function percent(value) {
  return `${value > 0 ? "+" : ""}${value.toFixed(2)} %`;
}

function mark(element, value) {
  element.classList.remove("muted");
  element.classList.toggle("gain", value > 0);
  element.classList.toggle("loss", value < 0);
}

function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function flash(element, isUp) {
  element.classList.remove("flash-up", "flash-down");
  element.classList.add(isUp ? "flash-up" : "flash-down");
  window.clearTimeout(element.flashTimer);
  element.flashTimer = window.setTimeout(() => element.classList.remove("flash-up", "flash-down"), FLASH_MS);
}

/** A tick of the market that `scope` shows. `scope` knows the price's decimals (data-places) and the price a day before (data-day-ago). */
export function fillTick(scope, tick) {
  const price = scope.querySelector('[data-live="price"]');
  const before = Number(price.textContent);
  const text = tick.price.toFixed(Number(scope.dataset.places));
  if (price.textContent !== text) {
    price.textContent = text;
    if (before) flash(price, tick.price > before);
  }
  const dayAgo = Number(scope.dataset.dayAgo);
  const change = tick.change_pct ?? (dayAgo ? (tick.price / dayAgo - 1) * 100 : null);
  const place = scope.querySelector('[data-live="change"]');
  if (change !== null && place) {
    write(place, percent(change));
    mark(place, change);
  }
  const at = scope.querySelector('[data-live="at"]');
  write(at, dateTime(tick.ts_ms));
  if (at) at.dateTime = new Date(tick.ts_ms).toISOString();
  fillOrigin(scope, tick.source);
}

function toneBadges(scope, tone, text) {
  for (const badge of scope.querySelectorAll('[data-live="feed"]')) {
    badge.classList.remove(...Object.values(TONES));
    if (tone) badge.classList.add(tone);
    write(badge, text);
  }
}

function fillOrigin(scope, source) {
  const badge = scope.querySelector('[data-live="origin"]');
  const [tone, text] = ORIGINS[source] ?? ["", ""];
  if (!badge || badge.textContent === text) return;
  badge.className = `badge ${tone}`;
  badge.textContent = text;
  badge.hidden = !text;
}

/** How good the market's stream is. */
export function fillFeed(scope, feed) {
  heard.set(scope, performance.now());
  const since = feed.state === "live" || !feed.ts_ms ? "" : ` since ${clockTime(feed.ts_ms)}`;
  toneBadges(scope, TONES[feed.state], `${feed.state}${since}`);
}

// A stream repeats how it is at least every ten seconds. One that was ended says nothing, and its last word does not stand.
const SILENT_MS = 30_000;
const heard = new WeakMap();

function doubt() {
  for (const badge of document.querySelectorAll('[data-live="feed"]')) {
    const scope = badge.closest("[data-market]");
    if (!heard.has(scope)) heard.set(scope, performance.now());
    if (performance.now() - heard.get(scope) > SILENT_MS) toneBadges(scope, "", "no stream");
  }
}
doubt();
window.setInterval(doubt, SILENT_MS / 6);
