// Plots of costs by uPlot: stacked bars a day, a legend with values, a click opens the day's runs.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

interface Plot {
  days: string[];
  series: { name: string; values: number[] }[];
  hrefs: string[];
}

const LIGHT = ["#2f75b5", "#b8862b", "#2f9461", "#8a5cc0", "#cf4450", "#3d8f95", "#7d8996"];
const DARK = ["#5fa3e6", "#e3b54a", "#4cbf85", "#b08ae6", "#ee7780", "#63b9bf", "#93a0ad"];

function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

function dollars(value: number | null | undefined): string {
  if (value === null || value === undefined) return "";
  const digits = value === 0 || value >= 1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(value)));
  return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: Math.max(2, digits) })}`;
}

function ink(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function day(text: string): string {
  const [, month, date] = text.split("-");
  return `${Number(date)} ${["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][Number(month) - 1]}`;
}

/** Each series on top of those before it; drawn from the last, so that the first lies in front. */
function stacked(plot: Plot): number[][] {
  const sums = plot.days.map(() => 0);
  return plot.series.map((series) =>
    series.values.map((value, at) => {
      sums[at] = (sums[at] ?? 0) + value;
      return sums[at] ?? 0;
    }),
  );
}

function draw(figure: HTMLElement, plot: Plot): uPlot {
  const colours = isDark() ? DARK : LIGHT;
  const sums = stacked(plot);
  const order = plot.series.map((_, at) => plot.series.length - 1 - at);
  const bars = uPlot.paths.bars?.({ size: [0.72, 46], radius: 0.06 });
  const axis = { stroke: ink("--soft"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const height = figure.classList.contains("tall") ? 260 : 190;
  const options: uPlot.Options = {
    width: Math.max(240, figure.clientWidth - 34),
    height,
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { time: false, range: [-0.6, plot.days.length - 0.4] }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      {
        ...axis,
        size: 30,
        grid: { show: false },
        splits: () => plot.days.map((_, at) => at),
        values: (u, at) => {
          const every = Math.ceil(plot.days.length / Math.max(2, Math.floor(u.width / 64)));
          return at.map((n) => (n % every === 0 ? day(plot.days[n] ?? "") : ""));
        },
      },
      { ...axis, size: 62, values: (_u, at) => at.map(dollars) },
    ],
    series: [
      { label: "Day", value: (_u, at) => (at === null ? "" : day(plot.days[at] ?? "")) },
      ...order.map((at) => ({
        label: plot.series[at]?.name ?? "",
        fill: colours[at % colours.length] ?? "#888",
        width: 0,
        points: { show: false },
        ...(bars === undefined ? {} : { paths: bars }),
        value: (_u: uPlot, _raw: number | null, _s: number, index: number | null) =>
          index === null ? "" : dollars(plot.series[at]?.values[index]),
      })),
    ],
  };
  const data: uPlot.AlignedData = [plot.days.map((_, at) => at), ...order.map((at) => sums[at] ?? [])];
  const made = new uPlot(options, data, figure);
  made.over.addEventListener("click", () => {
    const href = plot.hrefs[made.cursor.idx ?? -1];
    if (href) location.href = href;
  });
  made.over.style.cursor = "pointer";
  const caption = figure.querySelector("figcaption");
  if (caption !== null) figure.append(caption);
  return made;
}

for (const figure of document.querySelectorAll<HTMLElement>("figure[data-plot]")) {
  const plot = JSON.parse(figure.dataset.plot ?? "{}") as Plot;
  if (plot.series === undefined || plot.series.length === 0) continue;
  let made = draw(figure, plot);
  const again = (): void => {
    made.destroy();
    made = draw(figure, plot);
  };
  document.addEventListener("quarterdeck:theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let width = figure.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(figure.clientWidth - width) < 8) return;
    width = figure.clientWidth;
    made.setSize({ width: Math.max(240, width - 34), height: made.height });
  }).observe(figure);
}
