// Export: the trace as a file, and the timeline as a picture.

const TEXTS = { srt: "Subtitles (SRT)", vtt: "Subtitles (WebVTT)", csv: "Table (CSV)", json: "Trace (JSON)" };
const PICTURES_OF = { svg: "Timeline (SVG)", png: "Timeline (PNG)" };
const KIND = { srt: "application/x-subrip", vtt: "text/vtt", csv: "text/csv", json: "application/json", svg: "image/svg+xml" };
const SHARP = 3; // pixels of a PNG for each of the page's
const PAINT = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline",
];
const LEGEND = 22; // pixels under the timeline
const ANSWER = 3000; // ms that the kernel may take

/** A menu of files. `node` stands among the controls. */
class Export {
  /** title: gives the files' name. */
  constructor(model, timeline, title, signal) {
    Object.assign(this, { model, timeline, title });
    this.status = element("span", "export-status", { role: "status" });
    const items = Object.entries({ ...TEXTS, ...PICTURES_OF }).map(([kind, name]) => this.item(kind, name));
    this.menu = element("details", "menu", {}, element("summary", "reset", {}, "Export"), element("div", "items", {}, ...items));
    this.node = element("div", "export", {}, this.menu, this.status);
    this.menu.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
    const answer = (message) => message.export && this.save(message.export, message.text);
    model.on("msg:custom", answer);
    signal.addEventListener("abort", () => {
      clearTimeout(this.waiting);
      model.off("msg:custom", answer);
    });
  }

  item(kind, name) {
    const button = element("button", "item", { type: "button" }, name);
    button.addEventListener("click", () => {
      this.close();
      this.make(kind);
    });
    return button;
  }

  close() {
    this.menu.open = false;
  }

  /** A text comes from the page's own data, or from the kernel, which alone writes them; a picture is drawn here. */
  make(kind) {
    this.status.textContent = "";
    const texts = this.model.get("exports");
    if (kind === "svg") this.save(kind, this.picture().text);
    else if (kind === "png") this.savePng();
    else if (texts) this.save(kind, texts[kind]);
    else {
      this.model.send({ export: kind });
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => (this.status.textContent = NO_ANSWER), ANSWER);
    }
  }

  save(kind, text) {
    clearTimeout(this.waiting);
    this.status.textContent = "";
    this.download(kind, new Blob([text], { type: KIND[kind] }));
  }

  download(kind, blob) {
    const url = URL.createObjectURL(blob);
    const name = this.title().replace(/\.\w{1,5}$/, "").replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) || "duet";
    element("a", "", { href: url, download: `${name}.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it after the click
  }

  /** The timeline as a document of its own, in light colours on white, with its legend: { text, width, height }. */
  picture() {
    const { timeline } = this;
    const player = timeline.svg.closest(".mmduet-player");
    player.style.colorScheme = "light";
    const copy = timeline.svg.cloneNode(true);
    paint(timeline.svg, copy);
    const names = [...timeline.legend.querySelectorAll(".mmduet-player-key")].map((key) => ({
      name: key.firstChild.textContent, color: getComputedStyle(key).getPropertyValue("--color"),
    }));
    player.style.colorScheme = "";
    for (const node of copy.querySelectorAll(".mmduet-player-tip, .mmduet-player-grab")) node.remove();
    const { width } = timeline.axis;
    const height = timeline.height + LEGEND;
    copy.prepend(shape("rect", "", { width, height, fill: "#ffffff" }));
    copy.append(...legend(names, timeline.height + LEGEND / 2));
    for (const [name, value] of Object.entries({ xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` })) {
      copy.setAttribute(name, value);
    }
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  async savePng() {
    const { text, width, height } = this.picture();
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = element("canvas", "", { width: SHARP * width, height: SHARP * height });
    canvas.getContext("2d").drawImage(image, 0, 0, SHARP * width, SHARP * height);
    canvas.toBlob((blob) => this.download("png", blob), "image/png");
  }
}

/** Writes the look of each element of a drawing into a copy, which has no style sheet. */
function paint(drawing, copy) {
  const copies = copy.querySelectorAll("*");
  drawing.querySelectorAll("*").forEach((node, at) => {
    const look = getComputedStyle(node);
    for (const name of PAINT) copies[at].style.setProperty(name, look.getPropertyValue(name));
    copies[at].removeAttribute("class");
    if (node.matches(".mmduet-player-tip, .mmduet-player-grab")) copies[at].setAttribute("class", node.getAttribute("class"));
  });
}

/** names: { name, color } of each curve. */
function legend(names, y) {
  const font = { "font-family": "sans-serif", "font-size": 11, fill: "#20242c", "dominant-baseline": "central" };
  let x = LEFT;
  return names.flatMap(({ name, color }) => {
    const parts = [
      shape("line", "", { x1: x, x2: x + 16, y1: y, y2: y, stroke: color, "stroke-width": 3 }),
      shape("text", "", { x: x + 22, y, ...font }, name),
    ];
    x += 40 + name.length * LETTER;
    return parts;
  });
}
