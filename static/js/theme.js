// The colour switch without a page load. The form posts by itself when this module is not there.
export const THEME_CHANGED = "theme-changed";

function announce() {
  document.dispatchEvent(new CustomEvent(THEME_CHANGED));
}

function show(form, theme) {
  document.documentElement.dataset.theme = theme;
  for (const button of form.querySelectorAll("button[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
  announce();
}

async function choose(event) {
  const form = event.target.closest("[data-theme-form]");
  if (!form || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  const before = document.documentElement.dataset.theme;
  show(form, theme);
  const body = new FormData(form);
  body.set("theme", theme);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) show(form, before);
  } catch {
    show(form, before);
  }
}

document.addEventListener("submit", choose);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
