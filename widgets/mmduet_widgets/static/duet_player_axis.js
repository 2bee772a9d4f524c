// The time axis: which part of the clip the timeline shows.

// Pixels.
const LEFT = 84;
const RIGHT = 50;
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600]; // s
const TICK_ROOM = 70; // pixels for each
const CLOSEST = 2; // s that are shown at least
const FOLLOWED = 0.1; // where in the part that is shown a playhead comes to stand that has left it

/** The shown part of a clip, from `from` to `to`, s, over the width of the timeline. */
class Axis {
  constructor() {
    Object.assign(this, { from: 0, to: 1, end: 1, width: 0 });
  }

  /** Another end, s. What shows the whole clip goes on to do so. */
  setEnd(end) {
    const whole = !this.zoomed;
    this.end = end;
    if (whole) [this.from, this.to] = [0, end];
    else this.show(this.from, this.to);
  }

  get zoomed() {
    return this.to - this.from < this.end - 1e-9;
  }

  /** Shows a part; one that reaches over the clip's ends is moved inside. */
  show(from, to) {
    const length = clamp(to - from, Math.min(CLOSEST, this.end), this.end);
    this.from = clamp(from, 0, this.end - length);
    this.to = this.from + length;
  }

  /** Shows a part `factor` times as long; the time `around` stays where it is. */
  zoom(factor, around) {
    if (factor === Infinity) return this.show(0, this.end);
    const length = clamp((this.to - this.from) * factor, Math.min(CLOSEST, this.end), this.end);
    const place = (around - this.from) / (this.to - this.from);
    this.show(around - place * length, around + (1 - place) * length);
  }

  pan(seconds) {
    this.show(this.from + seconds, this.to + seconds);
  }

  shows(time) {
    return time >= this.from && time <= this.to;
  }

  /** Moves on to a time that is not shown; whether it did. */
  reveal(time) {
    if (this.shows(time)) return false;
    this.pan(time - this.from - FOLLOWED * (this.to - this.from));
    return true;
  }

  /** Pixels for the shown part. */
  get room() {
    return this.width - LEFT - RIGHT;
  }

  x(time) {
    return LEFT + ((time - this.from) / (this.to - this.from)) * this.room;
  }

  /** The time at an x, s; at the edge of the shown part where x is beyond it. */
  time(x) {
    return clamp(this.from + ((x - LEFT) / this.room) * (this.to - this.from), this.from, this.to);
  }

  /** The times to write, and with how many decimals. */
  ticks() {
    const most = Math.max(this.room / TICK_ROOM, 1);
    const step = TICKS.find((step) => (this.to - this.from) / step <= most) ?? 2 * TICKS.at(-1);
    const times = [];
    for (let n = Math.ceil(this.from / step - 1e-9); n * step <= this.to + 1e-9; n += 1) times.push(n * step);
    return { times, digits: step < 1 ? 1 : 0 };
  }
}
