// The parts of the page that are figures and words.

const LISTED = 100; // candidates that the list shows, the latest ones

function showSummary() {
  const figures = doc.figures.map(([name, value]) => element("div", { class: "figure" }, element("dt", {}, name), element("dd", { id: name === "time" ? "clock" : null }, value)));
  part("summary").replaceChildren(element("dl", {}, ...figures), ...doc.remarks.map((line) => element("p", { class: "remark" }, line)));
}

// Operators down, sections across; the colour of a cell says what its sign says.
function showValues() {
  const host = part("values");
  if (!doc.values.length) { host.replaceChildren(soft("No edit has been measured yet.")); return; }
  const names = (key) => [...new Set(doc.values.map((cell) => cell[key]))];
  const cells = new Map(doc.values.map((cell) => [`${cell.operator}\n${cell.section}`, cell])), order = ["*", ...doc.sections.map((row) => row.section)];
  const sections = names("section").sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const head = element("tr", {}, element("th", { scope: "col" }, "operator"), ...sections.map((name) => element("th", { scope: "col" }, whole(name))));
  const rows = names("operator").map((operator) => element("tr", {}, element("th", { scope: "row" }, operator),
    ...sections.map((section) => valueCell(cells.get(`${operator}\n${section}`)))));
  host.replaceChildren(element("table", { class: "matrix" }, element("caption", { class: "unseen" }, "Mean gain of edits by operator and section"),
    element("thead", {}, head), element("tbody", {}, ...rows)),
    element("p", { class: "legend" }, "Mean gain over the parent, per example that both answered, its 95 % interval, and how many edits were measured, survived and failed. ▲ and ▼: the interval lies above or below zero."));
}

function valueCell(cell) {
  if (!cell) return element("td", { class: "empty" }, "·");
  const [low, high] = cell.interval ?? [null, null];
  const sure = low > 0 ? "up" : high !== null && high < 0 ? "down" : "even", sign = { up: "▲ ", down: "▼ ", even: "" }[sure];
  const failed = cell.failed ? `, ${count(cell.failed)} failed` : "";
  return element("td", { class: sure },
    element("b", {}, cell.gain === null ? "–" : sign + signed(cell.gain)),
    low === null ? null : element("span", {}, `${signed(low)} to ${signed(high)}`),
    element("span", {}, `${count(cell.measured)} measured, ${count(cell.survived)} survived${failed}`));
}

function showCandidates() {
  const only = part("only-survivors")?.checked ?? false, pool = only ? doc.survivors : doc.points;
  const shown = pool.slice(-LISTED).reverse();
  const rows = shown.map((point) => element("li", { class: point.kind },
    element("button", { type: "button", class: "link", onclick: () => openDetail(point.assignment) },
      element("span", { class: "number" }, String(point.assignment)), element("span", {}, describe(point)))));
  const box = element("input", { type: "checkbox", id: "only-survivors", onchange: showCandidates });
  box.checked = only;
  part("candidates").replaceChildren(
    element("div", { class: "row" }, element("label", {}, box, " survivors only"),
      element("span", { class: "soft" }, `the latest ${count(shown.length)} of ${count(only ? pool.length : doc.total)}`)),
    element("ol", { class: "list tall", tabindex: "0", "aria-label": "Candidates, the latest first" }, ...rows));
}

function showRoles() {
  const dollars = (role) => (role.dollars === null ? "unknown" : `$${role.dollars.toFixed(4)}`);
  const latency = (role) => (role.latency === null ? "" : `${role.latency < 0.1 ? (role.latency * 1000).toFixed(1) + " ms" : role.latency.toFixed(2) + " s"}`);
  const rows = doc.roles.map((role) => [role.role, role.model, role.calls, role.failed, role.input, role.cached, role.output, role.estimated, dollars(role), latency(role)]);
  part("roles").replaceChildren(rows.length
    ? table(["role or operator", "model", "calls", "failed tries", "tokens in", "of them cached", "tokens out", "estimated", "cost", "mean latency"], rows, "Calls by role")
    : soft("No call has been made yet."));
}

function showFailures() {
  const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0), tries = sum(doc.roles, "failed");
  const reasons = (failure) => element("div", {}, ...failure.reasons.map(([reason, times]) => element("div", {}, failure.count > 1 ? `${count(times)} × ${reason}` : reason)),
    failure.count > sum(failure.reasons, 1) ? element("div", { class: "soft" }, `${count(failure.count - sum(failure.reasons, 1))} × other reasons`) : null);
  const groups = [...new Set(doc.failures.map((failure) => failure.group))].map((group) => doc.failures.filter((failure) => failure.group === group));
  const rows = groups.flatMap((group) => [[element("b", {}, group[0].group), element("b", {}, count(sum(group, "count"))), ""],
    ...group.map((failure) => [element("span", { class: "inner" }, failure.kind), failure.count, reasons(failure)])]);
  const edits = sum(doc.failures, "count"), words = [edits ? `${count(edits)} edit${edits === 1 ? "" : "s"} ended without an evaluation.` : "",
    tries ? `${count(tries)} tries of calls failed (see Cost and latency); a call that was answered when it was tried again fails no edit.` : ""].filter(Boolean).join(" ");
  part("failures").replaceChildren(words ? soft(words) : soft("Nothing."), ...(rows.length ? [scrolling(table(["what", "edits", "why"], rows, "Failures by kind"), "")] : []));
}

function showExamples() {
  part("examples-part").hidden = !doc.examples;
  if (!doc.examples) return;
  const { gained, lost, changed } = doc.examples, known = new Map(changed.map((row) => [row.example, row]));
  const list = (words, sign, ids) => element("div", {},
    element("h3", {}, `${count(ids.length)} ${words}`),
    element("div", { class: "tall" }, ...ids.map((id) => changedExample(sign, id, known.get(id)))));
  part("examples").replaceChildren(list("gained", "+", gained), list("lost", "−", lost));
}

function changedExample(sign, id, row) {
  if (!row) return element("p", { class: "example plain" }, `${sign} ${id}`);
  const [before, after] = row.replies;
  const said = (name, text) => element("div", { class: "said" }, element("h4", {}, name), longText(text));
  return element("details", { class: "example" },
    element("summary", {}, `${sign} ${id}: `, element("span", { class: "soft" }, clipped(Object.values(row.inputs).join(" · "), 90))),
    ...Object.entries(row.inputs).map(([name, text]) => said(name, text)), said("expected", row.target),
    said(`first prompt: score ${row.scores[0].toFixed(2)}`, before), said(`best prompt: score ${row.scores[1].toFixed(2)}`, after));
}

function clipped(text, most) {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}
