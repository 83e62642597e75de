// The list of markets follows /ws/markets/: prices and streams change in place, rows and their order only with a new page.
import { eachFrame } from "./frames.js";
import { fillFeed, fillTick } from "./liveprice.js";
import { connect } from "./socket.js";

const FILL = { tick: fillTick, feed: fillFeed };

const add = eachFrame((updates) => {
  for (const update of updates) {
    const row = document.querySelector(`tr[data-market="${update.market_id}"]`);
    if (row) FILL[update.type](row, update);
  }
});

connect("/ws/markets/", (message) => {
  for (const update of message.updates ?? []) {
    if (update.type in FILL) add(`${update.type}:${update.market_id}`, update);
  }
});
