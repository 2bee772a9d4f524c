// The view: buttons that zoom the timeline, and a slider for the part that it shows.

const ZOOM = 2; // a step
const PLUS = "M7 2.5h2V7h4.5v2H9v4.5H7V9H2.5V7H7z";
const MINUS = "M2.5 7h11v2h-11z";
const WHOLE = "M1.5 3H3v10H1.5zM13 3h1.5v10H13zM4 8l3-3v2h2V5l3 3-3 3V9H7v2z";

/** `node` stands under the timeline. */
class View {
  constructor(timeline) {
    this.timeline = timeline;
    this.closer = iconButton("Zoom in", PLUS, () => this.zoom(1 / ZOOM), "small");
    this.wider = iconButton("Zoom out", MINUS, () => this.zoom(ZOOM), "small");
    this.whole = iconButton("Whole clip", WHOLE, () => this.zoom(Infinity), "small");
    this.part = element("input", "range part", { type: "range", min: 0, step: "any", "aria-label": "Part of the clip" });
    this.part.addEventListener("input", () => this.pan(Number(this.part.value)));
    this.text = element("span", "shown", { "aria-hidden": "true" });
    this.node = element("div", "view", {}, this.closer, this.wider, this.whole, this.part, this.text);
  }

  /** Shows a part that is `factor` times as long, around the playhead where it is in sight. */
  zoom(factor) {
    const { axis, time } = this.timeline;
    axis.zoom(factor, axis.shows(time) ? time : (axis.from + axis.to) / 2);
    this.timeline.redraw();
  }

  pan(from) {
    const { axis } = this.timeline;
    axis.pan(from - axis.from);
    this.timeline.redraw();
  }

  /** Follows the timeline. */
  show() {
    const { axis } = this.timeline;
    const text = `${clock(axis.from)} to ${clock(axis.to)}`;
    this.part.max = axis.end - (axis.to - axis.from);
    this.part.value = axis.from;
    this.part.setAttribute("aria-valuetext", text);
    this.text.textContent = text;
    for (const node of [this.part, this.text]) node.classList.toggle("mmduet-player-gone", !axis.zoomed);
    for (const button of [this.wider, this.whole]) setDisabled(button, !axis.zoomed);
    setDisabled(this.closer, axis.to - axis.from <= Math.min(CLOSEST, axis.end) + 1e-9);
  }
}
