// Fourth part: what a live player has besides: the run's buttons, its settings, the questions.

const STATES = {
  idle: "ready", running: "watching", paused: "paused", ended: "watched to the end", stopped: "stopped",
  error: "failed", silent: "no answer",
};
const CHOICES = { informative: "informative", relevance: "relevance", "informative relevance": "informative + relevance" };
const LATE = 0.5; // s behind the clip that are worth a word
const OTHER = "another file …";

/** In JupyterLab, the enter key neither ends a field's change nor sends a form. */
function onEnter(field, action) {
  field.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && action());
}

/** The controls of a run. `node` stands above the clip, `ask` under the transcript. */
class LiveControls {
  /** actions: { changed() when what can be done with the clip may have changed, and those of Camera }. */
  constructor(model, actions, signal) {
    Object.assign(this, { model, actions, signal });
    this.kernel = new Kernel(model, () => this.show(), signal);
    this.upload = new Upload(model, this.kernel, signal);
    this.camera = new Camera(model, this.kernel, { ...actions, changed: () => this.show() }, signal);
    this.node = element("div", "live", {}, this.newRun(), this.newSettings());
    this.ask = this.newQuestions();
    follow(model, ["state", "message", "stale", "waiting", "trace", "progress", "duration", "clip", "camera"], () => this.show(), signal);
    this.show();
  }

  /** Whether a run is on, be it paused. */
  get watching() {
    return ["running", "paused"].includes(this.state);
  }

  /** Of the run; "silent" where the kernel does not answer. */
  get state() {
    return this.kernel.silent ? "silent" : this.model.get("state");
  }

  send(command, more = {}) {
    this.kernel.send(command, more);
  }

  pauseOrResume() {
    this.send(this.state === "paused" ? "resume" : "pause");
  }

  // --- the run

  newRun() {
    this.start = this.button("start", () => this.begin());
    this.pause = this.button("", () => this.pauseOrResume());
    this.stop = this.button("", () => this.send("stop"));
    this.stop.textContent = "Stop";
    this.status = element("span", "status", { role: "status" });
    this.bar = element("progress", "bar", { max: 1, "aria-label": "Watched of the clip" });
    this.pace = element("span", "pace");
    this.message = element("p", "message", { role: "alert" });
    this.ownPace = this.checkbox("real_time", "at the clip's own pace");
    return element("div", "run", {}, this.start, this.pause, this.stop, this.status, this.bar, this.pace, this.ownPace, this.message);
  }

  /** Starts a run; the camera is turned on before. */
  async begin() {
    if (!this.camera.chosen || (await this.camera.open())) this.send("start");
  }

  button(names, action) {
    const button = element("button", `command ${names}`.trim(), { type: "button" });
    button.addEventListener("click", action);
    return button;
  }

  show() {
    const state = this.state;
    this.camera.update(state);
    this.start.textContent = this.watching ? "Restart" : "Watch";
    this.pause.textContent = state === "paused" ? "Resume" : "Pause";
    for (const button of [this.pause, this.stop]) setDisabled(button, !this.watching);
    this.node.dataset.state = state;
    this.status.textContent = this.camera.asking ? "asking for the camera" : STATES[state];
    this.message.textContent = this.kernel.silent ? NO_ANSWER : this.camera.problem || this.model.get("message");
    this.ownPace.classList.toggle("mmduet-player-gone", this.camera.chosen);
    this.showProgress();
    this.note.textContent = this.model.get("stale")
      ? `Changed: ${this.watching ? "restart" : "watch again"} to use it.`
      : "Used from the next start on.";
    this.note.classList.toggle("mmduet-player-stale", this.model.get("stale"));
    const waiting = this.model.get("waiting");
    const when = this.watching ? "With the next frame" : "Asked at the start";
    this.waiting.textContent = waiting.length ? `${when}: ${waiting.join(" · ")}` : "";
    this.forget.classList.toggle("mmduet-player-gone", this.watching || !waiting.length);
    this.actions.changed();
  }

  /** How much of the clip is watched, how long the rest takes, and whether the model keeps up. */
  showProgress() {
    const seen = this.model.get("trace").times.at(-1) ?? 0;
    const { behind, left } = this.model.get("progress");
    const parts = [
      Number.isFinite(left) ? `about ${clock(left, 0)} left` : "",
      behind >= LATE ? `${behind.toFixed(1)} s behind the clip` : "",
      ...(this.camera.chosen ? this.camera.figures : []),
    ];
    this.bar.value = this.duration ? clamp(seen / this.duration, 0, 1) : 0;
    this.pace.textContent = parts.filter(Boolean).join(" · ");
    this.bar.classList.toggle("mmduet-player-gone", !this.watching || this.camera.chosen);
    this.pace.classList.toggle("mmduet-player-gone", !this.watching);
  }

  /** Of the clip, s; 0 where it is not known. */
  get duration() {
    return this.model.get("duration");
  }

  // --- its settings

  newSettings() {
    this.note = element("p", "settings-note", { role: "status" });
    return element(
      "fieldset", "settings", {},
      element("legend", "settings-name", {}, "Settings"),
      ...this.newClips(),
      this.newPolicy(),
      this.number("frame_fps", "a frame every", "s", (seconds) => 1 / seconds, { min: 0.01, step: 0.05 }),
      this.number("repetition_penalty", "repetition penalty", "", (value) => value, { min: 0.05, step: 0.05 }),
      this.checkbox("remove_assistant_turns", "remove earlier responses"),
      this.note,
    );
  }

  /** The list of clips, and a field for a path that comes up when none of them is wanted. */
  newClips() {
    const path = element("input", "entry path", {
      type: "text", placeholder: "path of a clip, where the model runs", "aria-label": "Path of a clip", spellcheck: "false",
    });
    const list = element("select", "select", { "aria-label": "Clip" });
    const show = () => {
      const [clip, clips] = [this.model.get("clip"), this.model.get("clips")];
      const all = [...clips, clip].filter((file, at, files) => file !== CAMERA && files.indexOf(file) === at);
      const name = (file) => file.split(/[\\/]/).at(-1);
      list.replaceChildren(
        ...all.map((file) => element("option", "", { value: file, title: file }, name(file))),
        element("option", "", { value: CAMERA }, "this device's camera"),
        element("option", "", { value: "" }, OTHER),
      );
      list.value = clip;
      path.classList.add("mmduet-player-gone");
    };
    list.addEventListener("change", () => {
      path.classList.toggle("mmduet-player-gone", list.value !== "");
      if (list.value) this.set("clip", list.value);
      else path.focus();
    });
    const choose = () => path.value.trim() && this.set("clip", path.value.trim());
    path.addEventListener("change", choose);
    onEnter(path, choose);
    follow(this.model, ["clip", "clips"], show, this.signal);
    show();
    return [element("label", "field", {}, "clip", list), path, this.upload.node];
  }

  /** The policy, and its heads where the model has any. */
  newPolicy() {
    if (!this.model.get("modes").some(({ heads }) => heads)) return element("label", "field", {}, "policy", this.newMode());
    return element("span", "field", {}, "speak when", this.newHeads(), "scores", this.newMode());
  }

  newHeads() {
    const list = this.select("Heads", CHOICES);
    const show = () => {
      list.value = [...this.model.get("heads")].sort().join(" ");
      list.disabled = !this.model.get("modes").find(({ mode }) => mode === this.model.get("mode"))?.heads;
    };
    this.bind("heads", list, () => this.set("heads", list.value.split(" ")), show);
    follow(this.model, ["mode", "modes"], show, this.signal);
    return list;
  }

  newMode() {
    const modes = this.model.get("modes").map(({ mode, rule }) => [mode, rule]);
    const list = this.select("Policy", Object.fromEntries(modes));
    this.bind("mode", list, () => this.set("mode", list.value), () => (list.value = this.model.get("mode")));
    return list;
  }

  /** choices: { value: name }. */
  select(label, choices) {
    const options = Object.entries(choices).map(([value, name]) => element("option", "", { value }, name));
    return element("select", "select", { "aria-label": label }, ...options);
  }

  /** convert: a trait's value from the field's, and back. */
  number(trait, label, unit, convert, attributes) {
    const field = element("input", "number", { type: "number", ...attributes });
    const show = () => (field.value = Number(convert(this.model.get(trait)).toPrecision(3)));
    const change = () => (field.value > 0 ? this.set(trait, convert(Number(field.value))) : show());
    this.bind(trait, field, change, show);
    onEnter(field, change);
    return element("label", "field", {}, label, field, unit);
  }

  checkbox(trait, label) {
    const box = element("input", "box", { type: "checkbox" });
    this.bind(trait, box, () => this.set(trait, box.checked), () => (box.checked = this.model.get(trait)));
    return element("label", "field", {}, box, label);
  }

  /** Joins a field and a trait, both ways. */
  bind(trait, field, change, show) {
    field.addEventListener("change", change);
    follow(this.model, [trait], show, this.signal);
    show();
  }

  set(trait, value) {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  // --- questions

  newQuestions() {
    this.waiting = element("p", "waiting", { role: "status" });
    this.forget = this.button("forget", () => this.send("forget"));
    this.forget.textContent = "Drop";
    const waiting = element("div", "queue", {}, this.waiting, this.forget);
    const field = element("input", "entry question", { type: "text", placeholder: "Ask now …", "aria-label": "Question" });
    const ask = () => {
      this.send("ask", { text: field.value });
      field.value = "";
    };
    onEnter(field, ask);
    const button = this.button("", ask);
    button.textContent = "Ask";
    const examples = this.model.get("examples").map((text) => {
      const example = element("button", "example", { type: "button", title: "Take this question" }, text);
      example.addEventListener("click", () => {
        field.value = text;
        field.focus();
      });
      return example;
    });
    const row = element("div", "ask", {}, field, button);
    return element("div", "questions", {}, waiting, row, element("div", "examples", {}, ...examples));
  }
}
