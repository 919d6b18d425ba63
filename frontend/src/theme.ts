// Light, dark, or as the system has it. The choice is a cookie, so pages come in the right colours.
import { setCookie } from "./ages";

function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

export function switchTheme(): void {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  setCookie("quarterdeck_theme", next);
  document.dispatchEvent(new CustomEvent("quarterdeck:theme"));
}

export function openTheme(): void {
  const button = document.getElementById("theme");
  if (button === null) return;
  button.hidden = false;
  button.addEventListener("click", switchTheme);
}
