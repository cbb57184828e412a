// The survivors as a tree: who was edited into whom.

const ROWS = 60, ROW = 24; // survivors that the tree shows, with their ancestors; pixels of a row

function drawTree() {
  if (!doc.survivors.length) return soft(NOTHING_YET);
  const all = new Map(doc.survivors.map((point) => [point.assignment, point])), shown = chosen(all);
  const children = new Map([...shown].map((number) => [number, []])), roots = [];
  for (const number of [...shown].sort((a, b) => a - b)) {
    const parent = all.get(number).parent;
    (children.get(parent) ?? roots).push(number);
  }
  const rows = [];
  const walk = (number, depth, above) => {
    const row = { point: all.get(number), depth, above, place: rows.length };
    rows.push(row);
    for (const child of children.get(number)) walk(child, depth + 1, row);
  };
  for (const root of roots) walk(root, 0, null);
  const deep = Math.max(1, ...rows.map((row) => row.depth)), step = Math.min(20, 180 / deep);
  const wide = 30 + deep * step + 330, high = rows.length * ROW + 6;
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "group", "aria-label": "Survivors by descent" });
  const x = (row) => 14 + row.depth * step, y = (row) => 14 + row.place * ROW;
  const chosenLast = (row) => Number(doc.line.has(row.point.assignment)); // on top of those beside it
  for (const row of [...rows].sort((a, b) => chosenLast(a) - chosenLast(b))) {
    const line = chosenLast(row) ? "kin chosen" : "kin";
    if (row.above) svg.append(shape("path", { class: line, d: `M${x(row.above)},${y(row.above)}V${y(row)}H${x(row)}` }));
    else if (row.point.parent !== null) svg.append(shape("path", { class: "kin", d: `M${x(row) - 12},${y(row)}h12` }));
  }
  for (const row of rows) {
    const { point } = row, group = mark(point, x(row), y(row)), edit = point.operator ? `${point.operator} on ${whole(point.section)}` : "first prompt";
    group.append(shape("text", { class: "label", x: x(row) + 14, y: y(row) + 4 },
      shape("tspan", { class: "strong" }, `${point.assignment} `), `${edit} `, shape("tspan", { class: "strong" }, point.value.toFixed(3)),
      point.operator ? ` (${signed(point.gain)})` : ""));
    svg.append(group);
  }
  return keyboard(svg);
}

// The best, its lineage, the front and the latest, each with its ancestors, as far as there is room.
function chosen(all) {
  const byValue = [...all.values()].sort((a, b) => b.value - a.value).map((point) => point.assignment);
  const latest = [...all.keys()].slice(-ROWS / 3).reverse();
  const shown = new Set();
  for (const number of [...doc.line, ...doc.front, ...byValue.slice(0, ROWS / 3), ...latest, ...byValue]) {
    const chain = [];
    for (let point = all.get(number); point && !shown.has(point.assignment); point = all.get(point.parent)) chain.push(point.assignment);
    if (shown.size + chain.length > ROWS) continue;
    for (const ancestor of chain) shown.add(ancestor);
  }
  return shown;
}
