"use strict";
document.querySelectorAll("script.figure").forEach((block) => {
  const { data, layout } = JSON.parse(block.textContent);
  const plot = document.createElement("div");
  plot.className = "chart";
  block.after(plot);
  Plotly.newPlot(plot, data, layout, { displaylogo: false, displayModeBar: false, responsive: true });
});
