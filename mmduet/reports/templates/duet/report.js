// A report's liveliness: it draws the plots from the data beside them, in the page's colours, and unfolds code.
(() => {
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // What a figure leaves to its template is drawn in the page's colours; what it sets itself stays.
  function themed(layout = {}) {
    const template = layout.template ?? {};
    const base = template.layout ?? {};
    const axis = {
      gridcolor: colour("--rule"), linecolor: colour("--rule"), zerolinecolor: colour("--rule"),
      tickcolor: colour("--rule"),
    };
    const box = { bgcolor: colour("--raised"), bordercolor: colour("--rule"), font: { color: colour("--ink") } };
    const line = { ...base.shapedefaults?.line, color: colour("--ink") };
    const page = {
      ...base,
      margin: { l: 60, r: 20, t: layout.title ? 60 : 40, b: 50, ...base.margin },
      shapedefaults: { ...base.shapedefaults, line },
      annotationdefaults: { ...base.annotationdefaults, arrowcolor: colour("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { ...base.font, color: colour("--ink"), family: colour("--sans") },
      xaxis: { ...base.xaxis, ...axis },
      yaxis: { ...base.yaxis, ...axis },
      hoverlabel: { ...base.hoverlabel, ...box },
      modebar: { ...base.modebar, bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--ink") },
      sliderdefaults: { ...base.sliderdefaults, bgcolor: colour("--rule"), bordercolor: colour("--rule") },
    };
    return { ...layout, template: { ...template, layout: page } };
  }

  const plots = [...document.querySelectorAll(".plot")].map((place) => {
    const figure = JSON.parse(place.querySelector("script").textContent);
    const canvas = place.appendChild(document.createElement("div"));
    const config = { ...figure.config, responsive: true, displaylogo: false, showSendToCloud: false };
    place.classList.add("drawn");
    Plotly.newPlot(canvas, { ...figure, layout: themed(figure.layout), config });
    return { canvas, template: () => themed(figure.layout).template };
  });
  const recolour = () => plots.forEach(({ canvas, template }) => Plotly.relayout(canvas, { template: template() }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  addEventListener("beforeprint", () => { root.dataset.print = ""; recolour(); });
  addEventListener("afterprint", () => { delete root.dataset.print; recolour(); });

  // What is wider than the page scrolls by itself, with the keys too.
  const displayed = [...document.querySelectorAll(".displayed")];
  const reachable = () => displayed.forEach((place) => {
    const scrolls = place.scrollWidth > place.clientWidth;
    const told = { tabindex: "0", role: "region", "aria-label": "Output, scrolls sideways" };
    for (const [name, value] of Object.entries(told)) {
      if (scrolls) place.setAttribute(name, value);
      else place.removeAttribute(name);
    }
  });
  addEventListener("resize", reachable);
  reachable();

  // The contents show where the reader is.
  const links = [...document.querySelectorAll("nav a")];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  const follow = () => {
    const here = headings.findLastIndex((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    links.forEach((link, index) => link.toggleAttribute("aria-current", index === here));
  };
  addEventListener("scroll", () => requestAnimationFrame(follow), { passive: true });
  follow();

  // report.html#t=14 or #t=0:14 opens the page's first player at 14 s, or its first clip. A row with such a link does, too.
  const player = document.querySelector("iframe.mmduet-player-frame, .displayed video");
  const seek = () => {
    const found = /^#t=(?:(\d+):)?(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (!player || !found) return;
    const mmduetTime = 60 * Number(found[1] ?? 0) + Number(found[2]);
    if (player.matches("video")) player.currentTime = mmduetTime;
    else player.contentWindow.postMessage({ mmduetTime }, "*"); // its frame is sandboxed and has no origin
    player.scrollIntoView({ block: "center" });
  };
  player?.addEventListener("load", seek);
  addEventListener("hashchange", seek);
  seek();
  addEventListener("click", ({ target }) => {
    const link = target.closest("tr")?.querySelector('a[href^="#t="]');
    if (!link || !getSelection().isCollapsed) return;
    if (link.hash === location.hash) seek(); // no change of the address
    else location.hash = link.hash;
  });

  const folds = [...document.querySelectorAll("details.code")];
  const button = document.getElementById("show-code");
  button.hidden = folds.length === 0;
  button.addEventListener("click", () => {
    const open = !folds.every((fold) => fold.open);
    folds.forEach((fold) => { fold.open = open; });
    button.textContent = open ? "Hide all code" : "Show all code";
  });
})();
