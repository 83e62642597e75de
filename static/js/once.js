// A form is sent once: the second click of a double click would ask for everything again.
const PAUSE_MS = 3_000;
const sent = new WeakMap();

function send(event) {
  const form = event.target;
  // Not form.method: a field of that name hides it.
  if (event.defaultPrevented || form.getAttribute("method")?.toLowerCase() !== "post") return;
  if (event.timeStamp - (sent.get(form) ?? -Infinity) < PAUSE_MS) event.preventDefault();
  else sent.set(form, event.timeStamp);
}

// On the document, after the form's own listeners: what they send themselves is theirs to send once.
document.addEventListener("submit", send);
