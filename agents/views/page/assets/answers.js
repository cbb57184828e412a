// What was asked and answered, and scores taken apart: a cell opens its examples.

const ROWS_FIRST = 50; // examples of a list that are shown before the rest is asked for
const MATRIX = 14; // labels that a matrix has room for; of more, the pairs are listed
const SPLITS = { test: "Test", validation: "Validation", train: "Training" };

// A box whose content is made when it is opened, since there may be thousands.
function folded(kind, head, build) {
  const box = element("details", { class: kind }, element("summary", {}, ...head));
  box.addEventListener("toggle", () => box.append(...build().filter(Boolean)), { once: true });
  return box;
}

function said(name, text) {
  return text ? element("div", { class: "said" }, element("h4", {}, name), longText(text)) : null;
}

function askedParts(found) {
  return found.asked.splits.flatMap((split) => {
    const answered = split.n - split.unanswered, none = split.unanswered ? `, and ${count(split.unanswered)} without an answer` : "";
    return [element("h3", {}, `${SPLITS[split.split]}: ${count(split.wrong)} of ${count(answered)} examples less than right${none}`),
      ...(split.rows.length < split.n ? [soft(`The worst first; ${count(split.rows.length)} of ${count(split.n)} are in this file. All of them: watch RUN_DIR`)] : [soft("The worst first.")]),
      exampleRows(split.rows, found)];
  });
}

function exampleRows(rows, found) {
  const box = element("div", {}, ...rows.slice(0, ROWS_FIRST).map((row) => exampleRow(row, found)));
  if (rows.length > ROWS_FIRST) {
    const rest = element("button", { type: "button", onclick: () => rest.replaceWith(...rows.slice(ROWS_FIRST).map((row) => exampleRow(row, found))) }, `Show ${count(rows.length - ROWS_FIRST)} more`);
    box.append(rest);
  }
  return box;
}

function exampleRow(row, found) {
  const right = row.score !== null && row.score >= 1, answer = row.answer === null ? "no answer" : clipped(row.answer, 60) || "nothing";
  const gist = row.error ? clipped(row.error, 120) : right ? clipped(row.answer ?? row.reply, 90) : `${clipped(row.target, 60)} → ${answer}`;
  const head = [element("b", { class: right ? "good" : "bad" }, row.score === null ? "–" : row.score.toFixed(2)), ` ${row.example}${row.model ? ` (${row.model})` : ""}: `, element("span", { class: "soft" }, row.ended ? `${gist} (${row.ended})` : gist), notedMark(row, found.noted)];
  return folded("example", head, () => exampleParts(row, found.asked.texts));
}

function exampleParts(row, texts) {
  const asItStands = row.answer !== null && row.answer.trim() === row.reply.trim(), cost = row.input + row.output;
  const used = cost ? `${count(row.input)} + ${count(row.output)} tokens${row.cached ? ", from the cache" : row.seconds ? `, ${row.seconds.toFixed(2)} s` : ""}` : "";
  return [...row.inputs.map(([name, text]) => said(name, text)), said("expected", row.target),
    said(asItStands ? "reply, read as it stands" : "reply", row.reply || (row.error ? "" : "(empty)")),
    asItStands || row.error ? null : said("answer that was read", row.answer ?? "none"), said("feedback", row.feedback), said("how it ended", row.ended), said("error", row.error),
    row.messages.length ? folded("messages", [`Messages as sent: ${row.messages.length}`], () => row.messages.map(([speaker, place]) => said(speaker, texts[place] || "(empty)"))) : null,
    ...(row.steps.length ? [element("h4", {}, `What the program did: ${row.steps.length} of ${row.made} steps`), ...row.steps.map(step)] : []),
    used ? soft(used) : null, labelPart(row)];
}

// A call of a program, or a note of it.
function step(row) {
  if (!row.prompt && !row.messages.length) return said("note", row.reply);
  const cost = `${count(row.input)} + ${count(row.output)} tokens, ${row.seconds.toFixed(2)} s`;
  return folded("example", [`${row.prompt || "a call"}: `, element("span", { class: "soft" }, `${clipped(row.error || row.reply, 80)} (${cost})`)],
    () => [...row.values.map(([name, text]) => said(name, text)), ...row.messages.map(([speaker, text]) => said(speaker, text)), said("reply", row.reply), said("error", row.error)]);
}

// The scores of the first prompt and of the best one, side by side.
function showParts() {
  part("parts-part").hidden = !doc.parts.length;
  part("parts").replaceChildren(...doc.parts.map(scoreParts));
}

function scoreParts(score) {
  const { labels, pairs, groups, metrics } = score, box = element("div", { class: "score" }, element("h3", {}, `The ${score.name} on ${score.split}, ${count(score.n)} examples`));
  if (groups.length) box.append(element("div", { class: "group" }, ...groups.map((group) => cell(score, group, `${count(group.n)} ${group.words}`, group.words, true))));
  if (metrics.length) box.append(table(["metric", "value"], metrics.map(([name, value]) => [name, value.toFixed(4)]), "By metric"));
  if (labels.length) box.append(scrolling(labelTable(score), "tall"));
  if (labels.length && pairs.length) box.append(labels.length > MATRIX ? scrolling(pairTable(score), "tall") : scrolling(matrix(score), ""));
  return box;
}

function scrolling(node, more) {
  return element("div", { class: `scroll ${more}` }, node);
}

// A number that opens its examples. `exact`: each example counts once.
function cell(score, { key, n }, label, words, exact) {
  if (!n || !key || !score.kept) return element("span", { class: n ? "" : "soft" }, label);
  return element("button", { type: "button", class: "cell", "aria-label": `${score.name}: ${words}, ${count(n)}`, onclick: () => openCell(score, key, words, exact ? n : null) }, label);
}

function labelTable(score) {
  const number = (of, words, exact) => element("td", { class: "number" }, cell(score, of, count(of.n), words, exact));
  const share = (value) => element("td", { class: "number" }, value.toFixed(3));
  const head = ["label", "expected", "right", "missed", "wrongly given", "precision", "recall", "F1"];
  const rows = score.labels.map((row) => element("tr", {}, element("th", { scope: "row", title: row.label }, row.label), element("td", { class: "number" }, count(row.expected)),
    number(row.same, `${row.label}, rightly answered`, true), number(row.missed, `${row.label} missed`, false), number(row.added, `${row.label} wrongly given`, false),
    share(row.precision), share(row.recall), share(row.f1)));
  return element("table", {}, element("caption", { class: "unseen" }, `Precision, recall and F1 by label of the ${score.name}`),
    element("thead", {}, element("tr", {}, ...head.map((text, place) => element("th", { scope: "col", class: place ? "number" : null }, text)))), element("tbody", {}, ...rows));
}

const arrow = (expected, answered) => `${expected} → ${answered ?? "no answer"}`;

function pairTable(score) {
  const rows = score.pairs.map((pair) => [pair.expected, pair.answered ?? "no answer", cell(score, pair, count(pair.n), arrow(pair.expected, pair.answered), true)]);
  return table(["expected", "answered instead", "times"], rows, `What the ${score.name} answered instead`);
}

// Expected down, answered across; the last column is of replies without an answer.
function matrix(score) {
  const rows = score.labels.filter((row) => row.expected), names = score.labels.map((row) => row.label);
  const of = new Map(score.pairs.map((pair) => [`${pair.expected}\n${pair.answered}`, pair]));
  const columns = score.pairs.some((pair) => pair.answered === null) ? [...names, null] : names;
  const head = element("tr", {}, element("th", { scope: "col" }, "answered →\nexpected ↓"), ...columns.map((name) => element("th", { scope: "col", class: "upright" }, name ?? "no answer")));
  const body = rows.map((row) => element("tr", {}, element("th", { scope: "row", title: row.label }, row.label), ...columns.map((name) => {
    const pair = name === row.label ? row.same : of.get(`${row.label}\n${name}`) ?? { n: 0, key: "" }, heat = Math.min(4, Math.ceil((4 * pair.n) / row.expected));
    return element("td", { class: `${name === row.label ? "hit" : "miss"} heat-${heat}` }, cell(score, pair, pair.n ? count(pair.n) : "·", arrow(row.label, name), true));
  })));
  return element("table", { class: "confusion" }, element("caption", { class: "unseen" }, `Confusion matrix of the ${score.name}`), element("thead", {}, head), element("tbody", {}, ...body));
}

function openCell(score, key, words, n) {
  return openIn(`The ${score.name}: ${words}`, async () => {
    const found = await doc.detail(score.candidate), split = found?.asked.splits.find((each) => each.split === score.split);
    const rows = (split?.rows ?? []).filter((row) => row.cells.includes(key));
    if (!rows.length) return [soft(doc.elsewhere)];
    const all = n === null || rows.length === n, some = `${count(rows.length)}${all ? "" : ` of ${count(n)}`} ${score.split} example${rows.length === 1 && all ? "" : "s"}`;
    return [soft(all ? some : `${some} are in this file. All of them: watch RUN_DIR`), exampleRows(rows, found),
      element("p", { class: "legend" }, element("button", { type: "button", class: "link", onclick: () => openDetail(score.candidate) }, `All that is known of the ${score.name}`))];
  });
}

// The whole prompt as a prompt file, to be copied.
function promptFile(text, words) {
  const box = element("textarea", { class: "text", rows: "14", readonly: true, spellcheck: "false", "aria-label": "prompt file" }), told = element("span", { class: "soft", role: "status" });
  box.value = text;
  const fold = element("details", { class: "section" }, element("summary", {}, "As a prompt file"), box);
  const button = element("button", { type: "button", class: "copy", onclick: () => copy(text, fold, box, told) }, words);
  return element("div", { class: "file" }, element("div", { class: "group" }, button, told), fold);
}

// Where the page may not write to the clipboard, the text is selected, so that a person can copy it.
async function copy(text, fold, box, told) {
  told.textContent = "";
  try {
    await navigator.clipboard.writeText(text);
    told.textContent = "Copied.";
  } catch {
    fold.open = true;
    box.focus();
    box.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { /* the words below say what to do */ }
    told.textContent = done ? "Copied." : "It is selected: copy it with Ctrl-C (on a Mac ⌘C).";
  }
}
