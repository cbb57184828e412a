// Texts and their changes, and everything that is known of one candidate.

const LONGEST = 20000; // characters of one text that are shown before the rest is asked for
const AROUND = 2; // lines of what stayed that are shown beside a change
const LINES = 400; // lines of a change that are shown before the rest is asked for

function longText(text) {
  const box = element("div", { class: "text", dir: "auto" });
  if (text.length <= LONGEST) { box.textContent = text; return box; }
  box.textContent = text.slice(0, LONGEST);
  box.append(element("button", { type: "button", onclick: () => { box.textContent = text; } }, `Show all ${count(text.length)} characters`));
  return box;
}

// Lines as [mark, text]: "+" added, "-" removed, "=" kept. Long stretches that stayed are folded away.
function diffText(lines) {
  const box = element("div", { class: "text diff", role: "group", "aria-label": "text with its changes" });
  const show = (from, to) => lines.slice(from, to).map(([mark, text]) => {
    const name = { "+": "ins", "-": "del" }[mark] ?? "div", sign = { "+": "+", "-": "−" }[mark] ?? " ";
    const more = text.length > LONGEST ? ` [… ${count(text.length - LONGEST)} characters more]` : "";
    return element(name, {}, element("span", { class: "sign" }, sign), element("span", { dir: "auto" }, text.slice(0, LONGEST) + more));
  });
  const pieces = [];
  for (let from = 0; from < lines.length;) {
    let to = from;
    while (to < lines.length && (lines[to][0] === "=") === (lines[from][0] === "=")) to += 1;
    const kept = lines[from][0] === "=", before = from ? AROUND : 0, after = to < lines.length ? AROUND : 0;
    if (kept && to - from > before + after + 3 && to - from < lines.length) {
      const inner = element("details", {}, element("summary", {}, `${count(to - from - before - after)} lines as before`));
      const [start, end] = [from + before, to - after];
      inner.addEventListener("toggle", () => inner.append(...show(start, end)), { once: true });
      pieces.push(...show(from, start), inner, ...show(end, to));
    } else pieces.push(...show(from, to));
    from = to;
  }
  if (pieces.length <= LINES) { box.append(...pieces); return box; }
  const rest = element("button", { type: "button", onclick: () => rest.replaceWith(...pieces.slice(LINES)) }, `Show ${count(pieces.length - LINES)} lines more`);
  box.append(...pieces.slice(0, LINES), rest);
  return box;
}

const CHANGES = { same: "as it was", changed: "changed", added: "added", removed: "removed", moved: "moved", "": "" };

// The name of the prompt of a program in the address of a section; "" for a prompt that stands alone.
function promptOf(address) {
  const dot = address.indexOf(".");
  return dot < 0 ? "" : address.slice(0, dot);
}

// Sections that changed stand open. Those of a program stand below the names of their prompts.
function sectionTexts(sections) {
  return sections.flatMap((section, place) => {
    const prompt = promptOf(section.section), before = place ? promptOf(sections[place - 1].section) : "";
    const name = section.section === "*" ? "order of the sections" : section.section;
    const words = [section.kind !== name && section.section !== "*" ? section.kind : "", CHANGES[section.change]].filter(Boolean).join(", ");
    const head = element("summary", {}, element("b", {}, name), words ? ` ${words}` : "");
    const body = section.lines.length ? diffText(section.lines) : soft("empty");
    const shown = element("details", { class: "section", open: section.change !== "same" && section.change !== "removed" }, head, body);
    return prompt && prompt !== before ? [element("h4", {}, `Prompt ${prompt}`), shown] : [shown];
  });
}

function showWinner() {
  part("winner-part").hidden = !doc.sections.length;
  part("winner").replaceChildren(...sectionTexts(doc.sections));
}

async function openDetail(number) {
  const dialog = part("detail");
  const title = element("h2", { id: "detail-title" }, number ? `Candidate ${number}` : "The first prompt");
  const close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const head = element("div", { class: "row" }, title, close);
  let body;
  try {
    const found = await doc.detail(number);
    body = found ? detailParts(found) : [soft(doc.elsewhere)];
  } catch {
    body = [soft("It cannot be read: the process that served this page has ended. Use: watch RUN_DIR")];
  }
  dialog.replaceChildren(head, ...body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function detailParts(found) {
  const parts = [element("p", {}, found.story)];
  if (found.parent !== null) parts.push(element("p", {}, "Parent: ", element("button", { type: "button", class: "link", onclick: () => openDetail(found.parent) }, `candidate ${found.parent}`)));
  const titled = (words, ...nodes) => parts.push(element("h3", {}, words), ...nodes);
  if (found.gradient) titled("Textual gradient that it answered", longText(found.gradient));
  if (found.sections.length) titled(found.parent === null ? "Prompt" : "Prompt, against its parent", ...sectionTexts(found.sections));
  if (found.rejected) titled("What the section would have held", longText(found.rejected));
  if (found.recalled.length) titled(`Experiences that the proposer was shown: ${found.recalled.length}`, ...found.recalled.map((id) => experience(id, found)));
  if (found.gradients.length) titled("What the critic said of it", ...found.gradients.flatMap(([name, text]) => [element("h4", {}, name), longText(text)]));
  if (found.answered) titled(`Answers on its training minibatch: ${found.answers.length} of ${found.answered}, the worst first`, ...found.answers.map(answer));
  return parts;
}

function experience(id, found) {
  const known = (found.experiences ?? doc.experiences)[id];
  if (!known) return element("p", { class: "soft" }, `Experience ${id}: no longer in the memory, or not in this file`);
  return element("details", { class: "example" },
    element("summary", {}, `${signed(known.reward)} ${known.operator} on ${whole(known.section)}`, element("span", { class: "soft" }, `, task ${known.task}, ${known.outcome}`)),
    known.gradient ? longText(known.gradient) : null, diffText(known.lines));
}

function answer(row) {
  const said = (name, text) => (text ? element("div", { class: "said" }, element("h4", {}, name), longText(text)) : null);
  return element("details", { class: "example" },
    element("summary", {}, `${row.score.toFixed(2)} ${row.example}: `, element("span", { class: "soft" }, clipped(row.reply, 80))),
    ...row.inputs.map(([name, text]) => said(name, text)), said("expected", row.target), said("reply", row.reply), said("feedback", row.feedback),
    ...(row.steps?.length ? [element("h4", {}, `What the program did: ${row.steps.length} of ${row.made} steps`), ...row.steps.map(step)] : []));
}

// A call of a program, or a note of it.
function step(row) {
  const said = (name, text) => (text ? element("div", { class: "said" }, element("h4", {}, name), longText(text)) : null);
  if (!row.prompt && !row.messages.length) return said("note", row.reply);
  const cost = `${count(row.input)} + ${count(row.output)} tokens, ${row.seconds.toFixed(2)} s`;
  return element("details", { class: "example" },
    element("summary", {}, `${row.prompt || "a call"}: `, element("span", { class: "soft" }, `${clipped(row.error || row.reply, 80)} (${cost})`)),
    ...row.values.map(([name, text]) => said(name, text)), ...row.messages.map(([speaker, text]) => said(speaker, text)),
    said("reply", row.reply), said("error", row.error));
}
