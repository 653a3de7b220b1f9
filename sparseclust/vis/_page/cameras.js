// All scenes of a figure turn with the one that is turned: the latest view wins, and what the others report
// meanwhile is no order.
const plot = document.getElementById("{plot_id}");
const isCamera = (name) => /^scene\d*\.camera$/.test(name);
const scenes = Object.keys(plot._fullLayout).filter((name) => /^scene\d*$/.test(name));
let [wanted, leading] = [null, null];
const follow = async (change) => {
  const key = Object.keys(change).find(isCamera);
  if (!key || (leading && key !== leading)) return;
  wanted = change[key];
  if (leading) return;
  leading = key;
  while (wanted) {
    const camera = wanted;
    wanted = null;
    const others = scenes.map((name) => `${name}.camera`).filter((name) => name !== key);
    await Plotly.relayout(plot, Object.fromEntries(others.map((name) => [name, camera])));
  }
  leading = null;
};
plot.on("plotly_relayouting", follow);
plot.on("plotly_relayout", follow);
