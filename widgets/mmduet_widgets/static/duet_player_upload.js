// Upload: a file of the user's, sent to the kernel in pieces.

const PIECE = 1_000_000; // bytes
const inBytes = (size) =>
  size < 1e3 ? `${size} bytes` : size < 1e5 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;

/** A button and a place to drop a clip. `node` stands with the choice of the clip. */
class Upload {
  /** kernel: sends commands. */
  constructor(model, kernel, signal) {
    Object.assign(this, { model, kernel });
    this.file = null; // that is being sent
    this.field = element("input", "file", { type: "file", accept: "video/*,.mkv,.avi", "aria-label": "Clip to upload", tabindex: "-1" });
    this.button = element("button", "command", { type: "button" }, "Upload …");
    this.status = element("span", "upload-status", { role: "status" });
    this.node = element("span", "field", {}, this.button, this.field, this.status);
    this.button.addEventListener("click", () => (this.file ? this.end("stopped") : this.field.click()));
    this.field.addEventListener("change", () => this.field.files[0] && this.begin(this.field.files[0]));
    follow(model, ["upload"], () => this.next(), signal);
  }

  /** Takes what is dropped on a node. */
  listen(node, signal) {
    const on = (name, listener) => node.addEventListener(name, listener, { signal });
    const highlight = (over) => node.classList.toggle("mmduet-player-over-drop", over);
    on("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      highlight(true);
    });
    on("dragleave", () => highlight(false));
    on("drop", (event) => {
      highlight(false);
      const [file] = event.dataTransfer.files;
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      this.begin(file);
    });
  }

  begin(file) {
    const { limit } = this.model.get("upload");
    this.field.value = "";
    if (file.size > limit) return this.end(`${file.name} has ${inBytes(file.size)}, the limit is ${inBytes(limit)}`);
    if (!file.size) return this.end(`${file.name} is empty`);
    this.file = file;
    this.button.textContent = "Stop upload";
    this.send(0);
  }

  async send(offset) {
    const { file } = this;
    const { name, size } = file;
    this.status.textContent = `${name}: ${inBytes(offset)} of ${inBytes(size)}`;
    const bytes = await file.slice(offset, offset + PIECE).arrayBuffer();
    if (file === this.file) this.kernel.send("upload", { piece: { name, size, offset } }, [bytes]);
  }

  /** The kernel has taken a piece, or has forgotten the clip: then its message says why. */
  next() {
    if (!this.file) return;
    const { name, received } = this.model.get("upload");
    if (name !== this.file.name) this.end("not taken");
    else if (received >= this.file.size) this.end("");
    else this.send(received);
  }

  end(status) {
    this.file = null;
    this.button.textContent = "Upload …";
    this.status.textContent = status;
  }
}
