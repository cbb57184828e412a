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
  const first = element("button", { type: "button", class: "link", onclick: () => openDetail(0) }, "The first prompt, whole");
  part("winner").replaceChildren(...(doc.prompt ? [promptFile(doc.prompt, "Copy the best prompt")] : []), element("p", {}, first), ...sectionTexts(doc.sections));
}

// The dialog, with a title and what `load` finds for it.
async function openIn(title, load) {
  const dialog = part("detail"), close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
  let body;
  try {
    body = await load();
  } catch {
    body = [soft("It cannot be read: the process that served this page has ended. Use: watch RUN_DIR")];
  }
  dialog.replaceChildren(element("div", { class: "row" }, element("h2", { id: "detail-title" }, title), close), ...body);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function openDetail(number) {
  return openIn(number ? `Candidate ${number}` : "The first prompt", async () => {
    const found = await doc.detail(number);
    return found ? detailParts(found) : [soft(doc.elsewhere)];
  });
}

function detailParts(found) {
  const parts = [element("p", {}, found.summary)];
  if (found.parent !== null) parts.push(element("p", {}, "Parent: ", element("button", { type: "button", class: "link", onclick: () => openDetail(found.parent) }, found.parent ? `candidate ${found.parent}` : "the first prompt")));
  const titled = (words, ...nodes) => parts.push(element("h3", {}, words), ...nodes);
  if (found.file) parts.push(promptFile(found.file, "Copy the prompt"));
  else if (found.file === null) parts.push(soft("The prompt is too long for this file. To copy it: watch RUN_DIR"));
  if (found.gradient) titled("Textual gradient that it answered", longText(found.gradient));
  if (found.sections.length) titled(found.parent === null ? "Prompt" : "Prompt, against its parent", ...sectionTexts(found.sections));
  if (found.rejected) titled("What the section would have held", longText(found.rejected));
  parts.push(...askedParts(found));
  if (found.gradients.length) titled("What the critic said of it", ...found.gradients.flatMap(([name, text]) => [element("h4", {}, name), longText(text)]));
  if (found.recalled.length) titled(`Experiences that the proposer was shown: ${found.recalled.length}`, ...found.recalled.map((id) => experience(id, found)));
  return parts;
}

function experience(id, found) {
  const known = (found.experiences ?? doc.experiences)[id];
  if (!known) return element("p", { class: "soft" }, `Experience ${id}: no longer in the memory, or not in this file`);
  return element("details", { class: "example" },
    element("summary", {}, `${signed(known.reward)} ${known.operator} on ${whole(known.section)}`, element("span", { class: "soft" }, `, task ${known.task}, ${known.outcome}`)),
    known.gradient ? longText(known.gradient) : null, diffText(known.lines));
}
