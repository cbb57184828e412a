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
    part(`load-${kind}`).textContent = load(busy, own.every((agent) => agent.waiting !== null) ? own.reduce((sum, agent) => sum + agent.waiting, 0) : null);
  }
  for (const name of Object.keys(HOPS)) part(`hop-${name}`).textContent = `${name} ${count(doc.flows[name] ?? 0)}`;
  showMailboxes();
}

function load(busy, waiting) {
  return waiting === null ? `${busy} at work` : `${busy} at work, ${waiting} waiting`;
}

function showMailboxes() {
  const most = Math.max(4, ...doc.agents.map((agent) => agent.busy + (agent.waiting ?? 0)));
  part("mailboxes").replaceChildren(...doc.agents.map((agent) => {
    const busy = (agent.busy / most) * 120, waiting = ((agent.waiting ?? 0) / most) * 120;
    return element("div", { class: "mailbox" }, element("span", {}, agent.address.replace("proposer/", "")),
      shape("svg", { viewBox: "0 0 120 10", width: 120, height: 10, "aria-hidden": "true" }, shape("rect", { class: "track", width: 120, height: 10, rx: 2 }),
        shape("rect", { class: "busy", width: busy, height: 10, rx: 2 }), shape("rect", { class: "waiting", x: busy, width: waiting, height: 10, rx: 2 })),
      element("span", { class: "soft" }, load(agent.busy, agent.waiting)));
  }));
}

function drawRing(wide) {
  const high = wide < 480 ? 250 : 280, box = wide < 480 ? [98, 46] : [144, 50];
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "img", "aria-label": "Controller, proposers, evaluator and critic in a ring" });
  const at = (kind) => [Math.min(wide - box[0] / 2 - 2, Math.max(box[0] / 2 + 2, NODES[kind][0] * wide)), NODES[kind][1] * high];
  for (const [name, [from, to]] of Object.entries(HOPS)) {
    const [a, b] = at(from), [c, d] = at(to), [left, top] = [a === wide / 2 ? c : a, a === wide / 2 ? b : d];
    const bend = `M${a},${b}Q${left},${top} ${c},${d}`;
    const label = [left + (left < wide / 2 ? 10 : -10), top + (top < high / 2 ? 4 : 4)];
    svg.append(shape("path", { class: "wire", id: `wire-${name}`, d: bend }),
      shape("text", { id: `hop-${name}`, x: label[0] + (left < wide / 2 ? -box[0] / 2 : box[0] / 2), y: label[1], "text-anchor": left < wide / 2 ? "start" : "end" }, name));
  }
  svg.append(shape("g", { id: "dots" }));
  for (const kind of Object.keys(NODES)) {
    const [x, y] = at(kind);
    svg.append(shape("g", { class: "agent", id: `agent-${kind}` },
      shape("rect", { x: x - box[0] / 2, y: y - box[1] / 2, width: box[0], height: box[1], rx: 9 }),
      shape("text", { class: "strong", x, y: y - 3, "text-anchor": "middle" }, kind === "proposer" ? "proposers" : kind),
      shape("text", { id: `load-${kind}`, x, y: y + 14, "text-anchor": "middle" }, "")));
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
