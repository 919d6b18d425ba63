// Told by the server that something changed, the page fetches itself and only what differs is put
// into the document: nothing flickers, the scroll stays, what is open stays open.
import htmx from "htmx.org";
import type { Timeline } from "./timeline";

const LEAST_MS = 2_000; // between two refreshes of a page, however much happens
const ASK_MS = 15_000; // where the server tells nothing

export function listenLive(timeline: Timeline | null): void {
  const region = document.querySelector<HTMLElement>("#live[data-live]");
  const pulse = document.getElementById("pulse");
  if (region === null || pulse === null) return;
  new Watcher(pulse, region.dataset.live ?? "all", timeline).start();
}

class Watcher {
  private source: EventSource | null = null;
  private asking = 0;
  private due = 0;
  private last = 0;

  constructor(
    private readonly pulse: HTMLElement,
    private readonly topic: string,
    private readonly timeline: Timeline | null,
  ) {}

  start(): void {
    this.pulse.hidden = false;
    this.say("connecting", "…");
    // A hidden page holds no connection: browsers allow six to one server.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.close();
      else {
        this.open();
        this.changed();
      }
    });
    window.addEventListener("pagehide", () => this.close());
    if (!document.hidden) this.open();
  }

  private open(): void {
    if (this.source !== null) return;
    const prefix = document.body.dataset.prefix ?? "";
    const query = this.topic === "all" ? "" : `?run=${encodeURIComponent(this.topic)}`;
    const source = new EventSource(`${prefix}/live${query}`);
    this.source = source;
    let lost = false;
    source.addEventListener("open", () => {
      this.say("live", "live");
      this.stopAsking();
      if (lost) this.changed(); // what happened meanwhile nobody told
      lost = false;
    });
    source.addEventListener("changed", () => this.changed());
    source.addEventListener("error", () => {
      lost = true;
      if (source.readyState === EventSource.CLOSED) this.ask();
      this.say("lost", "connection lost, trying again");
    });
  }

  private close(): void {
    this.source?.close();
    this.source = null;
    this.stopAsking();
  }

  // The server refused the stream (too many pages): ask by ourselves.
  private ask(): void {
    if (this.asking === 0) this.asking = window.setInterval(() => this.changed(), ASK_MS);
  }

  private stopAsking(): void {
    window.clearInterval(this.asking);
    this.asking = 0;
  }

  private changed(): void {
    if (this.due !== 0) return;
    const wait = Math.max(0, this.last + LEAST_MS - Date.now());
    this.due = window.setTimeout(() => void this.refresh(), wait);
  }

  private async refresh(): Promise<void> {
    this.due = 0;
    this.last = Date.now();
    const region = document.getElementById("live");
    // A form that is being filled in is not pulled away.
    if (region === null || !region.hasAttribute("data-live")) return;
    if (region.contains(document.activeElement) && document.activeElement instanceof HTMLInputElement) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      htmx.swap({ text: await answer.text(), target: region, swap: "outerMorph", select: "#live" });
      await this.timeline?.refresh();
      if (this.source !== null && this.source.readyState === EventSource.OPEN) this.say("live", "live");
    } catch {
      this.say("lost", "connection lost, trying again");
    }
  }

  private say(state: "connecting" | "live" | "lost", words: string): void {
    this.pulse.classList.toggle("lost", state === "lost");
    if (this.pulse.textContent !== words) this.pulse.textContent = words;
    this.pulse.title = state === "live" ? "This page shows changes as they happen" : words;
  }
}
