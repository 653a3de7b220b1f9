"use strict";
document.querySelectorAll("script.figure").forEach((block) => {
  const { data, layout } = JSON.parse(block.textContent);
  const plot = document.createElement("div");
  plot.className = "chart";
  block.after(plot);
  Plotly.newPlot(plot, data, layout, { displaylogo: false, displayModeBar: false, responsive: true });
});
(() => {
  const { palette, noInstance, camera: home } = JSON.parse(document.getElementById("constants").textContent);
  const blocks = [...document.querySelectorAll("script.event")];
  if (!blocks.length) return;
  const byId = (id) => document.getElementById(id);
  const choice = byId("choice");
  const config = { displaylogo: false, displayModeBar: false, responsive: true, scrollZoom: true };
  const panels = [];
  const hiddenClasses = new Set();
  let current = 0;
  let camera = home;
  let view = 0;
  let wanted = null;
  const followers = new Set();

  const unpack = ({ type, data }) => {
    if (type === "Array") return data;
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    return new globalThis[type](bytes.buffer);
  };

  const read = (block) => {
    const event = JSON.parse(block.textContent);
    const { ndim } = event;
    const flat = unpack(event.coords);
    const n = flat.length / ndim;
    const semantic = event.semantic && unpack(event.semantic);
    return {
      n,
      ndim,
      cube: event.cube,
      classes: event.classes,
      semantic,
      energy: event.energy && unpack(event.energy),
      axes: Array.from({ length: ndim }, (_, a) => Float32Array.from({ length: n }, (_, i) => flat[i * ndim + a])),
      panels: event.panels.map(({ name, labels, slots }) => ({ name, labels: unpack(labels), slots: unpack(slots) })),
    };
  };

  const colour = (slot) => (slot < 0 ? noInstance : palette[slot % palette.length]);

  const hover = (event, panel, i) => {
    const lines = [`label ${panel.labels[i]}`];
    if (event.semantic) lines.push(event.classes[event.semantic[i]]);
    if (event.energy) lines.push(`${event.energy[i].toPrecision(3)} MeV`);
    lines.push(`(${event.axes.map((axis) => axis[i]).join(", ")})`);
    return lines.join("<br>");
  };

  const trace = (event, panel, rows) => {
    const points = { x: rows.map((i) => event.axes[0][i]), y: rows.map((i) => event.axes[1][i]) };
    if (event.ndim === 3) points.z = rows.map((i) => event.axes[2][i]);
    const size = event.n > 20000 ? 1.5 : event.n > 3000 ? 2 : 2.8;
    return {
      ...points,
      type: event.ndim === 3 ? "scatter3d" : "scattergl",
      mode: "markers",
      marker: { size, color: rows.map((i) => colour(panel.slots[i])), line: { width: 0 } },
      text: rows.map((i) => hover(event, panel, i)),
      hoverinfo: "text",
      showlegend: false,
    };
  };

  const layout = (event) => {
    const axis = (a) => ({ range: event.cube[a], autorange: false, title: { text: "xyz"[a] } });
    const common = { margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: view, hoverlabel: { align: "left" } };
    if (event.ndim === 2) {
      return {
        ...common,
        margin: { l: 40, r: 10, t: 10, b: 35 },
        dragmode: "pan",
        xaxis: { ...axis(0), constrain: "domain" },
        yaxis: { ...axis(1), scaleanchor: "x" },
      };
    }
    const quiet = { backgroundcolor: "#fff", gridcolor: "#e6e9ed", zerolinecolor: "#e6e9ed", color: "#8a929b",
      nticks: 5, showspikes: false };
    const [xaxis, yaxis, zaxis] = [0, 1, 2].map((a) => ({ ...axis(a), ...quiet }));
    return { ...common, scene: { xaxis, yaxis, zaxis, aspectmode: "cube", camera, dragmode: "turntable" } };
  };

  const addPanel = () => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const plot = document.createElement("div");
    const name = document.createElement("b");
    const count = document.createElement("span");
    plot.className = "plot";
    caption.append(name, count);
    figure.append(caption, plot);
    byId("panels").append(figure);
    panels.push({ figure, plot, name, count, linked: false });
  };

  // One panel leads, the others follow: the latest view wins, and what followers report is not an order.
  const follow = async (leader, change) => {
    const keys = Object.keys(change).filter((key) => /^scene\.camera$|^[xy]axis\.range/.test(key));
    if (followers.has(leader) || !keys.length) return;
    camera = change["scene.camera"] ?? camera;
    wanted = { leader, update: Object.fromEntries(keys.map((key) => [key, change[key]])) };
    if (followers.size) return;
    while (wanted) {
      const { leader: first, update } = wanted;
      wanted = null;
      panels.filter((panel) => panel !== first && !panel.figure.hidden).forEach((panel) => followers.add(panel));
      await Promise.all([...followers].map((panel) => Plotly.relayout(panel.plot, update)));
      followers.clear();
    }
  };

  const draw = async () => {
    const event = read(blocks[current]);
    showClasses(event);
    while (panels.length < event.panels.length) addPanel();
    const rows = Array.from({ length: event.n }, (_, i) => i)
      .filter((i) => !event.semantic || !hiddenClasses.has(event.semantic[i]));
    const shown = rows.length < event.n ? `${rows.length.toLocaleString("en")} of ` : "";
    byId("count").textContent = `${shown}${event.n.toLocaleString("en")} voxel${event.n === 1 ? "" : "s"}`;
    const tasks = panels.map(async (slot, p) => {
      const panel = event.panels[p];
      slot.figure.hidden = !panel;
      if (!panel) return;
      slot.name.textContent = panel.name;
      const instances = new Set(rows.map((i) => panel.labels[i]).filter((label) => Number(label) >= 0)).size;
      slot.count.textContent = `${instances} instance${instances === 1 ? "" : "s"}`;
      await Plotly.react(slot.plot, [trace(event, panel, rows)], layout(event), config);
      if (slot.linked) return;
      slot.linked = true;
      slot.plot.on("plotly_relayouting", (change) => follow(slot, change));
      slot.plot.on("plotly_relayout", (change) => follow(slot, change));
    });
    await Promise.all(tasks);
  };

  const showClasses = (event) => {
    const boxes = Object.entries(event.classes).map(([id, name]) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !hiddenClasses.has(Number(id));
      box.addEventListener("change", () => {
        if (box.checked) hiddenClasses.delete(Number(id));
        else hiddenClasses.add(Number(id));
        draw();
      });
      label.append(box, name);
      return label;
    });
    byId("classes").replaceChildren(...boxes);
  };

  const show = (index) => {
    current = (index + blocks.length) % blocks.length;
    choice.value = String(current);
    camera = home;
    view += 1;
    history.replaceState(null, "", `#${current + 1}`);
    draw();
  };

  blocks.forEach((block, i) => choice.add(new Option(block.dataset.title, String(i))));
  choice.addEventListener("change", () => show(Number(choice.value)));
  byId("previous").addEventListener("click", () => show(current - 1));
  byId("next").addEventListener("click", () => show(current + 1));
  byId("home").addEventListener("click", () => show(current));
  document.addEventListener("keydown", (key) => {
    if (key.target === choice || key.altKey || key.ctrlKey || key.metaKey) return;
    if (key.key === "ArrowLeft") show(current - 1);
    if (key.key === "ArrowRight") show(current + 1);
  });
  show((Number.parseInt(location.hash.slice(1), 10) || 1) - 1);
})();
