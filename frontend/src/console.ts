// The console's script. Every page is whole without it; it makes them live and quick by keyboard.
import { keepAges, rememberZone } from "./ages";
import { listenKeys } from "./keys";
import { listenLive } from "./live";
import { openTheme } from "./theme";
import { Timeline } from "./timeline";

document.documentElement.classList.add("scripted");
rememberZone();
openTheme();
keepAges();
const steps = document.getElementById("steps");
const timeline = steps === null ? null : new Timeline(steps);
listenKeys(timeline);
listenLive(timeline);
for (const select of document.querySelectorAll<HTMLSelectElement>("select[data-submit]")) {
  select.addEventListener("change", () => select.form?.requestSubmit());
}
