// The document is in the page (a report), or comes from the server that served the page (a dashboard).

const doc = {
  title: "", state: { phase: "", words: "" }, waiting: "", connection: "", figures: [], remarks: [], points: [], survivors: [], total: 0, best: null, lineage: [],
  line: new Set(), front: new Set(), held: null, examples: null, values: [], roles: [], failures: [], sections: [], parts: [], experiences: {},
  agents: null, flows: {}, seconds: 0, ticks: 0, reviews: [], steerable: false, settings: [], editable: [], prompt: null, targets: true,
  elsewhere: "Its messages are not in this file. To see them: watch RUN_DIR",
};
const REST = 400, SHARE = 8; // milliseconds between two drawings, and at least so many times as long as one took
const changed = new Set(); // fields that have changed since they were drawn
let waiting = false, drawn = 0;

function follow(change, anew = Boolean(change.begin)) {
  if (anew) doc.points = [];
  for (const [name, value] of Object.entries(change)) {
    if (!anew && (name === "points" ? !value.length : JSON.stringify(doc[name]) === JSON.stringify(value))) continue;
    if (name === "points") for (const point of value) doc.points.push(point);
    else doc[name] = value;
    changed.add(name);
    if (name === "best" || name === "lineage") changed.add("points");
  }
}

function relate() {
  doc.survivors = doc.points.filter((point) => point.value !== null);
  doc.line = new Set(doc.lineage);
  doc.front = new Set();
  let best = -Infinity;
  const length = (point) => point.value > 0 ? point.tokens : Number.MAX_VALUE; // at 0, length counts for nothing
  for (const point of [...doc.survivors].sort((a, b) => length(a) - length(b) || b.value - a.value)) {
    if (point.value > best) doc.front.add(point.assignment);
    best = Math.max(best, point.value);
  }
}

function drawTop() {
  document.title = `${doc.title} · PromptFlow`;
  document.documentElement.dataset.phase = doc.state.phase;
  const words = [doc.state.words, doc.waiting, doc.connection].filter(Boolean).join(" ");
  if (part("title").textContent !== doc.title) part("title").textContent = doc.title;
  if (part("state").textContent !== words) part("state").textContent = words;
  showSummary();
  if (doc.ticks) tick();
  showControls();
  showRing();
}

function drawChart(id, drawIt, words) {
  const host = part(id), focused = host.contains(document.activeElement) ? document.activeElement.dataset.candidate : undefined;
  host.replaceChildren(drawIt(host.clientWidth), element("p", { class: "legend" }, words));
  if (focused !== undefined) host.querySelector(`[data-candidate="${focused}"]`)?.focus();
}

const MARKS = "■ first prompt, ● survivor, ◆ the best, × lost its race (its parent's value and its paired gain)";
const DRAWINGS = [
  [["points"], relate],
  [["reviews"], showReviews],
  [[], drawTop],
  [["points", "held"], () => drawChart("curve", drawCurve, `${MARKS}. Heavy line: the best so far; thin lines: from parent to child.`
    + (doc.held ? " Dashed: both prompts on the test split; band: 95 % interval of the best prompt's gain there, above the first prompt." : ""))],
  [["points"], () => drawChart("plane", drawPlane, `${MARKS}. Ringed: no other is both shorter and better.`)],
  [["values"], showValues],
  [["roles", "failures"], () => { showRoles(); showFailures(); }],
  [["points"], () => drawChart("tree", drawTree, "")],
  [["points"], () => { if (!part("candidates").contains(document.activeElement)) showCandidates(); }],
  [["parts"], showParts],
  [["sections", "prompt"], showWinner],
  [["examples"], showExamples],
];

// Each part is a task of its own, so that none keeps the page from answering.
function draw(fields = null, left = null) {
  left ??= DRAWINGS.filter(([of]) => !of.length || fields === null || of.some((name) => fields.has(name)));
  if (!left.length) { hintScrolling(); waiting = false; if (changed.size) drawSoon(); return; }
  const start = performance.now();
  try {
    left[0][1]();
  } finally { // whatever one part meets, the others are drawn
    drawn += performance.now() - start;
    setTimeout(() => draw(null, left.slice(1)), 0);
  }
}

function drawSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => { drawn = 0; const fields = new Set(changed); changed.clear(); draw(fields); }, Math.max(REST, drawn * SHARE));
}

// What is wider than its place says so, and can be scrolled with the keys.
function hintScrolling() {
  for (const box of document.querySelectorAll(".scroll")) {
    const wider = box.scrollWidth > box.clientWidth + 1;
    if (box.classList.toggle("wider", wider)) box.setAttribute("tabindex", "0");
    else box.removeAttribute("tabindex");
  }
}

function drawAnew() {
  for (const name of ["points", "values"]) changed.add(name);
  drawSoon();
}

function begin() {
  let wide = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; drawAnew(); } });
  const embedded = part("data").textContent;
  if (!embedded.trim()) { listen(); return; }
  follow(JSON.parse(embedded), true);
  part("data").remove();
  doc.detail = async (number) => doc.details[number] ?? null;
  changed.clear();
  waiting = true;
  setTimeout(draw, 0);
}

begin();
