// A WebSocket that comes back by itself and says so on every [data-live-status].
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
// The server's words for "do not come back": not signed in, not yours, gone.
const FINAL_CODES = new Set([4401, 4403, 4404]);
const WORDS = { connecting: "connecting", live: "live", reconnecting: "reconnecting", off: "not available" };

function tell(state) {
  for (const element of document.querySelectorAll("[data-live-status]")) {
    if (element.dataset.liveStatus === state) continue;
    element.dataset.liveStatus = state;
    element.textContent = WORDS[state];
  }
}

// Full jitter: after an outage clients come back spread out, not all at once.
function waitMs(attempt) {
  return FIRST_WAIT_MS / 2 + Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt);
}

/**
 * Keep a socket to `path` open. `onMessage(object)` gets each JSON message, `onOpen(isReconnect)` each connection:
 * after a reconnect the page should fetch what it missed. Returns { send(object), close() }.
 */
export function connect(path, onMessage, { onOpen } = {}) {
  let socket = null;
  let attempt = 0;
  let hasBeenOpen = false;
  let isClosed = false;
  let timer = 0;

  function open() {
    window.clearTimeout(timer);
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${window.location.host}${path}`);
    socket.addEventListener("open", () => {
      attempt = 0;
      tell("live");
      onOpen?.(hasBeenOpen);
      hasBeenOpen = true;
    });
    socket.addEventListener("message", (event) => onMessage(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (isClosed) return;
      if (FINAL_CODES.has(event.code)) {
        tell("off");
        return;
      }
      tell("reconnecting");
      timer = window.setTimeout(open, waitMs(attempt));
      attempt += 1;
    });
  }

  function wake() {
    if (isClosed || document.hidden || socket.readyState !== WebSocket.CLOSED) return;
    attempt = 0;
    open();
  }

  tell("connecting");
  open();
  window.addEventListener("online", wake);
  document.addEventListener("visibilitychange", wake);
  return {
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message)),
    close: () => {
      isClosed = true;
      window.clearTimeout(timer);
      socket.close(1000);
    },
  };
}
