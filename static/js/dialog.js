// <form data-confirm="Close the position?" data-confirm-action="Close it">: asks before the form goes, with or without htmx.
// <input type="checkbox" data-confirm-also="..."> in it: what the question adds while the box is ticked.
const dialog = document.getElementById("confirm-dialog");
const question = document.getElementById("confirm-question");

// The answer that the open question waits for. The browser tells of a closing a moment later, when the next question may be open.
let answer = null;
dialog?.addEventListener("close", () => {
  if (!dialog.open) answer?.(dialog.returnValue === "confirm");
});

// Resolves to true when the reader agreed.
export function confirm(text, action = "Confirm") {
  answer?.(false);
  question.textContent = text;
  dialog.querySelector("[data-confirm-button]").textContent = action;
  dialog.returnValue = "cancel";
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    answer = resolve;
  });
}

async function ask(event) {
  const form = event.target;
  if (!form.matches?.("form[data-confirm]")) return;
  if (form.dataset.confirmed === "yes") {
    delete form.dataset.confirmed;
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  const submitter = event.submitter;
  const also = [...form.querySelectorAll("[data-confirm-also]:checked")].map((box) => box.dataset.confirmAlso);
  if (!(await confirm([form.dataset.confirm, ...also].join(" "), form.dataset.confirmAction))) return;
  form.dataset.confirmed = "yes";
  if (!form.isConnected) {
    // The part of the page it stood in was refreshed behind the question. What was asked about is what is sent.
    form.hidden = true;
    document.body.append(form);
  }
  form.requestSubmit(submitter);
}

// Capture on the document: before htmx's own listener on the form.
if (dialog) document.addEventListener("submit", ask, { capture: true });
