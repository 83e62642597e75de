// The list of signals follows /ws/signals/: the table is rendered by the server alone, so news only asks htmx to fetch it again.
import { connect } from "./socket.js";

export const SIGNALS_CHANGED = "signals-changed";

function announce() {
  document.body.dispatchEvent(new CustomEvent(SIGNALS_CHANGED));
}

connect("/ws/signals/", (message) => {
  if (message.type === "signal") announce();
}, { onOpen: (isReconnect) => isReconnect && announce() });
