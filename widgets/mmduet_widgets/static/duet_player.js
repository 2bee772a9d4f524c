// Last part: the player, and what mounts it.

const PUBLISH_EVERY = 250; // ms between two times sent to the kernel while the clip plays
const DRAG = "Drag the dashed line. ";
const HINT = "Click to seek. Space plays, ← → go by a frame, home and end to the ends, + − 0 zoom.";
const PLAY = "M4 2.5v11l9-5.5z";
const PAUSE = "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z";
const BACK = "M11.5 3v10L5 8zM3.5 3h1.5v10H3.5z";
const FORTH = "M4.5 3v10L11 8zM11 3h1.5v10H11z";

/** Joins clip, timeline, transcript and controls; holds the time that all of them show. */
class Player {
  constructor(model, signal) {
    this.model = model;
    this.signal = signal;
    this.time = 0;
    this.published = 0;
    this.live = model.get("state") === undefined ? null : new LiveControls(model, this.liveActions(), signal);
    const actions = { seek: (time) => this.seek(time), drag: (value) => this.drag(value), viewed: () => this.view?.show() };
    this.timeline = new Timeline(actions, signal);
    this.view = new View(this.timeline);
    this.export = new Export(model, this.timeline, () => model.get("title"), signal);
    this.transcript = new Transcript(actions);
    this.stage = new Stage(model, this.stageActions(), signal);
    this.build();
    this.refresh();
    this.listen();
    this.seek(model.get("time"), { publish: false });
  }

  /** Whether the model is at work on the clip: it says where the clip is. */
  get watching() {
    return this.live?.state === "running";
  }

  /** What the stage calls; a clip may change before there is anything else to show. */
  stageActions() {
    return {
      changed: () => this.node && this.refresh(),
      pictured: () => this.show(),
      toggle: () => this.toggle(),
      playing: () => this.showPlaying(),
      stopped: () => this.showPlaying({ publish: true }),
      tick: (time) => this.tick(time),
    };
  }

  /** What the controls of a run call. */
  liveActions() {
    return {
      changed: () => this.showPlaying(),
      shown: (video) => this.stage.showCamera(video),
      scored: (picture) => this.stage.addPicture(picture),
    };
  }

  // --- what is on the page

  build() {
    this.title = element("h3", "title");
    this.said = element("p", "counts");
    this.hint = element("p", "hint");
    const side = element("div", "side", {}, this.transcript.node, ...(this.live ? [this.live.ask] : []));
    this.node = element(
      "div", "", { class: "mmduet-player", role: "group", tabindex: "0" },
      element("header", "head", {}, this.title, this.said),
      ...(this.live ? [this.live.node] : []),
      element(
        "div", "body", {},
        this.stage.node, ...(this.live ? [this.live.camera.light] : []), side, this.newControls(),
        element("div", "curves", {}, this.timeline.svg, this.view.node, this.timeline.legend, this.hint),
      ),
    );
    if (this.live) this.transcript.node.setAttribute("role", "log"); // read out as it grows
  }

  newControls() {
    this.play = iconButton("Play", PLAY, () => this.toggle(), "main");
    this.back = iconButton("One frame back", BACK, () => this.step(-1));
    this.forth = iconButton("One frame forth", FORTH, () => this.step(1));
    this.shown = element("span", "time");
    this.range = element("input", "range", { type: "range", min: 0, "aria-label": "Threshold" });
    this.dial = element("label", "dial", {}, "threshold", this.range);
    this.counted = element("output", "speaks");
    this.reset = element("button", "reset", { type: "button" });
    return element(
      "div", "controls", {},
      element("div", "playback", {}, this.back, this.play, this.forth, this.shown),
      this.dial, this.counted, this.reset, this.export.node,
    );
  }

  /** Takes over all there is to show. */
  refresh() {
    const [trace, spans, curves] = ["trace", "spans", "curves"].map((name) => this.model.get(name));
    // without scores there is nothing to compare with a threshold
    const policy = curves.length ? this.model.get("policy") : { decision: null, tops: {} };
    const marks = [...trace.queries, ...trace.responses].map((turn) => turn.time);
    const title = this.model.get("title") || "Duet player";
    Object.assign(this, { trace, policy });
    this.shortest = Math.max(endOf(trace.times), ...marks, ...spans.map((span) => span.end));
    this.title.textContent = title;
    this.node.classList.toggle("mmduet-player-without", !this.stage.shows);
    this.hint.textContent = `${policy.decision ? DRAG : ""}${HINT}`;
    this.node.setAttribute("aria-label", `${title}. ${this.hint.textContent}`);
    this.transcript.set(trace);
    const thresholds = this.model.get("thresholds") ?? [];
    const { threshold, replays, end } = this;
    this.timeline.set({ trace, curves, policy, replays, spans, threshold, thresholds, live: Boolean(this.live), end });
    this.dial.classList.toggle("mmduet-player-gone", !policy.decision);
    this.range.max = policy.dial?.top;
    this.range.step = policy.dial?.step;
    this.showThreshold();
    this.showPlaying();
    this.show();
  }

  /** `refresh` once, with the browser's next frame, however often it is asked for. */
  refreshSoon() {
    cancelAnimationFrame(this.planned);
    this.planned = requestAnimationFrame(() => this.signal.aborted || this.refresh());
  }

  // --- what happens

  listen() {
    const { signal } = this;
    this.node.addEventListener("keydown", (event) => this.key(event), { signal });
    this.live?.upload.listen(this.node, signal);
    this.node.addEventListener("click", (event) => this.takeFocus(event), { signal });
    this.range.addEventListener("input", () => this.drag(Number(this.range.value)), { signal });
    this.reset.addEventListener("click", () => this.drag(Number(this.policy.threshold)), { signal });
    const sizes = new ResizeObserver(() => this.resize());
    sizes.observe(this.timeline.svg.parentNode);
    signal.addEventListener("abort", () => sizes.disconnect());
    const on = (names, listener) => follow(this.model, names, listener, signal);
    on(["time"], () => this.publishing || this.seek(this.model.get("time"), { publish: false }));
    on(["threshold"], () => this.moveThreshold());
    on(["replays"], () => this.moveThreshold());
    on(["trace", "curves", "policy", "replay_grid", "spans", "title", "duration", "thresholds"], () => this.refreshSoon());
    on(["state"], () => this.watching && this.stage.pause());
  }

  key(event) {
    const own = event.target.closest("input, select, button, summary");
    const action = {
      " ": () => (this.live?.watching ? this.live.pauseOrResume() : this.toggle()),
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.seek(0),
      End: () => this.seek(this.end),
      "+": () => this.view.zoom(1 / ZOOM),
      "-": () => this.view.zoom(ZOOM),
      0: () => this.view.zoom(Infinity),
    }[event.key];
    const kept = own && (!own.matches("button, summary") || event.key === " "); // a slider's arrows, a button's space
    if (!action || kept || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  /**
   * After a command or a click the keys are the player's again: Space plays, and does not press the same button once
   * more. A button that is pressed by key keeps the focus, unless it is a command's.
   */
  takeFocus({ target, detail }) {
    const button = target.closest("button");
    const left = button && this.node.contains(document.activeElement) && !document.activeElement.matches("input, select");
    if (left && (detail || button.matches(".mmduet-player-command, .mmduet-player-reset, .mmduet-player-item"))) focusPlayer(button);
  }

  // --- time

  /** When everything shown is over, s. */
  get end() {
    return Math.max(this.stage.duration || this.model.get("duration"), this.shortest);
  }

  resize() {
    const { width } = this.timeline.svg.parentNode.getBoundingClientRect();
    if (width) this.timeline.resize(width);
    this.show();
  }

  toggle() {
    if (!this.watching) this.stage.toggle();
  }

  /** Pauses on the next frame of the trace, or on the one before. */
  step(direction) {
    this.stage.pause();
    const { times } = this.trace;
    const after = (time) => time > this.time + NUDGE;
    const before = (time) => time < this.time - NUDGE;
    this.seek((direction > 0 ? times.find(after) : times.findLast(before)) ?? (direction > 0 ? this.end : 0));
  }

  /** publish: whether the kernel does not know the time. */
  seek(time, { publish = true } = {}) {
    if (publish && this.watching) return;
    this.time = clamp(time, 0, this.end);
    this.stage.seek(this.time);
    if (publish) this.timeline.moveTo(this.time, { reveal: true });
    this.show();
    if (publish) this.publish();
  }

  /** While the clip plays, everything follows; time is null while it is on its way elsewhere. */
  tick(time) {
    this.time = time ?? this.time;
    this.show();
    if (performance.now() - this.published > PUBLISH_EVERY) this.publish();
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
    this.stage.showPicture(this.watching ? Infinity : this.time);
    const mark = this.transcript.moveTo(this.time);
    for (const node of this.timeline.svg.querySelectorAll("[data-turn]")) {
      node.classList.toggle("mmduet-player-current", node.dataset.turn === mark);
    }
  }

  showPlaying({ publish = false } = {}) {
    if (!this.play) return; // not built yet
    const { playing } = this.stage;
    const name = playing ? "Pause" : "Play";
    this.play.setAttribute("aria-label", name);
    this.play.title = name;
    this.play.replaceChildren(icon(playing ? PAUSE : PLAY));
    setDisabled(this.play, !this.stage.video || this.watching);
    for (const button of [this.back, this.forth]) setDisabled(button, this.watching);
    if (publish && !this.watching) this.publish();
  }

  // --- the threshold

  drag(value) {
    this.model.set("threshold", Number.isFinite(value) ? value : String(value));
    this.model.save_changes();
  }

  /** The threshold as it stands; null for a policy without one. */
  get threshold() {
    const threshold = this.model.get("threshold");
    return threshold === null ? null : Number(threshold);
  }

  get replays() {
    return new Replays(this.model.get("replays"), this.model.get("replay_grid"));
  }

  moveThreshold() {
    if (this.model.get("trace") !== this.trace || this.model.get("policy") !== this.policy) return; // refreshed soon
    this.timeline.setThreshold(this.threshold, this.replays);
    this.showThreshold();
  }

  showThreshold() {
    const { decision, dial, threshold: used } = this.model.get("policy");
    const { threshold } = this;
    const { responses, times } = this.trace;
    const count = this.timeline.frames.length;
    const at = (value) => (decision ? ` at ${number(Number(value), dial.digits)}` : "");
    this.range.value = clamp(threshold, 0, dial?.top ?? 0);
    this.range.setAttribute("aria-valuetext", `${at(threshold).slice(4)}: speaks ${count} times`);
    this.counted.replaceChildren(element("b", "", {}, `speaks ${count}×`), at(threshold));
    this.counted.classList.toggle("mmduet-player-gone", !this.timeline.curves.length);
    this.reset.textContent = `back to${at(used).slice(3)}`;
    this.reset.classList.toggle("mmduet-player-hidden", !decision || threshold === Number(used));
    const when = this.timeline.thresholds.length > 1 ? "" : at(used);
    const frames = this.timeline.curves.length ? `, in ${times.length} frames` : "";
    this.said.textContent = `The model spoke ${responses.length}×${when}${frames}`;
  }
}

/** Mounts a player; returns its clean-up. */
function render({ model, el }) {
  const ending = new AbortController();
  const player = new Player(model, ending.signal);
  el.append(player.node);
  player.resize();
  model.send({ shown: true });
  return () => {
    ending.abort();
    player.node.remove();
  };
}

export default { render };
