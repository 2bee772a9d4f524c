// What holds for every plot of our pages; it follows plotly.js. No plot offers to send its data to a server. A picture
// is saved on white, whatever the page's colours are. A printed plot is as wide as the paper, and no taller.
(() => {
  const INK = "#20242c", RULE = "#dedcd5", WHITE = "#ffffff";
  const PAPER = { width: 680, height: 940 }; // CSS pixels of A4 or Letter within the margins of a page
  const SCALE = { png: 2, svg: 1 }; // of a saved picture

  // The layout for a white background. Colours that the figure sets itself stay; so does a background of its own.
  function onWhite(layout) {
    const base = layout.template?.layout ?? {};
    const axis = { gridcolor: RULE, linecolor: RULE, zerolinecolor: RULE };
    const page = {
      ...base,
      paper_bgcolor: WHITE, plot_bgcolor: WHITE,
      font: { ...base.font, color: INK },
      xaxis: { ...base.xaxis, ...axis },
      yaxis: { ...base.yaxis, ...axis },
    };
    return { ...layout, template: { ...layout.template, layout: page } };
  }

  function save(plot, format) {
    const { width, height, title } = plot._fullLayout;
    const filename = title.text?.replace(/<[^>]*>/g, "").replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 60) || "figure";
    const figure = { data: plot.data, layout: onWhite(plot.layout) };
    return Plotly.downloadImage(figure, { format, width, height, scale: SCALE[format], filename });
  }

  const saving = (format) => ({
    name: `save-${format}`,
    title: `Save as ${format.toUpperCase()}`,
    icon: Plotly.Icons[format === "png" ? "camera" : "disk"],
    click: (plot) => save(plot, format),
  });

  Plotly.setPlotConfig({
    showSendToCloud: false,
    displaylogo: false,
    modeBarButtonsToRemove: ["toImage"],
    modeBarButtonsToAdd: [saving("png"), saving("svg")],
  });

  const before = new Map(); // plot: what its layout says of its size
  addEventListener("beforeprint", () => {
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      if (!plot.offsetWidth || before.has(plot)) continue;
      const { height } = plot._fullLayout;
      const { width = null, autosize = true } = plot.layout;
      before.set(plot, { width, height: plot.layout.height ?? null, autosize });
      const zoom = Math.min(1, PAPER.height / height);
      plot.style.zoom = zoom;
      Plotly.relayout(plot, { width: PAPER.width / zoom, height });
    }
  });
  addEventListener("afterprint", () => {
    for (const [plot, size] of before) {
      plot.style.zoom = "";
      Plotly.relayout(plot, size);
    }
    before.clear();
  });
})();
