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
