// A dashboard: the server sends what has changed, and takes commands.

const token = new URLSearchParams(location.search).get("token") ?? "";

function address(path, more = {}) {
  return `${path}?${new URLSearchParams({ token, ...more })}`;
}

function listen() {
  doc.detail = async (number) => (await fetch(address(`candidate/${number}`))).json();
  doc.elsewhere = "Nothing is known of this candidate.";
  const events = new EventSource(address("events"));
  events.onmessage = (event) => {
    const change = JSON.parse(event.data), before = doc.flows;
    since = performance.now() - change.age * 1000;
    follow(change);
    drawSoon();
    if (!change.begin) moveDots(before, doc.flows);
  };
  doc.ticks = setInterval(tick, 1000);
  let over = false;
  events.addEventListener("end", () => { over = true; connection("The process that served this page has ended; the page stays as it was."); });
  events.onopen = () => connection("");
  events.onerror = () => {
    if (over) events.close(); // the server has said all and closed the stream
    else connection(events.readyState === EventSource.CLOSED ? "The connection is lost." : "The connection is lost; trying again.");
  };
}

let since = 0; // when, on the page's own clock, the run wrote the record that `doc.seconds` is of

// The run's clock counts on between messages, as long as the run works.
function tick() {
  const shown = part("clock");
  if (!shown || doc.connection || !["beginning", "searching", "stopping", "testing"].includes(doc.state.phase)) return;
  const all = Math.floor(doc.seconds + (performance.now() - since) / 1000), two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  shown.textContent = hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

function connection(words) {
  follow({ connection: words });
  drawSoon();
}

const UNREACHED = "The run could not be reached.";

// Gives a command; `said` shows the answer. Returns whether it was obeyed.
async function tell(said, words) {
  said.textContent = "…";
  try {
    const answer = await fetch(address("command"), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ words }) });
    said.textContent = (await answer.json()).said;
    return answer.ok;
  } catch {
    said.textContent = UNREACHED;
    return false;
  }
}

function command(...words) {
  return tell(part("said"), words);
}

function showControls() {
  const host = part("controls"), { phase } = doc.state, steerable = Boolean(doc.steerable) && !doc.connection && ["beginning", "searching", "paused", "stopping"].includes(phase);
  host.hidden = !steerable;
  if (!steerable) return;
  if (!host.firstChild) buildControls(host);
  part("pause").textContent = phase === "paused" ? "Resume" : "Pause";
  part("pause").disabled = part("stop").disabled = phase === "stopping";
}

// Edits that have won their races and wait for a person; drawn anew only if others wait, so that a click is not lost.
function showReviews() {
  const host = part("reviews"), waits = doc.reviews ?? [], key = waits.map((one) => one.assignment).join(" ");
  part("reviews-part").hidden = !waits.length;
  if (host.dataset.waits === key) return;
  host.dataset.waits = key;
  host.replaceChildren(...waits.map(review));
}

function review(one) {
  const number = String(one.assignment), said = element("span", { class: "soft", role: "status" });
  const decide = async (...words) => {
    accept.disabled = reject.disabled = true; // a second click would be refused
    accept.disabled = reject.disabled = await tell(said, words);
  };
  const accept = element("button", { type: "button", class: "strong accept", "aria-label": `Accept candidate ${number}`, onclick: () => decide("accept", number) }, "Accept");
  const reject = element("button", { type: "button", class: "reject", "aria-label": `Reject candidate ${number}`, onclick: () => askWhy(number, (why) => decide("reject", number, why)) }, "Reject…");
  return element("article", { "data-candidate": number },
    element("p", {}, element("button", { type: "button", class: "link", onclick: () => openDetail(one.assignment) }, `${number}  ${one.summary}`)),
    ...one.sections.map((row) => element("div", {}, element("h3", {}, whole(row.section)), diffText(row.lines))),
    element("div", { class: "group" }, accept, reject, said));
}

function askWhy(candidate, act) {
  const why = element("textarea", { rows: "4", class: "text", "aria-label": "why", id: "why", oninput: () => { part("do").disabled = !why.value.trim(); } });
  openDialog(`Reject candidate ${candidate}?`, [element("p", {}, "Why? Later edits of the section are told it."), why], "Reject it", () => act(why.value.trim()));
  part("do").disabled = true; // until there is a reason
}

function buildControls(host) {
  const button = (id, label, onclick) => element("button", { type: "button", id, onclick }, label);
  const choice = (id, label, names) => element("select", { id, "aria-label": label }, ...names.map((name) => element("option", {}, name)));
  const setting = choice("setting", "setting", doc.settings), section = choice("section", "section", doc.editable);
  const value = element("input", { id: "value", placeholder: "new value", "aria-label": "new value", size: 9, autocomplete: "off" });
  const group = (...nodes) => element("span", { class: "group" }, ...nodes);
  host.append(
    group(button("pause", "Pause", () => command(doc.state.phase === "paused" ? "resume" : "pause")), button("stop", "Stop…", askToStop)),
    element("form", { class: "group", onsubmit: (event) => { event.preventDefault(); command("set", setting.value, value.value.trim()); } }, setting, value, element("button", { id: "set" }, "Set")),
    group(section, button("freeze", "Freeze", () => command("freeze", section.value))),
    group(button("inject", "Put in a prompt…", openInjection)),
    element("span", { id: "said", class: "soft", role: "status" }));
}

function openDialog(title, nodes, doing, act) {
  const dialog = part("detail"), close = () => dialog.close();
  const go = element("button", { type: "button", class: "strong", id: "do", onclick: () => { close(); act(); } }, doing);
  dialog.replaceChildren(element("h2", { id: "detail-title" }, title), ...nodes,
    element("div", { class: "row" }, go, element("button", { type: "button", onclick: close }, "Cancel")));
  dialog.showModal();
}

function askToStop() {
  openDialog("Stop the search?", [element("p", {}, "What is in flight ends, the test split is read, and the run has its result.")], "Stop the search", () => command("stop"));
}

// A prompt that was edited by hand, in the form of a prompt file.
function openInjection() {
  const text = element("textarea", { rows: "16", class: "text", "aria-label": "prompt file", spellcheck: "false", id: "prompt" });
  text.value = doc.prompt ?? "";
  openDialog("A candidate of your own", [element("p", {}, "Edit the best prompt so far. It is evaluated like any other candidate."), text], "Put it in", () => command("inject", text.value));
}
