// The timeline.

// Pixels.
const ROW = 22;
const SCORES = 132;
const SUMS = 84;
const AXIS = 22;
const GAP = 8;
const GRAB = 8; // half the height of what can be grabbed of the threshold's line
const LETTER = 6.4; // the width of a letter, about
const EDGE = 10; // what a mark at an end reaches over it
const MOST_LANES = 3;

/** Rows of marks over the score curves, all over one time axis. Pointing at it seeks or drags. */
class Timeline {
  /** actions: { seek(time), drag(threshold), viewed() when another part is shown }. signal: aborts what listens. */
  constructor(actions, signal) {
    this.actions = actions;
    this.axis = new Axis();
    this.name = `mmduet-player-${Math.random().toString(36).slice(2)}`;
    this.time = 0;
    this.svg = shape("svg", "timeline", { role: "img" });
    this.legend = element("div", "legend");
    this.pointer = new Pointer(this, actions, signal);
  }

  /**
   * What to show: { trace, curves, policy, replays, spans, thresholds, live, threshold, end }.
   * curves: { name, color } of each head. thresholds: [time, threshold] of a live run, where it was moved.
   * end: of the time axis, s.
   */
  set(data) {
    Object.assign(this, data);
    this.axis.setEnd(this.end);
    this.lanes = lanesOf(this.spans);
    this.replay();
    this.fillLegend();
    this.redraw();
  }

  /** Draws what there is, once it is known how wide. */
  redraw() {
    if (this.axis.width && this.trace) this.draw();
    this.actions.viewed();
  }

  /** The names of the curves, with their values at the playhead. */
  fillLegend() {
    this.values = {};
    this.legend.replaceChildren();
    for (const { name, color } of [...this.curves, ...(this.decision ? [this.decision] : [])]) {
      this.values[name] = element("b", "value");
      this.legend.append(element("span", "key", { style: `--color: ${color}` }, name, this.values[name]));
    }
    this.moment = element("span", "moment");
    this.legend.append(this.moment);
  }

  /** The decision curve as a curve of its own; null where it is one head's, or where there is no threshold. */
  get decision() {
    return this.policy.decision?.head === null ? this.policy.decision : null;
  }

  resize(width) {
    this.axis.width = Math.max(width, LEFT + RIGHT + 80);
    this.redraw();
  }

  x(time) {
    return this.axis.x(time);
  }

  get width() {
    return this.axis.width;
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
    for (const panel of [this.scores, this.sums]) if (panel) this.drawPanel(panel);
    this.drawAxis();
    this.drawWindow();
    this.drawSpans();
    for (const { name, color } of this.curves) {
      this.drawCurve(this.scores, this.trace[name], color, this.policy.decision?.head === name);
    }
    this.drawThresholds();
    this.drawTurns("asked", this.trace.queries);
    this.drawTurns("said", this.trace.responses);
    if (this.scores) this.rowName("would", "would speak");
    this.overlay = this.window.appendChild(shape("g"));
    const knob = shape("path", "", { d: `M-5 ${this.bottom + 7}h10v-3l-5 -6l-5 6z` });
    this.playhead = shape("g", "playhead", {}, shape("line", "", { y1: 0, y2: this.bottom }), knob);
    this.window.append(this.playhead);
    this.handle = this.svg.appendChild(shape("g"));
    this.tip = this.svg.appendChild(shape("g", "tip"));
    this.drawThreshold();
    this.moveTo(this.time);
  }

  /** Where rows and panels begin, from the top. */
  placeRows() {
    let y = 2;
    const place = (height) => (y += height) - height;
    this.rows = {};
    if (this.spans.length) this.rows.spans = place(ROW * (1 + Math.max(...this.lanes)));
    if (this.live || this.trace.queries.length) this.rows.asked = place(ROW);
    this.rows.said = place(ROW);
    const { score, sum } = this.policy.tops;
    if (this.curves.length) {
      this.rows.would = place(ROW);
      place(GAP);
      this.scores = { y: place(SCORES), height: SCORES, top: score, name: "score" };
    } else this.scores = null; // responses alone
    if (sum) place(2 * GAP);
    this.sums = sum ? { y: place(SUMS), height: SUMS, top: sum, name: "sum" } : null;
    this.compared = this.sums ?? this.scores;
    this.bottom = y;
    this.height = y + AXIS;
  }

  rowName(row, name) {
    this.svg.append(shape("text", "name", { x: LEFT - 14, y: this.rows[row] + ROW / 2 }, name));
  }

  drawSpans() {
    if (this.spans.length) this.rowName("spans", "reference");
    this.spans.forEach(({ start, end, label }, index) => {
      const [first, last] = [clamp(start, this.axis.from, this.axis.to), clamp(end, this.axis.from, this.axis.to)];
      if (first === last && start !== end) return; // not in the part that is shown
      const [left, right] = [this.x(first), Math.max(this.x(last), this.x(first) + 2)];
      const top = this.rows.spans + this.lanes[index] * ROW;
      const room = Math.floor((right - left - 10) / LETTER);
      const short = label.length <= room ? label : room > 2 ? `${label.slice(0, room - 1).trimEnd()}…` : "";
      this.window.append(
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
    const { times, digits } = this.axis.ticks();
    for (const time of times) {
      const x = this.x(time);
      this.svg.append(
        shape("line", "grid", { x1: x, x2: x, y1: this.bottom, y2: this.bottom + 4 }),
        shape("text", "tick middle", { x, y: this.bottom + 13 }, clock(time, digits)),
      );
    }
  }

  /** What belongs to a time is drawn into a window, which ends with the part that is shown. */
  drawWindow() {
    const shown = { x: LEFT - EDGE, y: 0, width: this.axis.room + 2 * EDGE, height: this.height };
    this.window = shape("g", "", { "clip-path": `url(#${this.name}-window)` });
    this.svg.append(shape("clipPath", "", { id: `${this.name}-window` }, shape("rect", "", shown)), this.window);
  }

  /** compared: whether it is the decision curve. */
  drawCurve(panel, values, color, compared, parent = this.window) {
    let pen = "M";
    const points = values.map((value, index) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const point = `${pen}${this.x(this.trace.times[index]).toFixed(1)} ${this.y(panel, value).toFixed(1)}`;
      pen = "L";
      return point;
    });
    // a lone point, too, is seen: its line is as long as its round cap
    const d = points.join("") + (points.length === 1 ? "h0" : "");
    parent.append(shape("path", compared ? "curve compared" : "curve", { d, style: `--color: ${color}` }));
  }

  /** Which threshold held when, where it was moved during a live run. */
  drawThresholds() {
    if (this.thresholds.length < 2) return;
    const last = this.trace.times.at(-1) ?? 0;
    const steps = this.thresholds.map(([time, value], index) => {
      const until = this.thresholds[index + 1]?.[0] ?? Math.max(time, last);
      return `${index ? "V" : `M${LEFT} `}${this.y(this.compared, Number(value)).toFixed(1)}H${this.x(until).toFixed(1)}`;
    });
    this.window.append(shape("path", "held", { d: steps.join("") }));
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
      this.window.append(mark);
    });
  }

  /** Everything that changes as the threshold is dragged. */
  drawThreshold() {
    this.overlay.replaceChildren();
    this.handle.replaceChildren();
    if (this.policy.decision) {
      const y = this.y(this.compared, this.threshold);
      this.drawOver(y);
      if (this.decision) this.drawCurve(this.compared, this.curve, this.decision.color, true, this.overlay);
      this.drawLine(y);
    }
    if (this.scores) this.drawWould();
    this.svg.setAttribute("aria-label", this.description());
    this.showValues(this.time);
  }

  /** Tints the part of the decision curve above the threshold. */
  drawOver(y) {
    const { curve, trace: { times } } = this;
    const base = this.compared.y + this.compared.height;
    const known = curve.flatMap((value, index) => (value === null ? [] : [index]));
    if (known.length < 2) return;
    const at = (index) => this.x(times[index]).toFixed(1);
    const points = known.map((index) => `L${at(index)} ${this.y(this.compared, curve[index]).toFixed(1)}`);
    const path = `M${at(known[0])} ${base}${points.join("")}L${at(known.at(-1))} ${base}z`;
    const above = shape("rect", "", { x: 0, y: 0, width: this.width, height: y });
    const { color } = this.decision ?? this.curves.find(({ name }) => name === this.policy.decision.head);
    this.overlay.append(
      shape("clipPath", "", { id: this.name }, above),
      shape("path", "over", { d: path, "clip-path": `url(#${this.name})`, style: `--color: ${color}` }),
    );
  }

  /** Hollow marks where it would speak: one path, for there may be thousands. */
  drawWould() {
    const step = ((this.x(this.end) - this.x(0)) / Math.max(this.trace.times.length, 1)) * 0.46;
    const r = clamp(step, 2.5, 6);
    const y = this.rows.would + ROW / 2;
    const mark = (time) => `M${(this.x(time) - r).toFixed(1)} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
    const marks = this.frames.map((index) => mark(this.trace.times[index]));
    this.overlay.append(shape("path", "would", { d: marks.join(""), "stroke-width": step < 4 ? 1.3 : 2 }));
  }

  drawLine(y) {
    const right = this.width - RIGHT;
    this.handle.append(
      shape(
        "g", "threshold", {},
        shape("line", "", { x1: LEFT, x2: right, y1: y, y2: y }),
        shape("path", "", { d: `M${right} ${y}l6 -9h${RIGHT - 10}v18h-${RIGHT - 10}z` }),
        shape("text", "", { x: right + RIGHT / 2, y }, number(this.threshold, this.policy.dial.digits)),
        shape("rect", "grab", { x: LEFT, y: y - GRAB, width: this.width - LEFT, height: 2 * GRAB }),
      ),
    );
  }

  description() {
    const { trace, policy, frames } = this;
    if (!this.scores) return `No scores. The model spoke ${trace.responses.length} times.`;
    const at = policy.decision ? `at the threshold ${number(this.threshold, policy.dial.digits)} ` : "";
    return (
      `Scores of ${trace.times.length} frames over ${clock(this.end)}. The model spoke ${trace.responses.length} times; ` +
      `${at}the policy would speak ${frames.length} times.`
    );
  }

  setThreshold(threshold, replays) {
    Object.assign(this, { threshold, replays });
    this.replay();
    if (this.width) this.drawThreshold();
  }

  /** Looks up the `frames` that speak at the threshold and the decision `curve`. */
  replay() {
    const { frames, curve } = this.replays.at(this.threshold);
    this.frames = frames.filter((frame) => frame < this.trace.times.length); // a trace may come before its replays
    this.curve = curve ?? this.trace[this.policy.decision?.head];
  }

  /** A playhead that is in sight stays in sight; one that the user left behind does not pull the view along. */
  moveTo(time, { reveal = this.axis.shows(this.time) } = {}) {
    this.time = time;
    if (reveal && this.axis.reveal(time)) return this.redraw();
    this.playhead?.setAttribute("transform", `translate(${this.x(time)} 0)`);
    this.showValues(time);
  }

  /** { time, scores: [{ name, value, color }] } of the frame that is on at a time; null where there is none. */
  valuesAt(time) {
    const index = frameAt(this.trace.times, time);
    if (index < 0) return null;
    const scores = this.curves.map(({ name, color }) => ({ name, color, value: score(this.trace[name][index]) }));
    if (this.decision) scores.push({ ...this.decision, value: score(this.curve?.[index]) });
    return { time: this.trace.times[index], scores };
  }

  /** The legend's values, of the frame that is on at a time. */
  showValues(time) {
    const values = this.valuesAt(time);
    for (const node of Object.values(this.values)) node.textContent = score(NaN);
    for (const { name, value } of values?.scores ?? []) this.values[name].textContent = value;
    this.moment.textContent = !this.curves.length ? "no scores" : values ? `at ${clock(values.time)}` : "no frame yet";
  }

  /** When it would speak, nearest to a time. */
  speaksNear(time) {
    const times = this.frames.map((index) => this.trace.times[index]);
    return times.reduce((best, other) => (Math.abs(other - time) < Math.abs(best - time) ? other : best));
  }
}
