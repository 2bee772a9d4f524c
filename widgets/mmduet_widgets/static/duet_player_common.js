// The browser's side of DuetPlayer, first of the parts that duet_player.py joins into one module:
// replays, numbers and words, elements. Every text goes through textContent.

const SVG = "http://www.w3.org/2000/svg";

const NUDGE = 1e-3; // s added to a seek: a browser's clock is coarser than a frame's time

// --- replays: computed in Python, looked up here ----------------------------------------------------

/** When the policy speaks at which threshold, as player_state.py gives it. */
class Replays {
  /** exact: [{ threshold, frames, curve }]. grid: of the slider's places, or null. */
  constructor(exact, grid) {
    Object.assign(this, { exact, grid });
    this.bits = grid && Uint8Array.from(atob(grid.frames), (letter) => letter.charCodeAt(0));
  }

  /** { frames, curve } at a threshold, null for none; at the nearest known one where this one is not known. */
  at(threshold) {
    const known = this.exact.find((replay) => threshold === null || Number(replay.threshold) === threshold);
    if (known || !this.grid) return known ?? this.exact[0];
    const place = clamp(Math.round(threshold / this.grid.step), 0, this.grid.count - 1);
    return { frames: this.framesAt(place), curve: this.curveAt(place) };
  }

  framesAt(place) {
    const { length } = this.grid;
    const start = place * ((length + 7) >> 3);
    const speaks = (frame) => this.bits[start + (frame >> 3)] & (128 >> (frame & 7));
    return Array.from({ length }, (_, frame) => frame).filter(speaks);
  }

  /** The curve of the last place, with this place's differences from it. */
  curveAt(place) {
    const { curve, offsets } = this.grid;
    const runs = [...(offsets[place] ?? [])];
    let offset = 0;
    return curve?.map((value, frame) => {
      if (runs[0]?.[0] === frame) offset = runs.shift()[1];
      return value === null ? null : value + offset;
    });
  }
}

// --- numbers and words ------------------------------------------------------------------------------

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

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

// JupyterLab looks for this on the element that has the focus: without it, keys cut, move and run cells. It stands on
// every element, since more can have the focus than controls, such as what scrolls.
const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

/** An HTML element. Children that are strings stay text. */
const element = (tag, names, attributes = {}, ...children) =>
  filled(document.createElement(tag), names, { ...OWN_KEYS, ...attributes }, children);

/** Gives the focus to the player around a node, without scrolling: its keys play, step and seek. */
const focusPlayer = (node) => node.closest(".mmduet-player")?.focus({ preventScroll: true });

/** Disables a button or not; the focus of a disabled one would be lost to the page. */
function setDisabled(button, disabled) {
  if (disabled && button.matches(":focus")) focusPlayer(button);
  button.disabled = disabled;
}

/** An SVG element. */
const shape = (tag, names, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), names, attributes, children);

function icon(path) {
  return shape("svg", "icon", { viewBox: "0 0 16 16", "aria-hidden": "true" }, shape("path", "", { d: path }));
}

/** A round button with a picture; its name is read out and shown as a hint. */
function iconButton(name, path, action, names = "") {
  const attributes = { type: "button", "aria-label": name, title: name };
  const button = element("button", `button ${names}`.trim(), attributes, icon(path));
  button.addEventListener("click", action);
  return button;
}

/** Calls a listener whenever one of a model's values changes, until the signal aborts. */
function follow(model, names, listener, signal) {
  for (const name of names) {
    model.on(`change:${name}`, listener);
    signal.addEventListener("abort", () => model.off(`change:${name}`, listener));
  }
}
