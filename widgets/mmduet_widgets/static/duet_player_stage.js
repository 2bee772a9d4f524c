// The stage: it shows the clip.

const UNPLAYABLE = "This browser cannot play the clip; curves and transcript work without it.";

const PICTURES = 600; // that are kept to go back to; where there are more, every second one is dropped

/** The clip or the camera; where the browser cannot show it, the frames that the model saw; else a sentence that says why. */
class Stage {
  /**
   * actions: { changed() when something else is shown or its length is known, pictured() when a frame has come, toggle(),
   * playing() when the clip begins to play, stopped(), tick(time) while it plays }.
   */
  constructor(model, actions, signal) {
    Object.assign(this, { model, actions, signal });
    this.wanted = null; // where the clip shall be, while it is on its way elsewhere
    this.starting = false; // whether it shall play once it is there
    this.node = element("div", "stage");
    this.load();
    follow(model, ["video", "note"], () => this.load(), signal);
    follow(model, ["picture"], () => this.addPicture(this.model.get("picture")), signal);
    signal.addEventListener("abort", () => this.release());
  }

  get playing() {
    return Boolean(this.video && !this.video.paused);
  }

  /** Whether there is something to see. */
  get shows() {
    return Boolean(this.video || this.camera || this.pictures.length);
  }

  /** Of the clip, s; 0 where it is not known. */
  get duration() {
    const duration = this.video?.duration;
    return Number.isFinite(duration) ? duration : 0;
  }

  /** The clip from its bytes, or the sentence that says why there is none. */
  load() {
    this.release();
    this.camera = null;
    this.pictures = [];
    const bytes = this.model.get("video");
    if (!bytes?.byteLength) return this.goWithout(this.model.get("note"));
    const type = bytes.getUint32(4) === 0x66747970 ? "video/mp4" : "video/webm"; // "ftyp"
    this.url = URL.createObjectURL(new Blob([bytes], { type }));
    const attributes = { playsinline: "", preload: "auto", "aria-label": "The clip", tabindex: "-1" };
    this.video = element("video", "video", attributes);
    this.video.src = this.url;
    this.node.replaceChildren(this.video);
    this.listen(this.video);
    this.actions.changed();
  }

  goWithout(note) {
    this.video = null;
    this.node.replaceChildren(element("p", "note", { role: "note" }, note));
    this.actions.changed();
  }

  /** Gives the clip's memory back. */
  release() {
    cancelAnimationFrame(this.request);
    this.pause();
    for (const shown of [this.video, this.image]) shown?.removeAttribute("src"); // else it would load what is gone
    URL.revokeObjectURL(this.url);
  }

  listen(video) {
    const on = (event, listener) => video.addEventListener(event, () => video === this.video && listener());
    on("loadedmetadata", () => (video.videoWidth ? this.actions.changed() : this.fail())); // of some, only the sound plays
    on("click", () => this.actions.toggle());
    on("play", () => this.follow());
    on("pause", () => this.actions.stopped());
    on("seeked", () => this.arrive());
    on("error", () => this.fail());
  }

  fail() {
    this.release();
    this.goWithout(UNPLAYABLE);
    if (this.model.get("frames_wanted") === undefined) return; // there is no model at work
    this.model.set("frames_wanted", true);
    this.model.save_changes();
  }

  // --- frames of the model

  /** { time, jpeg }; of an earlier time than the last one, it begins another run. */
  addPicture({ time, jpeg }) {
    if (!jpeg) return this.load(); // another clip
    if (this.video) return;
    if (time <= this.pictures.at(-1)?.time) this.pictures = [];
    this.pictures.push({ time, jpeg: new Blob([jpeg], { type: "image/jpeg" }) });
    if (this.pictures.length > PICTURES) this.pictures = this.pictures.filter((_, at) => at % 2);
    this.showPictures();
  }

  /** Makes room for the frames, where there are some and the camera is off. */
  showPictures() {
    if (this.camera || !this.pictures.length) return;
    if (!this.image?.isConnected) {
      this.picture = null;
      this.image = element("img", "picture", { alt: "The frame that the model saw" });
      this.node.replaceChildren(this.image);
      this.actions.changed();
    }
    this.actions.pictured();
  }

  /** What the camera sees; null where it is off: the frames of it that the model saw remain. */
  showCamera(video) {
    this.camera = video;
    if (video) this.node.replaceChildren(video);
    else if (this.pictures.length) return this.showPictures();
    else if (!this.video) return this.goWithout(this.model.get("note"));
    this.actions.changed();
  }

  /** Shows the frame that the model saw last before a time. */
  showPicture(time) {
    if (this.video || this.camera || !this.pictures.length) return;
    const picture = this.pictures.findLast((picture) => picture.time <= time + NUDGE) ?? this.pictures[0];
    if (picture === this.picture) return;
    this.picture = picture;
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(picture.jpeg);
    this.image.src = this.url;
  }

  // --- time

  toggle() {
    if (!this.video) return;
    if (this.playing) return this.pause();
    this.starting = !this.starting;
    this.arrive();
  }

  pause() {
    this.starting = false;
    this.video?.pause();
  }

  seek(time) {
    this.wanted = time + NUDGE;
    this.arrive();
  }

  /** One seek at a time: a clip sent elsewhere again and again shows no picture, one that plays stops at its end. */
  arrive() {
    if (!this.video || this.video.seeking) return;
    if (this.wanted !== null) {
      this.video.currentTime = this.wanted;
      this.wanted = null;
    } else if (this.starting) {
      this.starting = false;
      this.video.play().catch(() => this.actions.stopped());
    }
  }

  /** Says where the clip is, while it plays. */
  follow() {
    this.actions.playing();
    cancelAnimationFrame(this.request);
    const tick = () => {
      if (!this.playing || this.signal.aborted) return;
      this.actions.tick(this.video.seeking || this.wanted !== null ? null : this.video.currentTime);
      this.request = requestAnimationFrame(tick);
    };
    tick();
  }
}
