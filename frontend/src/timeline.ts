// A run's actions in pieces. Each piece keeps its height; only those in view and near it hold rows,
// so a run of 45,000 actions costs as much as one of a few hundred, and the scrollbar is honest.
import htmx from "htmx.org";

const NEAR = "1200px";
const SETTLE_MS = 120;
const WIDE = "(min-width: 1100px)";

export class Timeline {
  private readonly per: number;
  private readonly url: string;
  private readonly show: string;
  private total: number;
  private readonly pieces: HTMLElement[] = [];
  private readonly waiting = new Map<HTMLElement, Promise<void>>();
  private readonly near: IntersectionObserver;
  private readonly side = document.getElementById("side");
  private opening = 0;
  private picked = -1;

  constructor(private readonly root: HTMLElement) {
    this.per = Number(root.dataset.per);
    this.url = root.dataset.pieces ?? "";
    this.show = root.dataset.show ?? "";
    this.total = Number(root.dataset.total);
    this.near = new IntersectionObserver((seen) => this.look(seen), { rootMargin: `${NEAR} 0px` });
    this.lay();
    root.addEventListener("click", (event) => this.click(event));
    const asked = new URLSearchParams(location.search).get("at") ?? location.hash.slice(1);
    const row = asked === "" ? null : document.getElementById(asked);
    if (row !== null) void this.pick(Number(row.dataset.place), false);
  }

  /** Placeholders of the right height around the piece that came with the page. */
  private lay(): void {
    const here = this.root.querySelector<HTMLElement>(".piece");
    if (here === null) return;
    const own = Math.floor(Number(here.dataset.start) / this.per);
    for (let number = 0; number * this.per < this.total; number++) {
      const piece = number === own ? here : this.sleeper(number);
      this.pieces.push(piece);
      if (number < own) here.before(piece);
      else if (number > own) this.root.append(piece);
      this.near.observe(piece);
    }
    if (own > 0 && !location.search.includes("at=")) here.scrollIntoView();
  }

  private sleeper(number: number): HTMLElement {
    const piece = document.createElement("ol");
    piece.className = "piece asleep";
    piece.dataset.start = String(number * this.per);
    piece.setAttribute("start", String(number * this.per + 1));
    piece.setAttribute("aria-busy", "true");
    piece.style.height = `calc(${this.length(number)} * var(--step))`;
    return piece;
  }

  private length(number: number): number {
    return Math.min(this.per, this.total - number * this.per);
  }

  private look(seen: IntersectionObserverEntry[]): void {
    for (const entry of seen) {
      const piece = entry.target as HTMLElement;
      if (entry.isIntersecting) {
        // Whoever drags the scrollbar passes many pieces: only one that stays in view is fetched.
        window.setTimeout(() => this.isNear(piece) && void this.wake(piece), SETTLE_MS);
      } else if (!piece.classList.contains("asleep") && this.pieces.length > 4) {
        this.sleep(piece);
      }
    }
  }

  private isNear(piece: HTMLElement): boolean {
    const box = piece.getBoundingClientRect();
    return box.bottom > -1200 && box.top < innerHeight + 1200;
  }

  private wake(piece: HTMLElement, again = false): Promise<void> {
    if (!piece.classList.contains("asleep") && !again) return Promise.resolve();
    const under = this.waiting.get(piece);
    if (under !== undefined) return under;
    const fetched = this.fetchInto(piece).finally(() => this.waiting.delete(piece));
    this.waiting.set(piece, fetched);
    return fetched;
  }

  private async fetchInto(piece: HTMLElement): Promise<void> {
    const asked = new URLSearchParams({ from: piece.dataset.start ?? "0" });
    if (this.show !== "") asked.set("show", this.show);
    const answer = await fetch(`${this.url}?${asked}`);
    if (!answer.ok) return;
    const text = await answer.text();
    const focused = document.activeElement?.closest<HTMLElement>("[data-place]")?.dataset.place;
    htmx.swap({ text, target: piece, swap: "innerMorph", select: ".piece > *" });
    piece.classList.remove("asleep");
    piece.removeAttribute("aria-busy");
    piece.style.height = "";
    if (focused !== undefined) this.mark();
    else this.mark();
  }

  private sleep(piece: HTMLElement): void {
    const number = Math.floor(Number(piece.dataset.start) / this.per);
    piece.style.height = `calc(${this.length(number)} * var(--step))`;
    piece.classList.add("asleep");
    piece.setAttribute("aria-busy", "true");
    piece.replaceChildren();
  }

  /** More actions, or some of them settled: the pieces in view are read again, new ones are laid. */
  async refresh(): Promise<void> {
    const total = Number(document.getElementById("live")?.dataset.total ?? this.total);
    if (this.show === "" && total > this.total) {
      this.total = total;
      for (let number = this.pieces.length; number * this.per < total; number++) {
        const piece = this.sleeper(number);
        this.root.append(piece);
        this.pieces.push(piece);
        this.near.observe(piece);
      }
    }
    const awake = this.pieces.filter((piece) => !piece.classList.contains("asleep") && this.isNear(piece));
    await Promise.all(awake.map((piece) => this.wake(piece, true)));
  }

  private click(event: MouseEvent): void {
    const row = (event.target as Element).closest<HTMLElement>("[data-place]");
    if (row === null || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (!matchMedia(WIDE).matches) {
      const link = row.querySelector<HTMLAnchorElement>("a[data-open]");
      if (link !== null && !(event.target as Element).closest("a")) link.click();
      return;
    }
    event.preventDefault();
    void this.pick(Number(row.dataset.place), true);
  }

  /** Move the choice; on a wide screen the chosen action is read beside the timeline. */
  async pick(place: number, open: boolean): Promise<void> {
    if (place < 0 || place >= this.total) return;
    this.picked = place;
    const piece = this.pieces[Math.floor(place / this.per)];
    if (piece === undefined) return;
    if (piece.classList.contains("asleep")) {
      piece.scrollIntoView({ block: "nearest" });
      await this.wake(piece);
    }
    const row = this.mark();
    row?.scrollIntoView({ block: "nearest" });
    if (open || this.side?.hidden === false) {
      window.clearTimeout(this.opening);
      this.opening = window.setTimeout(() => void this.read(), open ? 0 : SETTLE_MS);
    }
  }

  move(by: number): void {
    const first = Number(this.root.querySelector<HTMLElement>(".piece:not(.asleep)")?.dataset.start ?? 0);
    void this.pick(this.picked < 0 ? first : this.picked + by, false);
  }

  /** The next row that is out of the ordinary, among those that are here. */
  notable(by: number): void {
    const rows = [...this.root.querySelectorAll<HTMLElement>("[data-place]")].filter(
      (row) => !row.classList.contains("tone-edge-good") && !row.classList.contains("tone-edge-busy"),
    );
    if (by < 0) rows.reverse();
    const next = rows.find((row) => (Number(row.dataset.place) - this.picked) * by > 0);
    if (next !== undefined) void this.pick(Number(next.dataset.place), false);
  }

  private mark(): HTMLElement | null {
    for (const row of this.root.querySelectorAll("[data-picked]")) row.removeAttribute("data-picked");
    const row = this.root.querySelector<HTMLElement>(`[data-place="${this.picked}"]`);
    row?.setAttribute("data-picked", "");
    return row;
  }

  /** Open the chosen action: beside the timeline where there is room, else on its page. */
  open(): void {
    const link = this.link();
    if (link === null) return;
    if (matchMedia(WIDE).matches) void this.read();
    else location.href = link;
  }

  link(): string | null {
    return this.mark()?.querySelector<HTMLAnchorElement>("a[data-open]")?.href ?? null;
  }

  private async read(): Promise<void> {
    const link = this.link();
    if (link === null || this.side === null) return;
    await this.show_(link);
  }

  private async show_(link: string): Promise<void> {
    const side = this.side;
    if (side === null) return;
    side.setAttribute("aria-busy", "true");
    const answer = await fetch(link);
    const read = new DOMParser().parseFromString(await answer.text(), "text/html");
    const action = read.getElementById("action") ?? read.getElementById("main");
    if (action === null) return;
    const bar = document.createElement("div");
    bar.className = "side-bar";
    const page = document.createElement("a");
    page.href = link;
    page.textContent = "Open on its own page";
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    close.addEventListener("click", () => this.close());
    bar.append(page, close);
    side.replaceChildren(bar, document.adoptNode(action));
    side.scrollTop = 0;
    side.hidden = false;
    side.removeAttribute("aria-busy");
    side.parentElement?.classList.add("open");
    side.onclick = (event) => this.within(event);
    this.mark()?.scrollIntoView({ block: "nearest" });
  }

  // Links between the views of one action stay beside the timeline.
  private within(event: MouseEvent): void {
    const link = (event.target as Element).closest<HTMLAnchorElement>("a[data-view], a[data-earlier]");
    if (link === null || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    void this.show_(link.href);
  }

  close(): boolean {
    if (this.side === null || this.side.hidden) return false;
    this.side.hidden = true;
    this.side.parentElement?.classList.remove("open");
    return true;
  }

  follow(selector: string): boolean {
    const link = this.side?.hidden === false ? this.side.querySelector<HTMLAnchorElement>(selector) : null;
    if (!link) return false;
    link.click();
    return true;
  }
}
