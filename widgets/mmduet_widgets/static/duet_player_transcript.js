// Third part: the transcript.

/** Who said what, in order of time; the last line up to the playhead is the current one. */
class Transcript {
  /** actions: { seek(time) }. */
  constructor(actions) {
    this.actions = actions;
    this.list = element("ol", "lines");
    this.node = element("section", "transcript", { "aria-label": "Transcript" }, this.list);
    this.turns = [];
  }

  /** Shows a trace's turns. What begins with those that stand here only gets new lines. */
  set(trace) {
    const turns = [
      ...trace.queries.map((turn, index) => ({ ...turn, who: "user", mark: `asked ${index}` })),
      ...trace.responses.map((turn, index) => ({ ...turn, who: "model", mark: `said ${index}` })),
    ].sort((a, b) => a.time - b.time); // stable: what is asked stands before what is said
    const grows = this.turns.length && this.turns.every(({ mark, text }, at) => mark === turns[at]?.mark && text === turns[at].text);
    if (!grows) this.clear(turns.length ? "" : "Nothing was asked, nothing said.");
    for (const turn of turns.slice(this.turns.length)) {
      this.lines.push(this.line(turn));
      this.list.append(element("li", "", {}, this.lines.at(-1)));
    }
    this.turns = turns;
  }

  clear(note) {
    this.list.replaceChildren(...(note ? [element("li", "nothing", {}, note)] : []));
    [this.turns, this.lines, this.current] = [[], [], -1];
  }

  line({ time, who, text }) {
    const button = element(
      "button", `line ${who}`, { type: "button" },
      element("span", "when", {}, clock(time)),
      element("span", "who", {}, who),
      element("span", "text", {}, text || "(nothing)"),
    );
    button.addEventListener("click", () => this.actions.seek(time));
    return button;
  }

  /** Highlights the current line and keeps it in sight; returns its mark's name. */
  moveTo(time) {
    const current = this.turns.findLastIndex((turn) => turn.time <= time + NUDGE);
    if (current !== this.current) {
      this.lines[this.current]?.removeAttribute("aria-current");
      this.lines[current]?.setAttribute("aria-current", "true");
      this.current = current;
      this.reveal(this.lines[Math.max(current, 0)]);
    }
    return this.turns[current]?.mark ?? "";
  }

  /** Scrolls the list alone, never the page. */
  reveal(line) {
    if (!line) return;
    const [box, own] = [line.getBoundingClientRect(), this.node.getBoundingClientRect()];
    if (box.top < own.top) this.node.scrollTop -= own.top - box.top + 8;
    else if (box.bottom > own.bottom) this.node.scrollTop += box.bottom - own.bottom + 8;
  }
}
