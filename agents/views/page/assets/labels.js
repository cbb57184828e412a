// A person corrects the expected answer of an example, as the command `label` does. The next run reads it.

// What was noted of a row's label, beside its head.
function notedMark(row, noted) {
  row.mark = element("span", { class: "noted" });
  if (noted && Object.hasOwn(noted, row.id)) row.mark.textContent = noted[row.id];
  return row.mark;
}

function labelPart(row) {
  if (!doc.targets) return null;
  return folded("relabel", ["The label is wrong…"], () => {
    if (!doc.steerable || doc.connection) return labelCommands(row);
    const box = element("div", {});
    showLabel(box, row, "");
    return [box];
  });
}

// A page without a server says what to type.
function labelCommands(row) {
  const id = /^[\w.:@%+,/-]+$/.test(row.example) ? row.example : `'${row.example.replaceAll("'", "'\\''")}'`;
  return [soft("To correct it, or to leave the example out; the next run reads it:"), element("div", { class: "text typed", tabindex: "0" }, `label CONFIG --id ${id} --target ANSWER\nlabel CONFIG --id ${id} --wrong`)];
}

// `words`: what the server said last.
async function showLabel(box, row, words) {
  let gold;
  try {
    gold = await (await fetch(address("label", { id: row.id }))).json();
  } catch {
    gold = { said: UNREACHED };
  }
  const said = element("p", { class: "soft", role: "status" }, words);
  if (gold.said !== undefined) { said.textContent = gold.said; box.replaceChildren(said); return; }
  row.mark.textContent = gold.wrong ? "label marked as wrong" : gold.noted === null ? "" : "label corrected";
  const act = async (...more) => {
    await tell(said, ["label", row.id, ...more]);
    showLabel(box, row, said.textContent);
  };
  const answer = labelField(gold, row), button = (name, label, onclick) => element("button", { type: "button", class: name, onclick }, label);
  const now = gold.wrong ? "It is marked as wrong: the next run leaves the example out." : gold.noted === null ? null : "It is corrected for the next run.";
  box.replaceChildren(...[now ? element("p", {}, now) : null,
    element("form", { class: "group", onsubmit: (event) => { event.preventDefault(); act("target", answer.value); } },
      element("label", { class: "group" }, "The right answer", answer), element("button", { class: "strong correct" }, "Correct it")),
    element("div", { class: "group" }, gold.wrong ? null : button("wrong", "Mark it as wrong", () => act("wrong")),
      now ? button("undo", `Take the data's answer again: ${clipped(gold.target, 40)}`, () => act("undo")) : null),
    gold.wrong || words ? null : soft("Marked as wrong, the example is left out of the next run."), said].filter(Boolean));
  if (words) (box.querySelector("button.undo") ?? answer).focus(); // the button that had it is gone
}

// One of a few answers is chosen, where the reply is often the right one; others are written.
function labelField(gold, row) {
  const now = gold.noted ?? gold.target;
  if (!gold.choices.length) {
    const box = element("textarea", { rows: String(Math.min(8, now.split("\n").length + 1)), class: "text" });
    box.value = now;
    return box;
  }
  const box = element("select", {}, ...gold.choices.map((choice) => element("option", {}, choice)));
  box.value = gold.noted ?? (gold.choices.includes(row.answer) ? row.answer : gold.target);
  return box;
}
