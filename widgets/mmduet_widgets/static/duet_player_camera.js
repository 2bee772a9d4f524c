// The camera of the visitor: its frames go to the kernel, one at a time.

const CAMERA = "camera:"; // in the place of a clip's path
const QUALITY = 0.85; // of a frame's JPEG
const WITHOUT = "Clips work without it.";
const INSECURE = `The camera needs a secure page: open this page over https, or on the kernel's own machine at 127.0.0.1. ${WITHOUT}`;
const GONE = `The camera sends nothing more: connect it, and press Watch again. ${WITHOUT}`;
const REFUSALS = {
  NotAllowedError: "The camera is not allowed: allow it for this page in the browser, and press Watch again.",
  NotFoundError: "No camera was found: connect one, and press Watch again.",
  NotReadableError: "The camera cannot be used: close the program that uses it, and press Watch again.",
};

/**
 * The camera is on while this page's run is, and at no other time. A frame is captured at the session's rate, at the
 * times of a clock that a pause stops. A frame that is due while the kernel has not received the last one is dropped.
 */
class Camera {
  /** actions: { changed(), shown(video) with null when it is off, scored({ time, jpeg }) }. kernel: sends commands. */
  constructor(model, kernel, actions, signal) {
    Object.assign(this, { model, kernel, actions, signal });
    this.problem = ""; // why it is off
    this.latency = null; // ms from the capture of the last frame to its scores on the page
    this.stream = null;
    this.starting = false; // a run of this page is to begin
    this.canvas = document.createElement("canvas");
    this.light = element("p", "light", { role: "status" });
    const leave = () => {
      if (!this.stream) return;
      this.release();
      this.kernel.send("stop");
    };
    signal.addEventListener("abort", leave);
    addEventListener("pagehide", leave, { signal });
    follow(model, ["message"], () => this.starting && model.get("message") && this.release(), signal); // no run begins
  }

  /** Whether it is chosen in a clip's place. */
  get chosen() {
    return this.model.get("clip") === CAMERA;
  }

  /** What is to be known of a run, in words. */
  get figures() {
    if (this.run !== this.model.get("camera").run) return []; // the run of another page
    const { dropped } = this.model.get("camera");
    const latency = this.latency === null ? "" : `latency ${Math.round(this.latency)} ms`;
    return [latency, `${dropped} ${dropped === 1 ? "frame" : "frames"} dropped`];
  }

  // --- on and off

  /** Turns it on for a run that is about to start; whether it is on. */
  async open() {
    if (this.asking) return false;
    this.problem = "";
    this.asking = true;
    this.actions.changed();
    try {
      if (!this.stream) await this.turnOn();
      this.starting = true;
    } catch (error) {
      this.release();
      this.problem = REFUSALS[error.name] ? `${REFUSALS[error.name]} ${WITHOUT}` : error.message;
    }
    this.asking = false;
    this.actions.changed();
    return this.starting;
  }

  async turnOn() {
    if (!isSecureContext || !navigator.mediaDevices) throw new Error(INSECURE);
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    this.stream = stream;
    if (!this.chosen || this.signal.aborted) throw new Error(""); // the visitor went on meanwhile
    for (const track of stream.getTracks()) track.addEventListener("ended", () => this.fail(GONE));
    this.video = element("video", "picture", { playsinline: "", "aria-label": "What the camera sees", tabindex: "-1" });
    this.video.muted = true;
    this.video.srcObject = stream;
    this.actions.shown(this.video);
    await this.video.play();
  }

  fail(problem) {
    if (!this.stream) return;
    this.release();
    this.problem = problem;
    this.kernel.send("stop");
    this.actions.changed();
  }

  release() {
    clearTimeout(this.timer);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.starting = false;
    if (!this.stream) return;
    this.stream = null;
    this.actions.shown(null);
  }

  /** Follows the run, whose state is as of LiveControls. */
  update(state) {
    const { run } = this.model.get("camera");
    const on = ["running", "paused"].includes(state);
    if (this.starting && on && run !== this.run) this.begin(run);
    if (this.starting ? state === "silent" : !on || run !== this.run) this.release();
    if (!this.chosen) this.problem = "";
    this.keepTime(state);
    this.hear();
    this.light.textContent = this.stream ? (state === "paused" ? "Camera on, nothing is sent" : "Camera on") : "";
  }

  // --- its frames

  begin(run) {
    Object.assign(this, { run, starting: false, sent: -1, scored: -1, latency: null, frames: new Map() });
    this.began = performance.now();
    this.paused = null;
    this.tick();
  }

  /** A pause stops the camera's clock. */
  keepTime(state) {
    if (state === "paused") this.paused ??= performance.now();
    else if (this.paused) {
      this.began += performance.now() - this.paused;
      this.paused = null;
      if (this.stream && !this.starting) this.tick();
    }
  }

  /** Captures the frame that is due, and comes back for the next one. */
  tick() {
    clearTimeout(this.timer);
    if (!this.stream || this.paused) return;
    const { fps, received } = this.model.get("camera");
    const elapsed = (performance.now() - this.began) / 1000;
    const number = Math.floor((elapsed + NUDGE) * fps);
    if (number > this.sent && this.sent <= received) this.capture(number);
    this.timer = setTimeout(() => this.tick(), Math.max(0, ((number + 1) / fps - elapsed) * 1000));
  }

  async capture(number) {
    const { run, video, canvas } = this;
    const { side } = this.model.get("camera");
    const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const captured = performance.now();
    this.sent = number;
    const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
    const bytes = await jpeg.arrayBuffer();
    if (!this.stream || run !== this.run) return;
    this.frames.set(number, { captured, jpeg });
    this.model.send({ frame: { run, number } }, undefined, [bytes]);
  }

  /** The kernel has scored a frame. */
  hear() {
    const { run, scored, fps } = this.model.get("camera");
    if (run !== this.run || scored === this.scored) return;
    this.scored = scored;
    const frame = this.frames.get(scored);
    for (const number of this.frames.keys()) if (number <= scored) this.frames.delete(number);
    if (!frame) return;
    this.latency = performance.now() - frame.captured;
    this.actions.scored({ time: scored / fps, jpeg: frame.jpeg });
  }
}
