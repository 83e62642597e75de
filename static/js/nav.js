// The menu is a native popover; this only keeps its button honest and puts the keyboard inside it.
const menu = document.getElementById("menu");
const button = document.querySelector("[popovertarget=menu]");

if (menu && button) {
  menu.addEventListener("toggle", (event) => {
    const isOpen = event.newState === "open";
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) menu.querySelector("a, button")?.focus();
  });
}

// A wide table can be scrolled by keyboard only when it can take focus.
function openToKeyboard() {
  for (const box of document.querySelectorAll(".table-wrap")) {
    if (box.scrollWidth <= box.clientWidth) {
      box.removeAttribute("tabindex");
      continue;
    }
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.querySelector("caption")?.textContent.trim() || "Table");
  }
}

openToKeyboard();
window.addEventListener("resize", openToKeyboard);
document.addEventListener("htmx:afterSettle", openToKeyboard);
