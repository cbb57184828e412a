// Candidates as points: a first prompt is a square, a survivor a circle, the best a diamond, a loser a cross.

const OPENED = 40; // survivors that a click on their mark opens: the latest, the first,
const NOTED = 60; // and of the front and the best's lineage the latest
const DRAWN = 400; // others that are drawn, the latest, and losers

function kindOf(point) {
  if (point.kind === "first") return "first";
  return point.assignment === doc.best ? "best" : "survived";
}

function describe(point) {
  if (point.kind === "first") return `first prompt: value ${point.value.toFixed(3)}`;
  const edit = `${point.operator} on ${whole(point.section)}`;
  if (point.kind === "survived") return `${edit}: ${signed(point.gain)} ± ${point.error.toFixed(3)}, value ${point.value.toFixed(3)}`;
  if (point.kind === "lost") return `${edit}: lost its race, ${signed(point.gain)} on ${point.paired} examples`;
  return `${edit}: ${point.kind}: ${point.reason}`;
}

// Those with a mark of their own, and the others, which are one shape together: a page of thousands of marks is slow.
function divided() {
  const latest = doc.survivors.length - OPENED, own = [], others = [];
  let room = NOTED;
  for (let place = doc.survivors.length - 1; place >= 0; place -= 1) {
    const point = doc.survivors[place], noted = doc.front.has(point.assignment) || doc.line.has(point.assignment);
    const marked = place >= latest || point.kind === "first" || point.assignment === doc.best || (noted && room-- > 0);
    (marked ? own : others).unshift(point);
  }
  return [own, others.slice(-DRAWN), doc.points.filter((point) => point.kind === "lost" && point.estimate !== null).slice(-DRAWN)];
}

function mark(point, x, y) {
  const kind = kindOf(point), size = kind === "best" ? 5 : kind === "first" ? 4.5 : 3.6;
  const label = `Candidate ${point.assignment}. ${describe(point)}, ${count(point.tokens)} tokens`;
  const drawn = shape("path", { class: `mark ${kind}`, d: outline(kind, x, y, size) });
  const ring = doc.front.has(point.assignment) ? shape("path", { class: "ring", d: outline("survived", x, y, 9) }) : null;
  return shape("g", { class: "point", tabindex: "-1", role: "button", "aria-label": label, "data-candidate": point.assignment },
    shape("circle", { class: "halo", cx: x, cy: y, r: 12 }), ring, drawn);
}

function together(kind, points, xOf, yOf, size) {
  return shape("path", { class: `mark ${kind}`, d: points.map((point) => outline(kind, +xOf(point).toFixed(1), +yOf(point).toFixed(1), size)).join("") });
}

function steps(points, xOf, yOf, end) {
  let path = "";
  for (const point of points) path += path ? `H${xOf(point)}V${yOf(point)}` : `M${xOf(point)},${yOf(point)}`;
  return path && end !== undefined ? `${path}H${end}` : path;
}

const LEAST = 0.1, FEWEST = 20; // the least of an axis of values, and of one of tokens, so that one point has an axis, too
const NOTHING_YET = "No candidate has been evaluated in full yet.";

// Value against calls, with lineage, the best so far, and the held-out result.
function drawCurve(wide) {
  const [own, others, lost] = divided(), held = doc.held;
  if (!own.length) return soft(NOTHING_YET);
  const values = [...own, ...others, ...lost].map((point) => point.value ?? point.estimate);
  if (held) values.push(held.first, held.first + held.interval[0], held.first + held.interval[1]);
  const last = Math.max(1, doc.points[doc.points.length - 1].calls);
  const paper = frame(wide, "Value against calls", [0, last * 1.02], range(values, LEAST), "calls to models", "validation value");
  const { svg, x, y } = paper, xOf = (point) => x(point.calls), yOf = (point) => y(point.value ?? point.estimate);
  if (held) {
    const low = y(held.first + held.interval[0]), top = y(held.first + held.interval[1]);
    svg.append(shape("rect", { class: "band", x: paper.left, width: paper.right - paper.left, y: top, height: Math.max(1, low - top) }));
    for (const value of [held.first, held.best]) svg.append(shape("line", { class: "held", x1: paper.left, x2: paper.right, y1: y(value), y2: y(value) }));
  }
  svg.append(together("lost", lost, xOf, yOf, 2.5), kin(own, xOf, yOf), together("survived", others, xOf, yOf, 3));
  const best = doc.survivors.filter((point) => point.best);
  svg.append(shape("path", { class: "best-line", d: steps(best, xOf, yOf, x(last)) }));
  svg.append(...own.map((point) => mark(point, xOf(point), yOf(point))));
  if (held) {
    svg.append(shape("text", { class: "note", x: paper.left + 6, y: y(held.best) - 6, "text-anchor": "start" }, `test, best prompt: ${held.best.toFixed(3)}`),
      shape("text", { class: "note", x: paper.right - 2, y: y(held.first) + 15, "text-anchor": "end" }, `test, first prompt: ${held.first.toFixed(3)}`));
  }
  return keyboard(svg);
}

// Lines from parents to children; those that lead to the best stand out.
function kin(survivors, xOf, yOf) {
  const place = new Map(survivors.map((point) => [point.assignment, point])), paths = { plain: "", chosen: "" };
  for (const point of survivors) {
    const parent = place.get(point.parent);
    if (parent) paths[doc.line.has(point.assignment) ? "chosen" : "plain"] += `M${xOf(parent)},${yOf(parent)}L${xOf(point)},${yOf(point)}`;
  }
  return shape("g", {}, shape("path", { class: "kin", d: paths.plain }), shape("path", { class: "kin chosen", d: paths.chosen }));
}

// Value and tokens, with the front of those that no other beats in both.
function drawPlane(wide) {
  const [own, others, lost] = divided(), all = [...own, ...others, ...lost];
  if (!own.length) return soft(NOTHING_YET);
  const { svg, x, y } = frame(wide, "Value and tokens", range(all.map((point) => point.tokens), FEWEST), range(all.map((point) => point.value ?? point.estimate), LEAST),
    "tokens of the prompt", "validation value");
  const xOf = (point) => x(point.tokens), yOf = (point) => y(point.value ?? point.estimate);
  const front = doc.survivors.filter((point) => doc.front.has(point.assignment)).sort((a, b) => a.tokens - b.tokens);
  svg.append(together("lost", lost, xOf, yOf, 2.5), together("survived", others, xOf, yOf, 3), shape("path", { class: "front-line", d: steps(front, xOf, yOf) }));
  svg.append(...own.map((point) => mark(point, xOf(point), yOf(point))));
  return keyboard(svg);
}

// One stop of the tab key for a drawing; arrow keys go from point to point, Enter opens one.
function keyboard(svg) {
  const marks = [...svg.querySelectorAll(".point")];
  if (marks.length) marks[marks.length - 1].setAttribute("tabindex", "0");
  const told = (event) => event.target.closest?.(".point");
  svg.addEventListener("click", (event) => { const point = told(event); if (point) openDetail(Number(point.dataset.candidate)); });
  svg.addEventListener("pointerover", (event) => showTip(told(event)));
  svg.addEventListener("pointerleave", () => showTip(null));
  svg.addEventListener("focusin", (event) => showTip(told(event)));
  svg.addEventListener("focusout", () => showTip(null));
  svg.addEventListener("keydown", (event) => {
    const place = marks.indexOf(document.activeElement), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (place < 0) return;
    if (step) marks[Math.min(marks.length - 1, Math.max(0, place + step))].focus();
    else if (event.key === "Enter" || event.key === " ") openDetail(Number(marks[place].dataset.candidate));
    else return;
    event.preventDefault();
  });
  return svg;
}

function showTip(point) {
  const tip = part("tip");
  tip.hidden = !point;
  if (!point) return;
  tip.textContent = point.getAttribute("aria-label");
  const place = point.getBoundingClientRect(), room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(room, place.left + place.width / 2 - tip.offsetWidth / 2))}px`;
  tip.style.top = `${place.top > tip.offsetHeight + 12 ? place.top - tip.offsetHeight - 4 : place.bottom + 4}px`;
}
