// The kernel: whether it answers.

const SILENCE = 3000; // ms; a run's heart beats once a second
const LOOK_EVERY = 500; // ms
const SIGNS = ["heartbeat", "heard", "state", "trace", "waiting", "message", "progress", "picture"];
const NO_ANSWER = "The kernel does not answer: it is busy, or it has ended. If it has ended, run the cell again.";

/** Notices when a kernel that owes a sign of life gives none: a beat of its run, or the answer to a command. */
class Kernel {
  /** changed: called when `silent` changes. */
  constructor(model, changed, signal) {
    Object.assign(this, { model, changed });
    this.silent = false;
    this.sent = this.model.get("heard");
    this.hear();
    follow(model, SIGNS, () => this.hear(), signal);
    const timer = setInterval(() => this.look(), LOOK_EVERY);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  /** buffers: bytes that go with it. */
  send(command, more, buffers = []) {
    if (!this.owing) this.last = performance.now();
    this.sent += 1;
    this.model.send({ command, number: this.sent, ...more }, undefined, buffers);
  }

  /** Whether a sign of life is to come. */
  get owing() {
    return ["running", "paused"].includes(this.model.get("state")) || this.model.get("heard") < this.sent;
  }

  hear() {
    this.last = performance.now();
    this.set(false);
  }

  look() {
    const now = performance.now();
    if (now - (this.looked ?? now) > 3 * LOOK_EVERY) this.last = now; // the page itself was asleep
    this.looked = now;
    this.set(this.owing && now - this.last > SILENCE);
  }

  set(silent) {
    if (silent === this.silent) return;
    this.silent = silent;
    this.changed();
  }
}
