// The ring: who says what to whom, and how much waits for each.

const NODES = { controller: [0.16, 0.5], proposer: [0.5, 0.16], evaluator: [0.84, 0.5], critic: [0.5, 0.84] };
const HOPS = { Assignment: ["controller", "proposer"], Candidate: ["proposer", "evaluator"], Evaluation: ["evaluator", "critic"], Critique: ["critic", "controller"] };
const DOTS = { Assignment: "first", Candidate: "survived", Evaluation: "best", Critique: "triangle" };
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const MOST_DOTS = 4; // of one kind that are set off at once

function showRing() {
  part("ring-part").hidden = !doc.agents;
  if (!doc.agents) return;
  const host = part("ring"), wide = Math.min(640, host.clientWidth);
  if (host.dataset.wide !== String(wide)) {
    host.dataset.wide = String(wide);
    host.replaceChildren(drawRing(wide), element("div", { id: "mailboxes" }));
  }
  for (const kind of Object.keys(NODES)) {
    const own = doc.agents.filter((agent) => agent.address.split("/")[0] === kind), busy = own.reduce((sum, agent) => sum + agent.busy, 0);
    part(`agent-${kind}`).classList.toggle("busy", busy > 0);
    part(`busy-${kind}`).textContent = `${busy} at work`;
    part(`waiting-${kind}`).textContent = own.some((agent) => agent.waiting === null) ? "" : `${own.reduce((sum, agent) => sum + agent.waiting, 0)} waiting`;
  }
  for (const name of Object.keys(HOPS)) part(`hop-${name}`).textContent = `${name} ${count(doc.flows[name] ?? 0)}`;
  showMailboxes();
}

// Who works on how many messages; how many wait for it is known in the process of the search alone.
function showMailboxes() {
  const known = doc.agents.every((agent) => agent.waiting !== null), number = (value) => element("span", { class: "number" }, value === null ? "" : count(value));
  const most = Math.max(4, ...doc.agents.map((agent) => agent.busy + (agent.waiting ?? 0)));
  const head = element("div", { class: "mailbox soft" }, element("span", {}, "agent"), element("span", {}), element("span", { class: "number" }, "at work"),
    element("span", { class: "number" }, known ? "waiting" : ""));
  part("mailboxes").replaceChildren(head, ...doc.agents.map((agent) => {
    const busy = (agent.busy / most) * 100, waiting = ((agent.waiting ?? 0) / most) * 100;
    return element("div", { class: "mailbox" }, element("span", {}, agent.address.replace("proposer/", "")),
      shape("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", height: 10, "aria-hidden": "true" }, shape("rect", { class: "track", width: 100, height: 10 }),
        shape("rect", { class: "busy", width: busy, height: 10 }), shape("rect", { class: "waiting", x: busy, width: waiting, y: 3, height: 4 })),
      number(agent.busy), number(agent.waiting));
  }));
}

function drawRing(wide) {
  const high = wide < 480 ? 260 : 280, box = wide < 480 ? [92, 60] : [132, 62];
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "img", "aria-label": "Controller, proposers, evaluator and critic in a ring" });
  const at = (kind) => [Math.min(wide - box[0] / 2 - 2, Math.max(box[0] / 2 + 2, NODES[kind][0] * wide)), NODES[kind][1] * high];
  for (const [name, [from, to]] of Object.entries(HOPS)) {
    const [a, b] = at(from), [c, d] = at(to), [left, top] = [a === wide / 2 ? c : a, a === wide / 2 ? b : d];
    const bend = `M${a},${b}Q${left},${top} ${c},${d}`;
    const near = left < wide / 2, edge = near ? 2 : wide - 2;
    svg.append(shape("path", { class: "wire", id: `wire-${name}`, d: bend }), shape("path", { class: "dot", d: outlineOf(name), transform: `translate(${near ? 8 : wide - 8},${top})` }),
      shape("text", { id: `hop-${name}`, x: near ? edge + 14 : edge - 14, y: top + 4, "text-anchor": near ? "start" : "end" }, name));
  }
  svg.append(shape("g", { id: "dots" }));
  for (const kind of Object.keys(NODES)) {
    const [x, y] = at(kind);
    svg.append(shape("g", { class: "agent", id: `agent-${kind}` },
      shape("rect", { x: x - box[0] / 2, y: y - box[1] / 2, width: box[0], height: box[1], rx: 9 }),
      shape("text", { class: "strong", x, y: y - 11, "text-anchor": "middle" }, kind === "proposer" ? "proposers" : kind),
      shape("text", { id: `busy-${kind}`, x, y: y + 6, "text-anchor": "middle" }, ""),
      shape("text", { id: `waiting-${kind}`, x, y: y + 21, "text-anchor": "middle" }, "")));
  }
  return svg;
}

function outlineOf(name) {
  return DOTS[name] === "triangle" ? "M0,-5L5,4L-5,4Z" : outline(DOTS[name], 0, 0, DOTS[name] === "best" ? 3.5 : 4);
}

// A few dots for each kind of message that has come since the last time; none where motion is unwelcome.
function moveDots(before, after) {
  const layer = part("dots");
  if (!layer || STILL.matches || document.hidden) return;
  for (const name of Object.keys(HOPS)) {
    const came = Math.min(MOST_DOTS, (after[name] ?? 0) - (before[name] ?? 0)), wire = part(`wire-${name}`), length = came > 0 ? wire.getTotalLength() : 0;
    const frames = Array.from({ length: came > 0 ? 11 : 0 }, (_, step) => wire.getPointAtLength((length * step) / 10)).map(({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` }));
    for (let number = 0; number < came; number += 1) {
      const dot = shape("path", { class: "dot", d: outlineOf(name) });
      layer.append(dot);
      dot.animate(frames, { duration: 900, delay: number * 120, easing: "ease-in-out", fill: "both" }).onfinish = () => dot.remove();
    }
  }
}
