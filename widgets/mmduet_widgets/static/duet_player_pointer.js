// Pointing at the timeline: it seeks, drags the threshold, shows the scores, zooms.

const WHEEL = 0.0015; // how much a wheel zooms: e to the power of it, a pixel
const TIP = { line: 15, edge: 8, offset: 12 }; // pixels

/** Joins a timeline and a mouse, finger or wheel. */
class Pointer {
  /** actions: { seek(time), drag(threshold) }. */
  constructor(timeline, actions, signal) {
    Object.assign(this, { timeline, actions });
    const on = (event, listener, more) => timeline.svg.addEventListener(event, listener, { signal, ...more });
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("lostpointercapture", () => (this.holds = ""));
    on("pointerleave", () => timeline.tip?.replaceChildren());
    on("wheel", (event) => this.turn(event), { passive: false });
  }

  press(event) {
    if (event.button !== 0) return;
    const grabbed = event.target.closest(".mmduet-player-threshold");
    this.holds = grabbed ? "threshold" : "time";
    this.timeline.svg.setPointerCapture(event.pointerId);
    const mark = event.target.closest("[data-time]");
    if (mark) this.actions.seek(Number(mark.dataset.time));
    else if (event.target.closest(".mmduet-player-would")) this.actions.seek(this.timeline.speaksNear(this.timeAt(event)));
    else if (!grabbed) this.move(event);
  }

  move(event) {
    if (this.holds === "threshold") this.actions.drag(this.valueAt(event));
    else if (this.holds === "time") this.actions.seek(this.timeAt(event));
    else this.showTip(this.timeAt(event));
  }

  /** With the control key, as a pinch gives it, a wheel zooms; sideways, or with shift, it pans. */
  turn(event) {
    const { axis } = this.timeline;
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey) axis.zoom(Math.exp(event.deltaY * WHEEL), this.timeAt(event));
    else if (axis.zoomed && Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
      axis.pan((sideways / axis.room) * (axis.to - axis.from));
    } else return;
    event.preventDefault();
    this.timeline.redraw();
  }

  /** Where the pointer is, in the timeline's own pixels. */
  place({ clientX, clientY }) {
    const { left, top, width } = this.timeline.svg.getBoundingClientRect();
    const scale = this.timeline.axis.width / width;
    return { x: (clientX - left) * scale, y: (clientY - top) * scale };
  }

  /** The time that is pointed at, s. */
  timeAt(event) {
    return this.timeline.axis.time(this.place(event).x);
  }

  /** The threshold that is pointed at, in whole steps. */
  valueAt(event) {
    const { compared, policy } = this.timeline;
    const { top: most, step } = policy.dial;
    const value = clamp(1 - (this.place(event).y - compared.y) / compared.height, 0, 1) * most;
    return Number((Math.round(value / step) * step).toPrecision(6));
  }

  /** A box with the scores of the frame that is pointed at. */
  showTip(time) {
    const { timeline } = this;
    const { tip, scores, axis } = timeline;
    tip?.replaceChildren();
    const values = timeline.valuesAt(time);
    if (!tip || !scores || !values) return;
    const x = axis.x(values.time);
    const rows = [{ name: clock(values.time), value: "" }, ...values.scores];
    const longest = Math.max(...rows.map(({ name, value }) => name.length + value.length + 2));
    const [width, height] = [longest * LETTER + 2 * TIP.edge, rows.length * TIP.line + TIP.edge];
    const left = x + TIP.offset + width > axis.width ? x - TIP.offset - width : x + TIP.offset;
    tip.append(
      shape("line", "", { x1: x, x2: x, y1: scores.y, y2: timeline.bottom }),
      shape("rect", "", { x: left, y: scores.y, width, height, rx: 5 }),
      ...rows.flatMap(({ name, value, color }, row) => {
        const y = scores.y + TIP.edge / 2 + (row + 0.5) * TIP.line;
        const text = shape("text", "", { x: left + TIP.edge, y }, name);
        return [text, shape("text", "end", { x: left + width - TIP.edge, y, style: `--color: ${color}` }, value)];
      }),
    );
  }
}
