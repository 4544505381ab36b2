// What every report page has: its looks, and the script that reads values off the charts.
#pragma once

namespace ingot {

inline constexpr const char* kPageStyle = R"css(
:root { color-scheme: light; --ink: #1f2328; --grey: #59636e; --rule: #d1d9e0; --pale: #f6f8fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 20px clamp(12px, 3vw, 32px) 60px; color: var(--ink);
  font: 15px/1.5 Inter, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; background: #fff; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 19px; margin: 34px 0 10px; }
h3 { font-size: 15px; margin: 14px 0 6px; }
.note, figcaption span { color: var(--grey); font-size: 13px; margin: 2px 0 16px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
td { min-width: 13ch; max-width: 46ch; overflow-wrap: anywhere; } tbody th { font-weight: 500; color: var(--grey); white-space: nowrap; }
details table th { font-weight: 400; }
.run { display: inline-flex; align-items: center; gap: 7px; margin-right: 16px; font-weight: 600; }
.run i { width: 11px; height: 11px; border-radius: 3px; flex: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 18px; margin-top: 24px; }
figure { margin: 0; padding: 12px 14px 10px; border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; gap: 0 10px; align-items: baseline; margin-bottom: 6px; }
figcaption span { margin: 0; } em { font-style: normal; color: #b42318; }
svg.chart { display: block; width: 100%; height: auto; touch-action: pan-y; }
.chart text { font-size: 13px; fill: var(--grey); font-variant-numeric: tabular-nums; }
.chart .left { text-anchor: end; } .chart .below { text-anchor: middle; }
.chart path { fill: none; } .chart .grid { stroke: #e6eaef; } .chart .axis { stroke: #818b98; }
.chart .curve { stroke-width: 2; stroke-linejoin: round; } .chart .pale { stroke-width: 1; opacity: .35; }
.chart .bad { stroke: #b42318; stroke-width: 2; } .chart .cursor { stroke: #818b98; stroke-dasharray: 3 3; }
.read { min-height: 24px; font-size: 13px; font-variant-numeric: tabular-nums; }
.read .run { font-weight: 400; margin-right: 12px; } .read .hint { color: var(--grey); }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 10px 0; } dt { color: var(--grey); font-size: 13px; } dd { margin: 0; }
summary { cursor: pointer; padding: 6px 0; } .drawing svg { width: 100%; min-width: 760px; height: auto; }
@media (max-width: 560px) { th, td { padding-right: 12px; } }
)css";

// For each chart: a line at the step that is under the mouse or finger, and each run's value there.
inline constexpr const char* kPageScript = R"js(
const nearest = (steps, wanted) => {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low > 0 && wanted - steps[low - 1] < steps[low] - wanted ? low - 1 : low;
};
const shown = value => value === null ? "not finite" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en")
  : Number(value.toPrecision(4)).toString();
document.querySelectorAll("figure").forEach(figure => {
  const chart = charts[figure.dataset.chart], svg = figure.querySelector("svg"), read = figure.querySelector(".read");
  const before = read.innerHTML;
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width;
    const share = Math.min(1, Math.max(0, (at - chart.left) / (chart.right - chart.left)));
    const step = chart.first + share * (chart.last - chart.first);
    const x = (chart.left + share * (chart.right - chart.left)) * svg.viewBox.baseVal.width;
    cursor.setAttribute("d", `M${x} 8V228`);
    read.replaceChildren(...chart.runs.map(run => {
      const i = nearest(run.steps, step), label = document.createElement("span"), color = document.createElement("i");
      label.className = "run";
      color.style.background = run.color;
      label.append(color, `${chart.runs.length > 1 ? run.name + " " : ""}step ${run.steps[i]}: ${shown(run.values[i])}${run.values[i] === null ? "" : chart.unit}`);
      return label;
    }));
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("d", ""); read.innerHTML = before; });
});
)js";

}  // namespace ingot
