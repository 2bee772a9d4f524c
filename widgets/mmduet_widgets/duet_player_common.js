// The browser's side of DuetPlayer, first of the five parts that duet_player.py joins into one module:
// the policy's rules, numbers and words, elements. Every text goes through textContent.

const SVG = "http://www.w3.org/2000/svg";
const HEADS = ["informative", "relevance"];

const NUDGE = 1e-3; // s added to a seek: a browser's clock is coarser than a frame's time

// --- the rules of mmduet/policy.py ------------------------------------------------------------------

/**
 * Where a policy speaks at a threshold.
 *
 * trace: { times, informative, relevance }; a score may be null: not a number.
 * Returns { picked, compared }: the indices of the frames after which it speaks, and what it holds
 * against the threshold at each frame.
 */
export function replay(trace, { mode, heads }, threshold) {
  const picked = [];
  const compared = [];
  let total = 0;
  trace.times.forEach((_, index) => {
    const need = heads.reduce((sum, head) => sum + (trace[head][index] ?? NaN), 0);
    total = mode === "sum" ? total + need : need;
    compared.push(total);
    // written as in Python, where a comparison with NaN is false, too
    if (mode === "sum" ? !(total <= threshold) : total > threshold) {
      picked.push(index);
      total = 0;
    }
  });
  return { picked, compared };
}

// --- numbers and words ------------------------------------------------------------------------------

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const largest = (values) => values.reduce((most, value) => (value > most ? value : most), 0);

/** The smallest of 1, 2, 5 times a power of ten that reaches value, or a twentieth. */
function roundTop(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 0.05)));
  return [1, 2, 5, 10].map((factor) => Number((factor * power).toPrecision(3))).find((top) => top >= value - 1e-9);
}

/**
 * What the threshold can be dragged over: { top, step, digits }, from 0 to top. live: the trace still grows, so a
 * score's whole range is wanted.
 */
function thresholdScale(trace, policy, live) {
  const used = Number(policy.threshold);
  const known = Number.isFinite(used) && used > 0 ? used : 0;
  const { compared } = replay(trace, policy, Infinity);
  const reach = policy.mode === "sum" ? (known ? 2.5 * known : largest(compared)) : Math.max(known, largest(compared));
  const limit = policy.mode === "sum" ? Infinity : policy.heads.length;
  const scores = policy.mode === "sum" ? [] : HEADS.flatMap((head) => trace[head]);
  const top = live && limit < Infinity ? limit : roundTop(Math.min(Math.max(reach, largest(scores)), limit));
  return { top, step: Number((top / 100).toPrecision(3)), digits: top < 0.1 ? 4 : top < 1 ? 3 : 2 };
}

const number = (value, digits) =>
  Number.isFinite(value) ? value.toFixed(digits) : Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
const score = (value) => number(value ?? NaN, 2);

function clock(seconds, digits = 1) {
  const rounded = Number(seconds.toFixed(digits));
  const rest = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return `${Math.floor(rounded / 60)}:${rest}`;
}

/** Index of the last frame at or before a time; -1 before the first. */
function frameAt(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + NUDGE) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** When the last frame ends: a usual step after its time. */
function endOf(times) {
  if (times.length < 2) return (times[0] ?? 0) + 1;
  const steps = times.slice(1).map((time, index) => time - times[index]).sort((a, b) => a - b);
  return times.at(-1) + (steps[steps.length >> 1] || 1);
}

/** A lane for each span, so that none overlap while there are lanes enough. */
function lanesOf(spans) {
  const free = [];
  return spans.map(({ start, end }) => {
    let lane = free.findIndex((until) => until <= start);
    if (lane < 0) lane = free.length < MOST_LANES ? free.length : free.indexOf(Math.min(...free));
    free[lane] = end;
    return lane;
  });
}

// --- elements ---------------------------------------------------------------------------------------

const classes = (names) => names.split(" ").map((name) => `mmduet-player-${name}`).join(" ");

function filled(node, names, attributes, children) {
  if (names) node.setAttribute("class", classes(names));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** An HTML element. Children that are strings stay text. */
const element = (tag, names, attributes = {}, ...children) =>
  filled(document.createElement(tag), names, attributes, children);

/** An SVG element. */
const shape = (tag, names, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), names, attributes, children);

function icon(path) {
  return shape("svg", "icon", { viewBox: "0 0 16 16", "aria-hidden": "true" }, shape("path", "", { d: path }));
}

/** Calls a listener whenever one of a model's values changes, until the signal aborts. */
function follow(model, names, listener, signal) {
  for (const name of names) {
    model.on(`change:${name}`, listener);
    signal.addEventListener("abort", () => model.off(`change:${name}`, listener));
  }
}
