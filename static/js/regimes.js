// A market's regimes as the API tells them: asked for by span, looked up by the close at which a bar knew them, told in words.
// They change at closes of 15m bars only. Colours are the tokens --regime-bull and so on; the names stand beside them wherever they are seen.

const BASE_MS = 900_000;

/** The regime known at the close `ms` among stretches [{since_ms, until_ms, regime}], oldest first; null when none was. */
export function regimeAt(stretches, ms) {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[middle].since_ms <= ms) low = middle + 1;
    else high = middle;
  }
  return stretches[low - 1]?.regime ?? null;
}

/** "bull 62 %, sideways 38 %" for a list of names, the most frequent first; nulls count as "not known". */
export function shares(names) {
  const counts = new Map();
  for (const name of names) counts.set(name ?? "not known", (counts.get(name ?? "not known") ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return sorted.map(([name, count]) => `${name} ${Math.round((100 * count) / names.length)} %`).join(", ");
}

export class Regimes {
  constructor(url) {
    Object.assign(this, { url, stretches: [], startMs: Infinity, endMs: -Infinity, turn: 0 });
  }

  /** Know the closes from startMs to untilMs. Says whether they are known now: not when another call overtook this one. Rejects when the server cannot be asked. */
  async cover(startMs, untilMs) {
    const endMs = untilMs - (untilMs % BASE_MS);
    if (startMs >= this.startMs && endMs <= this.endMs) return true;
    const turn = ++this.turn;
    const url = new URL(this.url, window.location.href);
    url.searchParams.set("start", startMs - 1);
    url.searchParams.set("end", endMs);
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${url.pathname} answered ${answer.status}`);
    const { regimes } = await answer.json();
    if (turn !== this.turn) return false;
    Object.assign(this, { stretches: regimes, startMs, endMs });
    return true;
  }

  /** What was known at the close `ms`. */
  at(ms) {
    return regimeAt(this.stretches, ms);
  }

  /** Since which close the newest regime has been known, and its name; null when none is. */
  get newest() {
    return this.stretches.at(-1) ?? null;
  }
}
