// The keyboard: j and k everywhere, the rest is in the help overlay that `?` opens.
import { switchTheme } from "./theme";
import type { Timeline } from "./timeline";

const SECTIONS: Record<string, string> = {
  f: "/",
  r: "/runs",
  w: "/approvals",
  t: "/tools",
  c: "/costs",
  h: "/health",
};
const TOGETHER_MS = 1_200;

export function listenKeys(timeline: Timeline | null): void {
  const help = document.getElementById("help");
  if (!(help instanceof HTMLDialogElement)) return;
  const opener = document.getElementById("help-open");
  if (opener !== null) {
    opener.hidden = false;
    opener.addEventListener("click", () => help.showModal());
  }
  document.getElementById("help-close")?.addEventListener("click", () => help.close());
  help.addEventListener("click", (event) => event.target === help && help.close());
  const keys = new Keys(timeline, help);
  document.addEventListener("keydown", (event) => keys.down(event));
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, select, textarea") !== null;
}

class Keys {
  private going = 0;

  constructor(
    private readonly timeline: Timeline | null,
    private readonly help: HTMLDialogElement,
  ) {}

  down(event: KeyboardEvent): void {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") (event.target as HTMLElement).blur();
      return;
    }
    if (this.help.open) return;
    if (this.going > Date.now() && event.key in SECTIONS) {
      this.going = 0;
      location.href = (document.body.dataset.prefix ?? "") + SECTIONS[event.key];
      event.preventDefault();
    } else if (this.act(event)) {
      event.preventDefault();
    }
  }

  private act(event: KeyboardEvent): boolean {
    const timeline = this.timeline;
    switch (event.key) {
      case "j":
        return this.move(1);
      case "k":
        return this.move(-1);
      case "Enter":
        return event.target === document.body || (event.target as Element).id === "main" ? this.open() : false;
      case "o":
        return this.go(timeline?.link() ?? picked()?.querySelector<HTMLAnchorElement>("a[data-open]")?.href);
      case "n":
        timeline?.notable(1);
        return timeline !== null;
      case "p":
        timeline?.notable(-1);
        return timeline !== null;
      case "[":
        return this.follow("a[data-previous]");
      case "]":
        return this.follow("a[data-next]");
      case "e":
        return timeline?.follow("a[data-earlier]") || this.follow("a[data-earlier]");
      case "v":
        return timeline?.follow("a[data-view]:not([aria-current])") || this.follow("a[data-view]:not([aria-current])");
      case "u":
        return this.follow("a[data-up]");
      case "/":
        return focus("#search");
      case "f":
        return focus("#filter select");
      case "t":
        switchTheme();
        return true;
      case "g":
        this.going = Date.now() + TOGETHER_MS;
        return true;
      case "?":
        this.help.showModal();
        return true;
      case "Escape":
        return timeline?.close() ?? false;
      default:
        return false;
    }
  }

  private move(by: number): boolean {
    if (this.timeline !== null) {
      this.timeline.move(by);
      return true;
    }
    const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
    if (rows.length === 0) return false;
    const at = rows.findIndex((row) => row.hasAttribute("data-picked"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    rows[at]?.removeAttribute("data-picked");
    next?.setAttribute("data-picked", "");
    next?.scrollIntoView({ block: "nearest" });
    return true;
  }

  private open(): boolean {
    if (this.timeline !== null) {
      this.timeline.open();
      return true;
    }
    return this.go(picked()?.querySelector<HTMLAnchorElement>("a[data-open]")?.href);
  }

  private follow(selector: string): boolean {
    return this.go(document.querySelector<HTMLAnchorElement>(selector)?.href);
  }

  private go(href: string | null | undefined): boolean {
    if (!href) return false;
    location.href = href;
    return true;
  }
}

function picked(): Element | null {
  return document.querySelector("[data-picked]");
}

function focus(selector: string): boolean {
  const found = document.querySelector<HTMLElement>(selector);
  found?.focus();
  return found !== null;
}
