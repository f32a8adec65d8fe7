// Values of charts under the pointer or the keyboard, and legends that hide and show.
//
// What a chart (class "chart") gives in its markup; `charts.py` has functions for all of it:
//   data-tip="NAME\nLINE\n..."  on a mark of any kind (circle, g, rect, div): the name, then its
//                               values as finished text. A mark needs nothing else.
//   data-tips="LINE\nLINE\n..." on a polyline beside its data-tip: one line for each of its points,
//                               so that the nearest point of a curve can be read.
//   data-series="NAME"          on all marks of a model or arm: its key in the legend hides them.
//   data-layer="NAME"           on marks of a kind ("band", "theory"): the key of this layer hides
//                               them, whatever their series. A mark may have both.
// A legend is `legend(key(...), ...)`, given to `chart(..., legend=...)`: keys with data-series or
// data-layer become buttons. Marks of no series and no layer are always shown.
const REACH = 36; // pixels between the pointer and the mark that it reads, at most
const MARGIN = 8; // pixels between a tip and the edge of the window

const tip = document.createElement("div");
tip.className = "tip";
tip.setAttribute("role", "status");
const ring = document.createElement("div");
ring.className = "ring";
document.querySelector("main").append(tip, ring);
tip.hidden = ring.hidden = true;

// ---- what can be read ----

function pointsOf(mark, origin) {
  const lines = mark.dataset.tips.split("\n");
  const matrix = mark.getScreenCTM();
  return [...mark.points].map((point, index) => {
    const { x, y } = point.matrixTransform(matrix);
    return readable(mark, [lines[index]], x - origin.left, y - origin.top, 0, 0);
  });
}

function readable(mark, lines, x, y, halfWidth, halfHeight) {
  return { mark, lines: [...mark.dataset.tip.split("\n"), ...lines], x, y, halfWidth, halfHeight };
}

function readables(chart) {
  const origin = chart.getBoundingClientRect();
  const visible = (mark) => mark.getClientRects().length > 0;
  return [...chart.querySelectorAll("[data-tip]")].filter(visible).flatMap((mark) => {
    if (mark.dataset.tips !== undefined) return pointsOf(mark, origin);
    const { left, top, width, height } = mark.getBoundingClientRect();
    const [x, y] = [left + width / 2 - origin.left, top + height / 2 - origin.top];
    return [readable(mark, [], x, y, width / 2, height / 2)];
  });
}

function distance(each, x, y) {
  const beside = Math.max(0, Math.abs(x - each.x) - each.halfWidth);
  const above = Math.max(0, Math.abs(y - each.y) - each.halfHeight);
  // Of marks that all lie under the pointer, the one whose middle is nearest.
  return Math.hypot(beside, above) + 0.001 * Math.hypot(x - each.x, y - each.y);
}

// ---- the tip ----

let shown = null; // the chart and the mark or point of the tip
let byKey = false; // whether the keyboard moved to it
let pointer = []; // where the pointer was

function hide() {
  shown = null;
  tip.hidden = ring.hidden = true;
}

function show(chart, each) {
  shown = [chart, each];
  const [name, ...values] = each.lines;
  const heading = document.createElement("strong");
  heading.textContent = name;
  tip.replaceChildren(heading, ...values.map((line) => {
    const row = document.createElement("span");
    row.textContent = line;
    return row;
  }));
  place();
}

function place() {
  const [chart, each] = shown;
  const origin = chart.getBoundingClientRect();
  const [x, y] = [origin.left + each.x, origin.top + each.y];
  tip.hidden = ring.hidden = y < 0 || y > innerHeight; // scrolled out of the window, for now
  const { width, height } = tip.getBoundingClientRect();
  const right = document.documentElement.clientWidth - width - MARGIN;
  const top = y - each.halfHeight - height - 12;
  tip.style.left = `${Math.max(MARGIN, Math.min(right, x - width / 2))}px`;
  tip.style.top = `${top < MARGIN ? y + each.halfHeight + 12 : top}px`;
  ring.style.left = `${x}px`;
  ring.style.top = `${y}px`;
}

// ---- pointer and keyboard ----

function step(all, current, key) {
  const here = all[current];
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  if (key === "ArrowRight") return Math.min(all.length - 1, current + 1);
  if (key === "ArrowLeft") return Math.max(0, current - 1);
  const marks = [...new Set(all.map((each) => each.mark))];
  const next = marks[marks.indexOf(here.mark) + (key === "ArrowDown" ? 1 : -1)] ?? here.mark;
  const places = all.flatMap((each, index) => (each.mark === next ? [index] : []));
  const away = (index) => Math.abs(all[index].x - here.x);
  return places.reduce((best, index) => (away(index) < away(best) ? index : best));
}

function listen(chart) {
  let all = [];
  let current = 0;
  const measure = () => { all = readables(chart); current = Math.max(0, Math.min(current, all.length - 1)); };
  const read = (event) => {
    // When the page is scrolled below a pointer at rest, this is no move of the reader.
    if (event.type === "pointermove" && pointer[0] === event.clientX && pointer[1] === event.clientY) return;
    byKey = false;
    if (event.type === "pointerdown" || !all.length) measure();
    const origin = chart.getBoundingClientRect();
    const [x, y] = [event.clientX - origin.left, event.clientY - origin.top];
    const [nearest] = all
      .map((each, index) => [distance(each, x, y), index])
      .reduce((best, each) => (each[0] < best[0] ? each : best), [REACH, -1])
      .slice(1);
    if (nearest < 0) return hide();
    current = nearest;
    show(chart, all[current]);
  };
  chart.addEventListener("pointerenter", measure);
  chart.addEventListener("pointermove", read);
  chart.addEventListener("pointerdown", read);
  // A finger leaves when it is lifted: its tip stays until the next touch.
  chart.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch" && !byKey) hide();
  });
  chart.addEventListener("blur", hide);
  const reach = (index) => {
    current = index;
    byKey = true;
    show(chart, all[current]);
    all[current].mark.scrollIntoView({ block: "nearest" });
  };
  chart.addEventListener("focus", () => {
    measure();
    if (chart.matches(":focus-visible") && all.length) reach(current);
  });
  chart.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const moves = ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"];
    if (!moves.includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    measure();
    if (!all.length) return;
    event.preventDefault();
    const jumps = event.key === "Home" || event.key === "End";
    reach(shown || jumps ? step(all, current, event.key) : current);
  });
}

for (const chart of document.querySelectorAll(".chart")) {
  if (!chart.querySelector("[data-tip]")) continue;
  chart.tabIndex = 0;
  chart.setAttribute("role", "application"); // screen readers pass the arrow keys on
  chart.setAttribute("aria-roledescription", "chart");
  chart.setAttribute("aria-label", `${chart.getAttribute("aria-label")}. Arrow keys read the values.`);
  listen(chart);
}
document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".chart")) hide(); });
addEventListener("scroll", () => { if (shown) place(); }, { passive: true, capture: true });
addEventListener("resize", hide);
addEventListener("pointermove", (event) => { pointer = [event.clientX, event.clientY]; });

// ---- legends ----

function apply(figure) {
  const off = [...figure.querySelectorAll(".legend [aria-pressed=false]")];
  const hidden = (name) => new Set(off.map((key) => key.dataset[name]).filter((each) => each !== undefined));
  const [series, layers] = [hidden("series"), hidden("layer")];
  for (const mark of figure.querySelectorAll(".chart :is([data-series], [data-layer])")) {
    mark.classList.toggle("off", series.has(mark.dataset.series) || layers.has(mark.dataset.layer));
  }
}

for (const key of document.querySelectorAll(".legend :is([data-series], [data-layer])")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = key.className;
  Object.assign(button.dataset, key.dataset);
  button.setAttribute("aria-pressed", "true");
  button.append(...key.childNodes);
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
    apply(button.closest(".keyed"));
  });
  key.replaceWith(button);
}
