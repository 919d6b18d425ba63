// "3 min ago" goes on counting, and the server learns in which time zone to write times.

const EVERY_MS = 20_000;

function rough(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

function refresh(): void {
  for (const element of document.querySelectorAll<HTMLElement>(".ago[data-at]")) {
    const seconds = Math.floor((Date.now() - Date.parse(element.dataset.at ?? "")) / 1000);
    if (Number.isNaN(seconds)) continue;
    const words = seconds < 5 ? "just now" : `${rough(seconds)} ago`;
    if (element.textContent !== words) element.textContent = words;
  }
}

export function keepAges(): void {
  window.setInterval(() => document.hidden || refresh(), EVERY_MS);
}

export function setCookie(name: string, value: string): void {
  const prefix = document.body.dataset.prefix ?? "/";
  document.cookie = `${name}=${value}; path=${prefix}; max-age=31536000; samesite=lax`;
}

export function rememberZone(): void {
  setCookie("quarterdeck_zone", Intl.DateTimeFormat().resolvedOptions().timeZone);
}
