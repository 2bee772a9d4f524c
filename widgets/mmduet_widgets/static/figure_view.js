// The browser's side of FigureView: plotly.js draws `figure`, changes what `moved` says, and tells what was clicked.
// plotly.js comes with the widget, compressed, and is unpacked once a page.

async function unpack(packed) {
  const source = new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")));
  const address = URL.createObjectURL(new Blob([await source.text()], { type: "text/javascript" }));
  await import(address);
  URL.revokeObjectURL(address);
  return globalThis.Plotly;
}

async function render({ model, el }) {
  const Plotly = await (globalThis.mmduetPlotly ??= unpack(model.get("plotly")));
  const place = el.appendChild(document.createElement("div"));
  const move = async () => {
    const { traces, changes } = JSON.parse(model.get("moved"));
    if (place.data && traces.length) await Plotly.restyle(place, changes, traces);
  };
  const draw = async () => {
    const { data, layout } = JSON.parse(model.get("figure"));
    await Plotly.react(place, data, layout, { responsive: true });
    await move();
  };
  model.on("change:figure", draw);
  model.on("change:moved", move);
  await draw();
  place.on("plotly_click", ({ points: [{ x, y, fullData }] }) => {
    model.set("clicked", { axis: fullData.yaxis, x, y, at: Date.now() });
    model.save_changes();
  });
  const observer = new ResizeObserver(() => place.offsetWidth && Plotly.Plots.resize(place));
  observer.observe(el);
  return () => {
    observer.disconnect();
    model.off("change:figure", draw);
    model.off("change:moved", move);
    Plotly.purge(place);
  };
}

export default { render };
