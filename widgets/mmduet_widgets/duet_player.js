// The browser's side of DuetPlayer: playback, the timeline with its threshold, the transcript.
// Nothing here asks a kernel for anything; every text goes through textContent.

const SVG = "http://www.w3.org/2000/svg";
const HEADS = ["informative", "relevance"];

// Pixels of the timeline.
const LEFT = 84;
const RIGHT = 50;
const ROW = 22;
const SCORES = 132;
const SUMS = 84;
const AXIS = 22;
const GAP = 8;
const GRAB = 8; // half the height of what can be grabbed of the threshold's line
const LETTER = 6.4; // the width of a letter, about
const MOST_LANES = 3;

const PUBLISH_EVERY = 250; // ms between two times sent to the kernel while the clip plays
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

/** What the threshold can be dragged over: { top, step, digits }, from 0 to top. */
function thresholdScale(trace, policy) {
  const used = Number(policy.threshold);
  const known = Number.isFinite(used) && used > 0 ? used : 0;
  const { compared } = replay(trace, policy, Infinity);
  const reach = policy.mode === "sum" ? (known ? 2.5 * known : largest(compared)) : Math.max(known, largest(compared));
  const limit = policy.mode === "sum" ? Infinity : policy.heads.length;
  const scores = policy.mode === "sum" ? [] : HEADS.flatMap((head) => trace[head]);
  const top = roundTop(Math.min(Math.max(reach, largest(scores)), limit));
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

const HINT = "Drag the dashed line. Click to seek. Space plays, ← → go by a frame, home and end to the ends.";
const PLAY = "M4 2.5v11l9-5.5z";
const PAUSE = "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z";
const BACK = "M11.5 3v10L5 8zM3.5 3h1.5v10H3.5z";
const FORTH = "M4.5 3v10L11 8zM11 3h1.5v10H11z";

// --- the timeline -----------------------------------------------------------------------------------

/** Rows of marks over the score curves, all over one time axis. Pointing at it seeks or drags. */
class Timeline {
  /** data: { trace, policy, spans }. actions: { seek(time), drag(threshold) }. signal: aborts what listens. */
  constructor(data, actions, signal) {
    Object.assign(this, data);
    this.actions = actions;
    this.scale = thresholdScale(this.trace, this.policy);
    this.lanes = lanesOf(this.spans);
    this.name = `mmduet-player-${Math.random().toString(36).slice(2)}`;
    this.time = 0;
    this.threshold = Number(this.policy.threshold);
    this.svg = shape("svg", "timeline", { role: "img" });
    this.legend = element("div", "legend");
    this.values = {};
    this.fillLegend();
    this.listen(signal);
  }

  /** The names of the curves, with their values at the playhead or the pointer. */
  fillLegend() {
    const names = { informative: "informative", relevance: "relevance", ...(this.summed ? { sum: this.summed } : {}) };
    for (const [kind, text] of Object.entries(names)) {
      this.values[kind] = element("b", "value");
      this.legend.append(element("span", `key ${kind}`, {}, text, this.values[kind]));
    }
    this.moment = element("span", "moment");
    this.legend.append(this.moment);
  }

  /** What the third curve is called; none where the policy looks at one head's score alone. */
  get summed() {
    if (this.policy.mode === "sum") return "running sum";
    return this.policy.heads.length > 1 ? "both together" : "";
  }

  resize(width, end) {
    this.width = Math.max(width, LEFT + RIGHT + 80);
    this.end = end;
    this.draw();
  }

  x(time) {
    return LEFT + (time / this.end) * (this.width - LEFT - RIGHT);
  }

  /** The y of a value in a panel; values beyond it stay at its edge. */
  y(panel, value) {
    return panel.y + panel.height * (1 - clamp(value / panel.top, 0, 1));
  }

  draw() {
    this.svg.replaceChildren();
    this.placeRows();
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    this.drawSpans();
    this.drawPanel(this.scores);
    if (this.sums) this.drawPanel(this.sums);
    this.drawAxis();
    for (const head of HEADS) {
      this.drawCurve(this.scores, this.trace[head], this.isCompared(head) ? `${head} compared` : head);
    }
    this.drawTurns("asked", this.trace.queries);
    this.drawTurns("said", this.trace.responses);
    this.rowName("would", "would speak");
    this.overlay = this.svg.appendChild(shape("g"));
    this.playhead = this.svg.appendChild(this.newPlayhead());
    this.drawThreshold();
    this.moveTo(this.time);
  }

  /** Where rows and panels begin, from the top. */
  placeRows() {
    let y = 2;
    const place = (height) => (y += height) - height;
    this.rows = {};
    if (this.spans.length) this.rows.spans = place(ROW * (1 + Math.max(...this.lanes)));
    if (this.trace.queries.length) this.rows.asked = place(ROW);
    this.rows.said = place(ROW);
    this.rows.would = place(ROW);
    place(GAP);
    const summing = this.policy.mode === "sum";
    const top = summing ? roundTop(largest(HEADS.flatMap((head) => this.trace[head]))) : this.scale.top;
    this.scores = { y: place(SCORES), height: SCORES, top, name: "score" };
    if (summing) place(2 * GAP);
    this.sums = summing ? { y: place(SUMS), height: SUMS, top: this.scale.top, name: "sum" } : null;
    this.compared = this.sums ?? this.scores;
    this.bottom = y;
    this.height = y + AXIS;
  }

  /** Whether the policy holds this head's curve, as it is, against the threshold. */
  isCompared(head) {
    return !this.summed && this.policy.heads[0] === head;
  }

  rowName(row, name) {
    this.svg.append(shape("text", "name", { x: LEFT - 14, y: this.rows[row] + ROW / 2 }, name));
  }

  drawSpans() {
    if (this.spans.length) this.rowName("spans", "reference");
    this.spans.forEach(({ start, end, label }, index) => {
      const [left, right] = [this.x(start), Math.max(this.x(end), this.x(start) + 2)];
      const top = this.rows.spans + this.lanes[index] * ROW;
      const room = Math.floor((right - left - 10) / LETTER);
      const short = label.length <= room ? label : room > 2 ? `${label.slice(0, room - 1).trimEnd()}…` : "";
      this.svg.append(
        shape("rect", "shade", { x: left, y: top, width: right - left, height: this.bottom - top }),
        shape(
          "g", "span", { "data-time": start },
          shape("title", "", {}, `${label || "reference"}: ${clock(start)} to ${clock(end)}`),
          shape("rect", "", { x: left + 0.5, y: top + 2, width: right - left - 1, height: ROW - 5, rx: 3 }),
          shape("text", "", { x: left + 6, y: top + ROW / 2 }, short),
        ),
      );
    });
  }

  drawPanel(panel) {
    for (const part of [0, 0.5, 1]) {
      const y = this.y(panel, part * panel.top);
      this.svg.append(
        shape("line", "grid", { x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }),
        shape("text", "tick end", { x: LEFT - 8, y }, String(Number((part * panel.top).toPrecision(3)))),
      );
    }
    const middle = panel.y + panel.height / 2;
    this.svg.append(shape("text", "tick middle", { transform: `translate(12 ${middle}) rotate(-90)` }, panel.name));
  }

  drawAxis() {
    const most = Math.max((this.width - LEFT - RIGHT) / 70, 1);
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    const step = steps.find((step) => this.end / step <= most) ?? 7200;
    for (let time = 0; time <= this.end + 1e-9; time += step) {
      const x = this.x(time);
      this.svg.append(
        shape("line", "grid", { x1: x, x2: x, y1: this.bottom, y2: this.bottom + 4 }),
        shape("text", "tick middle", { x, y: this.bottom + 13 }, clock(time, step < 1 ? 1 : 0)),
      );
    }
  }

  drawCurve(panel, values, names, parent = this.svg) {
    let pen = "M";
    const points = values.map((value, index) => {
      if (value === null || Number.isNaN(value)) {
        pen = "M";
        return "";
      }
      const point = `${pen}${this.x(this.trace.times[index]).toFixed(1)} ${this.y(panel, value).toFixed(1)}`;
      pen = "L";
      return point;
    });
    // a lone point, too, is seen: its line is as long as its round cap
    parent.append(shape("path", `curve ${names}`, { d: points.join("") + (points.length === 1 ? "h0" : "") }));
  }

  drawTurns(row, turns) {
    if (!(row in this.rows)) return;
    this.rowName(row, row);
    const y = this.rows[row] + ROW / 2;
    turns.forEach(({ time, text }, index) => {
      const mark = shape(
        "g", row, { "data-time": time, "data-turn": `${row} ${index}`, transform: `translate(${this.x(time)} ${y})` },
        shape("title", "", {}, `${clock(time)} ${text}`),
        shape("circle", "", { r: row === "asked" ? 8 : 6 }),
      );
      if (row === "asked") mark.append(shape("text", "", {}, "?"));
      this.svg.append(mark);
    });
  }

  newPlayhead() {
    return shape(
      "g", "playhead", {},
      shape("line", "", { y1: 0, y2: this.bottom }),
      shape("path", "", { d: `M-5 ${this.bottom + 7}h10v-3l-5 -6l-5 6z` }),
    );
  }

  /** Everything that changes as the threshold is dragged. */
  drawThreshold() {
    if (!this.overlay) return;
    const { picked, compared } = replay(this.trace, this.policy, this.threshold);
    const y = this.y(this.compared, this.threshold);
    this.held = compared;
    this.overlay.replaceChildren();
    this.drawOver(compared, y);
    if (this.summed) this.drawCurve(this.compared, compared, "sum compared", this.overlay);
    this.drawWould(picked);
    this.drawLine(y);
    this.svg.setAttribute("aria-label", this.description(picked.length));
    this.showValues(this.time);
  }

  /** Tints what the compared curve has above the threshold. */
  drawOver(compared, y) {
    const { times } = this.trace;
    const base = this.compared.y + this.compared.height;
    const known = compared.flatMap((value, index) => (Number.isNaN(value) ? [] : [index]));
    if (known.length < 2) return;
    const at = (index) => this.x(times[index]).toFixed(1);
    const points = known.map((index) => `L${at(index)} ${this.y(this.compared, compared[index]).toFixed(1)}`);
    const path = `M${at(known[0])} ${base}${points.join("")}L${at(known.at(-1))} ${base}z`;
    const above = shape("rect", "", { x: 0, y: 0, width: this.width, height: y });
    const kind = this.summed ? "sum" : this.policy.heads[0];
    this.overlay.append(
      shape("clipPath", "", { id: this.name }, above),
      shape("path", `over ${kind}`, { d: path, "clip-path": `url(#${this.name})` }),
    );
  }

  drawWould(picked) {
    const { times } = this.trace;
    const step = ((this.x(this.end) - LEFT) / Math.max(times.length, 1)) * 0.46;
    const y = this.rows.would + ROW / 2;
    for (const index of picked) {
      const size = { r: clamp(step, 2.5, 6), "stroke-width": step < 4 ? 1.3 : 2 };
      const at = { cx: this.x(times[index]), cy: y, ...size, "data-time": times[index] };
      const title = shape("title", "", {}, `would speak at ${clock(times[index])}`);
      this.overlay.append(shape("circle", "would", at, title));
    }
  }

  drawLine(y) {
    const right = this.width - RIGHT;
    this.overlay.append(
      shape(
        "g", "threshold", {},
        shape("line", "", { x1: LEFT, x2: right, y1: y, y2: y }),
        shape("path", "", { d: `M${right} ${y}l6 -9h${RIGHT - 10}v18h-${RIGHT - 10}z` }),
        shape("text", "", { x: right + RIGHT / 2, y }, number(this.threshold, this.scale.digits)),
        shape("rect", "grab", { x: LEFT, y: y - GRAB, width: this.width - LEFT, height: 2 * GRAB }),
      ),
    );
  }

  description(count) {
    const frames = this.trace.times.length;
    return (
      `Scores of ${frames} frames over ${clock(this.end)}. The model spoke ${this.trace.responses.length} times; ` +
      `at the threshold ${number(this.threshold, this.scale.digits)} the policy would speak ${count} times.`
    );
  }

  setThreshold(value) {
    this.threshold = value;
    this.drawThreshold();
  }

  moveTo(time) {
    this.time = time;
    this.playhead?.setAttribute("transform", `translate(${this.x(time)} 0)`);
    this.showValues(time);
  }

  /** The legend's values, of the frame that is on at a time. */
  showValues(time, hovered = false) {
    const { trace } = this;
    const index = frameAt(trace.times, time);
    for (const head of HEADS) this.values[head].textContent = score(trace[head][index]);
    if (this.values.sum) this.values.sum.textContent = score(this.held?.[index]);
    const text = index < 0 ? "no frame yet" : `${hovered ? "pointing at" : "at"} ${clock(trace.times[index])}`;
    this.moment.textContent = text;
  }
  // --- pointing

  listen(signal) {
    const on = (event, listener) => this.svg.addEventListener(event, listener, { signal });
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("lostpointercapture", () => (this.holds = ""));
    on("pointerleave", () => this.showValues(this.time));
  }

  press(event) {
    if (event.button !== 0) return;
    const grabbed = event.target.closest(".mmduet-player-threshold");
    this.holds = grabbed ? "threshold" : "time";
    this.svg.setPointerCapture(event.pointerId);
    const mark = event.target.closest("[data-time]");
    if (mark) this.actions.seek(Number(mark.dataset.time));
    else if (!grabbed) this.move(event);
  }

  move(event) {
    const { left, top, width } = this.svg.getBoundingClientRect();
    const ratio = this.width / width;
    const time = clamp((((event.clientX - left) * ratio - LEFT) / (this.width - LEFT - RIGHT)) * this.end, 0, this.end);
    if (this.holds === "threshold") this.actions.drag(this.valueAt((event.clientY - top) * ratio));
    else if (this.holds === "time") this.actions.seek(time);
    else this.showValues(time, true);
  }

  /** The threshold at a y, in whole steps. */
  valueAt(y) {
    const { y: top, height } = this.compared;
    const { top: most, step } = this.scale;
    const value = clamp(1 - (y - top) / height, 0, 1) * most;
    return Number((Math.round(value / step) * step).toPrecision(6));
  }
}

// --- the transcript ---------------------------------------------------------------------------------

/** Who said what, in order of time; the last line up to the playhead is the current one. */
class Transcript {
  constructor(trace, actions) {
    const turns = [
      ...trace.queries.map((turn, index) => ({ ...turn, who: "user", mark: `asked ${index}` })),
      ...trace.responses.map((turn, index) => ({ ...turn, who: "model", mark: `said ${index}` })),
    ];
    this.turns = turns.sort((a, b) => a.time - b.time); // stable: what is asked stands before what is said
    this.lines = this.turns.map((turn) => this.line(turn, actions));
    const list = element("ol", "lines", {}, ...this.lines.map((line) => element("li", "", {}, line)));
    if (!turns.length) list.append(element("li", "nothing", {}, "Nothing was asked, nothing said."));
    this.node = element("section", "transcript", { "aria-label": "Transcript" }, list);
    this.current = -1;
  }

  line({ time, who, text }, { seek }) {
    const button = element(
      "button", `line ${who}`, { type: "button" },
      element("span", "when", {}, clock(time)),
      element("span", "who", {}, who),
      element("span", "text", {}, text || "(nothing)"),
    );
    button.addEventListener("click", () => seek(time));
    return button;
  }

  /** Highlights the current line and keeps it in sight; returns its mark's name. */
  moveTo(time) {
    const current = this.turns.findLastIndex((turn) => turn.time <= time + NUDGE);
    if (current !== this.current) {
      this.lines[this.current]?.removeAttribute("aria-current");
      this.lines[current]?.setAttribute("aria-current", "true");
      this.current = current;
      this.reveal(this.lines[Math.max(current, 0)]);
    }
    return this.turns[current]?.mark ?? "";
  }

  /** Scrolls the list alone, never the page. */
  reveal(line) {
    if (!line) return;
    const [box, own] = [line.getBoundingClientRect(), this.node.getBoundingClientRect()];
    if (box.top < own.top) this.node.scrollTop -= own.top - box.top + 8;
    else if (box.bottom > own.bottom) this.node.scrollTop += box.bottom - own.bottom + 8;
  }
}

// --- the player -------------------------------------------------------------------------------------

/** Joins clip, timeline, transcript and controls; holds the time that all of them show. */
class Player {
  constructor(model, signal) {
    this.model = model;
    this.signal = signal;
    this.trace = model.get("trace");
    this.policy = model.get("policy");
    this.time = 0;
    this.published = 0;
    const marks = [...this.trace.queries, ...this.trace.responses].map((turn) => turn.time);
    this.shortest = Math.max(endOf(this.trace.times), ...marks, ...model.get("spans").map((span) => span.end));
    const actions = { seek: (time) => this.seek(time), drag: (value) => this.drag(value) };
    const data = { trace: this.trace, policy: this.policy, spans: model.get("spans") };
    this.timeline = new Timeline(data, actions, signal);
    this.transcript = new Transcript(this.trace, actions);
    this.build();
    this.loadClip();
    this.listen();
    this.showThreshold();
    this.seek(model.get("time"), { publish: false });
  }

  // --- what is on the page

  build() {
    const title = this.model.get("title");
    this.said = element("p", "counts");
    this.stage = element("div", "stage");
    this.node = element(
      "div", "", { class: "mmduet-player", role: "group", tabindex: "0", "data-lm-suppress-shortcuts": "true" },
      element("header", "head", {}, element("h3", "title", {}, title || "Duet player"), this.said),
      element(
        "div", "body", {},
        this.stage, this.transcript.node, this.newControls(),
        element("div", "curves", {}, this.timeline.svg, this.timeline.legend, element("p", "hint", {}, HINT)),
      ),
    );
    this.node.setAttribute(
      "aria-label",
      `${title || "Duet player"}. ${HINT}`,
    );
  }

  newControls() {
    this.play = this.button("Play", PLAY, () => this.toggle(), "main");
    this.shown = element("span", "time");
    this.range = element("input", "range", {
      type: "range", min: 0, max: this.timeline.scale.top, step: this.timeline.scale.step, "aria-label": "Threshold",
    });
    this.counted = element("output", "speaks");
    this.reset = element("button", "reset", { type: "button" });
    return element(
      "div", "controls", {},
      element(
        "div", "playback", {}, this.button("One frame back", BACK, () => this.step(-1)), this.play,
        this.button("One frame forth", FORTH, () => this.step(1)), this.shown,
      ),
      element("label", "dial", {}, "threshold", this.range), this.counted, this.reset,
    );
  }

  button(name, path, action, names = "") {
    const attributes = { type: "button", "aria-label": name, title: name };
    const button = element("button", `button ${names}`.trim(), attributes, icon(path));
    button.addEventListener("click", action);
    return button;
  }

  /** The clip from its bytes, or the sentence that says why there is none. */
  loadClip() {
    const bytes = this.model.get("video");
    if (!bytes?.byteLength) return this.goWithout(this.model.get("note"));
    const type = bytes.getUint32(4) === 0x66747970 ? "video/mp4" : "video/webm"; // "ftyp"
    this.url = URL.createObjectURL(new Blob([bytes], { type }));
    const attributes = { playsinline: "", preload: "auto", "aria-label": "The clip", tabindex: "-1" };
    this.video = element("video", "video", attributes);
    this.video.src = this.url;
    this.stage.append(this.video);
  }

  /** Curves and transcript alone. */
  goWithout(note) {
    this.video = null;
    this.stage.replaceChildren(element("p", "note", { role: "note" }, note));
    this.node.classList.add("mmduet-player-without");
    this.play.disabled = true;
  }

  // --- what happens

  listen() {
    const { signal } = this;
    this.node.addEventListener("keydown", (event) => this.key(event), { signal });
    this.range.addEventListener("input", () => this.drag(Number(this.range.value)), { signal });
    this.reset.addEventListener("click", () => this.drag(Number(this.policy.threshold)), { signal });
    const follow = () => this.publishing || this.seek(this.model.get("time"), { publish: false });
    const dragged = () => this.showThreshold();
    this.model.on("change:time", follow);
    this.model.on("change:threshold", dragged);
    const sizes = new ResizeObserver(() => this.resize());
    sizes.observe(this.timeline.svg.parentNode);
    signal.addEventListener("abort", () => {
      this.model.off("change:time", follow);
      this.model.off("change:threshold", dragged);
      sizes.disconnect();
    });
    if (this.video) this.listenToClip();
  }

  listenToClip() {
    const on = (event, listener) => this.video.addEventListener(event, listener, { signal: this.signal });
    on("loadedmetadata", () => this.resize());
    on("click", () => this.toggle());
    on("play", () => this.followClip());
    on("pause", () => this.showPlaying());
    on("error", () => {
      this.goWithout("This browser cannot play the clip; curves and transcript work without it.");
      this.resize();
    });
    this.signal.addEventListener("abort", () => this.release());
  }

  /** Gives the clip's memory back. */
  release() {
    cancelAnimationFrame(this.request);
    this.video?.pause();
    this.video?.removeAttribute("src");
    URL.revokeObjectURL(this.url);
  }

  key(event) {
    const own = event.target.closest("input, button");
    const action = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.seek(0),
      End: () => this.seek(this.end),
    }[event.key];
    const kept = own && (own.matches("input") || event.key === " "); // a slider's arrows, a button's space
    if (!action || kept || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  // --- time

  /** When everything shown is over, s. */
  get end() {
    const clip = this.video?.duration;
    return Number.isFinite(clip) ? Math.max(clip, this.shortest) : this.shortest;
  }

  resize() {
    const { width } = this.timeline.svg.parentNode.getBoundingClientRect();
    if (width) this.timeline.resize(width, this.end);
    this.show();
  }

  toggle() {
    if (!this.video) return;
    if (this.video.paused) this.video.play().catch(() => this.showPlaying());
    else this.video.pause();
  }

  /** Pauses on the next frame of the trace, or on the one before. */
  step(direction) {
    this.video?.pause();
    const { times } = this.trace;
    const after = (time) => time > this.time + NUDGE;
    const before = (time) => time < this.time - NUDGE;
    this.seek((direction > 0 ? times.find(after) : times.findLast(before)) ?? (direction > 0 ? this.end : 0));
  }

  seek(time, { publish = true } = {}) {
    this.time = clamp(time, 0, this.end);
    if (this.video) this.video.currentTime = this.time + NUDGE;
    this.show();
    if (publish) this.publish();
  }

  /** While the clip plays, everything goes along. */
  followClip() {
    this.showPlaying();
    cancelAnimationFrame(this.request);
    const tick = () => {
      if (!this.video || this.video.paused || this.signal.aborted) return;
      if (!this.video.seeking) this.time = this.video.currentTime;
      this.show();
      if (performance.now() - this.published > PUBLISH_EVERY) this.publish();
      this.request = requestAnimationFrame(tick);
    };
    tick();
  }

  /** Tells the kernel the time. */
  publish() {
    this.published = performance.now();
    this.publishing = true; // the model calls its listeners at once
    this.model.set("time", this.time);
    this.publishing = false;
    this.model.save_changes();
  }

  show() {
    this.shown.textContent = `${clock(this.time)} / ${clock(this.end)}`;
    this.timeline.moveTo(this.time);
    const mark = this.transcript.moveTo(this.time);
    for (const node of this.timeline.svg.querySelectorAll("[data-turn]")) {
      node.classList.toggle("mmduet-player-current", node.dataset.turn === mark);
    }
  }

  showPlaying() {
    const playing = Boolean(this.video && !this.video.paused);
    const name = playing ? "Pause" : "Play";
    this.play.setAttribute("aria-label", name);
    this.play.title = name;
    this.play.replaceChildren(icon(playing ? PAUSE : PLAY));
    if (!playing) this.publish();
  }

  // --- the threshold

  drag(value) {
    this.model.set("threshold", Number.isFinite(value) ? value : String(value));
    this.model.save_changes();
  }

  showThreshold() {
    const value = Number(this.model.get("threshold"));
    const used = Number(this.policy.threshold);
    const write = (threshold) => number(threshold, this.timeline.scale.digits);
    const count = replay(this.trace, this.policy, value).picked.length;
    this.timeline.setThreshold(value);
    this.range.value = clamp(value, 0, this.timeline.scale.top);
    this.range.setAttribute("aria-valuetext", `${write(value)}: speaks ${count} times`);
    this.counted.replaceChildren(element("b", "", {}, `speaks ${count}×`), ` at ${write(value)}`);
    this.reset.textContent = `back to ${write(used)}`;
    this.reset.classList.toggle("mmduet-player-hidden", value === used);
    const { responses, times } = this.trace;
    this.said.textContent = `The model spoke ${responses.length}× at ${write(used)}, in ${times.length} frames`;
  }
}

/** Mounts a player; returns its clean-up. */
function render({ model, el }) {
  const ending = new AbortController();
  const player = new Player(model, ending.signal);
  el.append(player.node);
  player.resize();
  return () => {
    ending.abort();
    player.node.remove();
  };
}

export default { render };
