// From figures to places on paper.

const LEFT = 46, RIGHT = 14, TOP = 22, BOTTOM = 40;

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// `whole`: only at whole numbers.
function ticks(low, high, wanted, whole = false) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= raw && (size >= 1 || !whole)) ?? Math.max(raw, whole ? 1 : 0);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step / 1e6; place += 1) found.push(place * step);
  return found;
}

function short(value) {
  if (Math.abs(value) >= 1e6) return `${+(value / 1e6).toFixed(2)}M`;
  if (Math.abs(value) >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  return String(+value.toFixed(3));
}

// What an axis spans: the values, with some room around them, and at least `least`; below 0 only where a value is.
function range(values, least, share = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const room = Math.max((high - low) * share, (least - (high - low)) / 2), floor = Math.max(Math.min(low, 0), low - room);
  return [floor, Math.max(high + room, floor + least)];
}

// Axes in the pixels that there are, so that letters have their size on every screen.
function frame(wide, label, xs, ys, xName, yName) {
  const high = Math.round(Math.min(340, Math.max(230, wide * 0.52)));
  const x = scale(xs[0], xs[1], LEFT, wide - RIGHT), y = scale(ys[0], ys[1], high - BOTTOM, TOP);
  const svg = shape("svg", { viewBox: `0 0 ${wide} ${high}`, width: wide, height: high, role: "group", "aria-label": label });
  for (const tick of ticks(ys[0], ys[1], 5)) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(tick), y2: y(tick) }),
      shape("text", { x: LEFT - 7, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  for (const tick of ticks(xs[0], xs[1], Math.max(2, Math.floor(wide / 90)), true)) {
    svg.append(shape("line", { class: "axis", x1: x(tick), x2: x(tick), y1: high - BOTTOM, y2: high - BOTTOM + 4 }),
      shape("text", { x: x(tick), y: high - BOTTOM + 17, "text-anchor": "middle" }, short(tick)));
  }
  svg.append(shape("line", { class: "axis", x1: LEFT, x2: wide - RIGHT, y1: high - BOTTOM, y2: high - BOTTOM }),
    shape("text", { class: "name", x: wide - RIGHT, y: high - 6, "text-anchor": "end" }, xName),
    shape("text", { class: "name", x: LEFT, y: 12, "text-anchor": "start" }, yName));
  return { svg, x, y, top: TOP, bottom: high - BOTTOM, left: LEFT, right: wide - RIGHT };
}

// What a point is can be told by its outline alone.
function outline(kind, x, y, size) {
  const s = size;
  if (kind === "first") return `M${x - s},${y - s}h${2 * s}v${2 * s}h${-2 * s}Z`;
  if (kind === "best") return `M${x},${y - 1.6 * s}L${x + 1.6 * s},${y}L${x},${y + 1.6 * s}L${x - 1.6 * s},${y}Z`;
  if (kind === "lost") return `M${x - s},${y - s}l${2 * s},${2 * s}M${x + s},${y - s}l${-2 * s},${2 * s}`;
  return `M${x - s},${y}a${s},${s} 0 1,0 ${2 * s},0a${s},${s} 0 1,0 ${-2 * s},0Z`;
}
