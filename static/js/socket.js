// A WebSocket that comes back by itself and says so on every [data-live-status].
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
// A socket that is refused was never live; a reload for it would only go round in circles.
const SETTLED_MS = 2000;
// The server's words for "do not come back": not signed in, not yours, gone.
const FINAL_CODES = new Set([4401, 4403, 4404]);
const SIGNED_OUT = 4401;
const WORDS = { connecting: "connecting", live: "live", reconnecting: "reconnecting", off: "not available", out: "signed out" };

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
  let openedAt = Infinity;

  function open() {
    window.clearTimeout(timer);
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${window.location.host}${path}`);
    socket.addEventListener("open", () => {
      attempt = 0;
      openedAt = Date.now();
      tell("live");
      onOpen?.(hasBeenOpen);
      hasBeenOpen = true;
    });
    socket.addEventListener("message", (event) => onMessage(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      if (isClosed) return;
      if (FINAL_CODES.has(event.code)) {
        tell(event.code === SIGNED_OUT ? "out" : "off");
        // Signed out elsewhere while the page was open: its figures are no longer for whoever looks at it.
        if (event.code === SIGNED_OUT && Date.now() - openedAt > SETTLED_MS) window.location.reload();
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
