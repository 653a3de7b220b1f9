"use strict";
(() => {
  const root = document.documentElement;
  const { palette, noInstance, classes: classNames, score } = JSON.parse(document.getElementById("constants").textContent);
  const blocks = document.querySelectorAll("script.event");
  const entries = JSON.parse(document.getElementById("index").textContent)
    .map((entry, i) => ({ ...entry, title: blocks[i].dataset.title }));
  if (!entries.length) {
    root.dataset.ready = "";
    return;
  }
  const scene = makeScene(palette, noInstance);
  const byId = (id) => document.getElementById(id);
  const classIds = Object.keys(classNames).map(Number);
  const scored = entries.some((entry) => Object.keys(entry.scores).length);
  const GALLERY = 4;
  const hidden = new Set();
  const panels = [];
  let order = entries.map((_, i) => i);
  let sorting = { key: "file", descending: false };
  let current = -1;
  let event = null;
  let rows = null;
  let camera = scene.home();

  const make = (tag, text = "", properties = {}) => Object.assign(document.createElement(tag), { textContent: text }, properties);
  const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  const three = (value) => (value === undefined ? "" : value.toFixed(3));

  // ------------------------------------------------------------------------------------------ events, unpacked
  const unpack = async (number) => {
    const text = atob(blocks[number].textContent);
    const packed = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = await new Response(stream).arrayBuffer();
    const length = new DataView(bytes).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    let offset = 4 + length;
    const arrays = header.arrays.map((type) => {
      const array = new globalThis[type](bytes, offset, header.n);
      offset += Math.ceil(array.byteLength / 8) * 8;
      return array;
    });
    return arrange(header, arrays);
  };

  const arrange = (header, arrays) => {
    const { n, ndim, cube } = header;
    const half = (cube[0][1] - cube[0][0]) / 2;
    const coords = arrays.splice(0, ndim);
    const places = coords.map((axis, a) => Float32Array.from(axis, (v) => (v - cube[a][0]) / half - 1));
    if (ndim === 2) places.push(new Float32Array(n));
    const energy = header.energy ? arrays.shift() : null;
    const semantic = header.semantic ? arrays.shift() : null;
    const unpacked = header.panels.map(({ name, labels, places: colours }, p) => ({
      name, labels, which: arrays[p], colours: Int8Array.from(arrays[p], (k) => colours[k]),
    }));
    return { n, ndim, cube, half, coords, places, energy, semantic, panels: unpacked };
  };

  const cache = new Map();
  const fetchEvent = (number) => {
    const found = cache.get(number) ?? unpack(number);
    cache.delete(number);
    cache.set(number, found);
    if (cache.size > 6) cache.delete(cache.keys().next().value);
    return found;
  };

  const visibleRows = (of, without) => {
    const kept = new Uint32Array(of.n);
    let n = 0;
    for (let i = 0; i < of.n; i += 1) if (!of.semantic || !without.has(of.semantic[i])) kept[n++] = i;
    return kept.subarray(0, n);
  };

  // ------------------------------------------------------------------------------------------ panels
  const ratio = () => Math.min(globalThis.devicePixelRatio || 1, 2);
  let shots = new Map();
  let cost = 0;
  let frame = 0;
  let settle = 0;

  const shotFor = (canvas, stride = 1) => {
    const size = `${canvas.width}x${canvas.height}`;
    if (!shots.has(size)) shots.set(size, scene.shoot(event, camera, canvas.width, canvas.height, rows, stride));
    return shots.get(size);
  };

  // While something moves, as many voxels as a frame has time for; all of them once it rests.
  const redraw = (moving) => {
    cancelAnimationFrame(frame);
    clearTimeout(settle);
    frame = requestAnimationFrame(() => paintAll(moving ? Math.max(1, Math.ceil(cost / 40)) : 1));
    if (moving) settle = setTimeout(() => redraw(false), 150);
  };

  const paintAll = (stride) => {
    if (!event) return;
    const start = performance.now();
    shots = new Map();
    panels.filter((slot) => slot.panel).forEach(({ canvas, panel }) => {
      const box = canvas.parentNode.getBoundingClientRect();
      const [width, height] = [box.width, box.height].map((v) => Math.round(v * ratio()));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      if (width && height) scene.paint(canvas, event, panel.colours, rows, shotFor(canvas, stride), { ratio: ratio(), stride });
    });
    if (stride === 1) cost = performance.now() - start;
    else shots.clear();
    root.dataset.drawn = entries[current].id;
    root.dataset.milliseconds = (performance.now() - start).toFixed(1);
  };

  const addPanel = () => {
    const figure = make("figure");
    const [name, instances] = [make("b"), make("span")];
    const plot = make("div", "", { className: "plot" });
    const [canvas, ring] = [make("canvas"), make("i", "", { className: "ring", hidden: true })];
    const caption = make("figcaption");
    caption.append(name, instances);
    plot.append(canvas, ring);
    figure.append(caption, plot);
    byId("panels").append(figure);
    const slot = { figure, canvas, name, instances, ring, panel: null };
    panels.push(slot);
    steer(slot);
    new ResizeObserver(() => redraw(false)).observe(plot);
  };

  // One finger or the left button turns (moves, in 2D); shift, another button or two fingers move.
  const steer = ({ canvas }) => {
    const pointers = new Map();
    const place = ({ offsetX, offsetY }) => [offsetX, offsetY];
    const spread = () => {
      const [[a, b], [c, d]] = [...pointers.values()];
      return Math.hypot(a - c, b - d);
    };
    canvas.addEventListener("pointerdown", (e) => {
      canvas.setPointerCapture(e.pointerId);
      pointers.set(e.pointerId, place(e));
      point(null);
    });
    canvas.addEventListener("pointermove", (e) => {
      const before = pointers.get(e.pointerId);
      if (!before) {
        if (e.pointerType === "mouse") point(canvas, e.offsetX, e.offsetY);
        return;
      }
      const apart = pointers.size === 2 ? spread() : 0;
      const now = place(e);
      pointers.set(e.pointerId, now);
      const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
      if (apart) scene.zoom(camera, spread() / apart);
      if (event.ndim === 2 || apart || e.shiftKey || e.buttons > 1) {
        const short = Math.min(canvas.clientWidth, canvas.clientHeight) / 2;
        scene.shift(event.ndim, camera, dx / short, dy / short);
      } else scene.turn(camera, dx, dy);
      redraw(true);
    });
    ["pointerup", "pointercancel"].forEach((kind) => canvas.addEventListener(kind, (e) => {
      pointers.delete(e.pointerId);
      if (e.pointerType !== "mouse") point(canvas, e.offsetX, e.offsetY);
    }));
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("dblclick", (e) => {
      const i = scene.pick(event, rows, shotFor(canvas), e.offsetX * ratio(), e.offsetY * ratio(), ratio());
      if (i < 0) return;
      camera.target = event.places.map((axis) => axis[i]);
      point(null);
      redraw(false);
    });
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("wheel", (e) => {
      e.preventDefault();
      scene.zoom(camera, Math.exp(-Math.max(-100, Math.min(100, e.deltaY)) * 0.002));
      point(null);
      redraw(true);
    }, { passive: false });
  };

  // ------------------------------------------------------------------------------------------ the voxel pointed at
  const point = (canvas, x = 0, y = 0) => {
    const shot = canvas && event && shotFor(canvas);
    const i = shot ? scene.pick(event, rows, shot, x * ratio(), y * ratio(), ratio()) : -1;
    byId("tip").hidden = i < 0;
    panels.forEach((slot) => {
      slot.ring.hidden = i < 0 || !slot.panel;
      if (slot.ring.hidden) return;
      const seen = shotFor(slot.canvas);
      slot.ring.style.translate = `${seen.x[i] / ratio()}px ${seen.y[i] / ratio()}px`;
    });
    if (i < 0) return;
    const lines = event.panels.map(({ name, labels, which }) => `${name || "label"} ${labels[which[i]]}`);
    if (event.semantic) lines.push(classNames[event.semantic[i]]);
    if (event.energy) lines.push(`${event.energy[i].toPrecision(3)} MeV`);
    lines.push(`(${event.coords.map((axis) => axis[i]).join(", ")})`);
    const tip = byId("tip");
    tip.replaceChildren(...lines.map((line) => make("div", line)));
    const box = canvas.getBoundingClientRect();
    const left = Math.min(box.left + x + 16, root.clientWidth - tip.offsetWidth - 8);
    tip.style.translate = `${Math.max(left, 8)}px ${Math.min(box.top + y + 16, innerHeight - tip.offsetHeight - 8)}px`;
  };

  // ------------------------------------------------------------------------------------------ one event
  const fill = () => {
    rows = visibleRows(event, hidden);
    shots.clear();
    while (panels.length < event.panels.length) addPanel();
    panels.forEach((slot, p) => {
      const panel = event.panels[p];
      Object.assign(slot, { panel });
      slot.figure.hidden = !panel;
      if (!panel) return;
      slot.name.textContent = panel.name;
      const seen = new Uint8Array(panel.labels.length);
      rows.forEach((i) => { seen[panel.which[i]] = 1; });
      const n = panel.labels.filter((label, k) => seen[k] && !label.startsWith("-")).length;
      slot.instances.textContent = count(n, "instance");
    });
    const shown = rows.length < event.n ? `${rows.length.toLocaleString("en")} of ` : "";
    byId("count").textContent = `${shown}${count(event.n, "voxel")}`;
    redraw(false);
  };

  const show = async (number, only = null) => {
    current = number;
    if (only !== null) classIds.forEach((c) => (c === only ? hidden.delete(c) : hidden.add(c)));
    const loaded = await fetchEvent(number).catch((error) => {
      byId("title").textContent = `This browser cannot unpack the event: ${error.message}`;
      throw error;
    });
    if (number !== current) return;
    event = loaded;
    camera = only === null ? scene.home() : scene.frame(event, visibleRows(event, hidden));
    point(null);
    const { id, title } = entries[number];
    byId("title").textContent = title;
    history.replaceState(null, "", `#event=${encodeURIComponent(id)}`);
    mark();
    showClasses();
    fill();
    root.dataset.ready = "";
    const next = order[(order.indexOf(number) + 1) % order.length];
    if (next !== undefined) setTimeout(() => fetchEvent(next), 100);
  };

  const step = (by) => {
    if (!order.length) return;
    const at = order.indexOf(current);
    show(order[at < 0 ? 0 : (at + by + order.length) % order.length]);
  };

  const showClasses = () => {
    const present = classIds.filter((c) => entries[current].classes[c]);
    byId("classes").replaceChildren(...present.map((c) => {
      const [label, box] = [make("label"), make("input", "", { type: "checkbox", checked: !hidden.has(c) })];
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(c);
        else hidden.add(c);
        fill();
      });
      label.append(box, classNames[c]);
      return label;
    }));
  };

  // ------------------------------------------------------------------------------------------ the list of events
  const mean = ({ scores }) => {
    const values = Object.values(scores);
    return values.length ? values.reduce((a, b) => a + b) / values.length : undefined;
  };
  const columns = [
    { key: "file", title: "event", value: (entry, i) => i, text: (entry) => entry.title },
    { key: "voxels", title: "voxels", value: (entry) => entry.n, text: (entry) => entry.n.toLocaleString("en"), most: true },
    ...(scored ? [{ key: "mean", title: `mean ${score}`, value: mean, text: (entry) => three(mean(entry)) }] : []),
    ...classIds.map((c) => scored
      ? { key: c, title: classNames[c], value: (entry) => entry.scores[c], text: (entry) => three(entry.scores[c]) }
      : { key: c, title: classNames[c], value: (entry) => entry.classes[c], most: true,
        text: (entry) => entry.classes[c]?.toLocaleString("en") ?? "" }),
  ].filter(({ value, key }) => key === "file" || entries.some((entry, i) => value(entry, i) !== undefined));

  const lines = entries.map((entry, i) => {
    const line = make("tr");
    line.append(...columns.map((column) => make("td", column.text(entry), { className: column.key === "file" ? "text" : "number" })));
    line.addEventListener("click", () => show(i));
    return line;
  });

  const arrangeList = () => {
    const kind = byId("holding").value;
    const wanted = byId("search").value.trim().toLowerCase();
    const found = ({ id, title }) => !wanted || id.toLowerCase() === wanted || title.toLowerCase().includes(wanted);
    const { value } = columns.find(({ key }) => key === sorting.key);
    const sign = sorting.descending ? -1 : 1;
    const keys = entries.map(value);
    // What has no value comes last, whichever way; equals stay in the order of the file.
    order = entries.map((_, i) => i)
      .filter((i) => (kind === "" || entries[i].classes[kind]) && found(entries[i]))
      .sort((i, j) => (keys[i] === undefined) - (keys[j] === undefined) || sign * (keys[i] - keys[j]) || i - j);
    byId("list").tBodies[0].replaceChildren(...order.map((i) => lines[i]));
    byId("list").tHead.querySelectorAll("th").forEach((head, k) => {
      const own = columns[k].key === sorting.key;
      head.ariaSort = own ? (sorting.descending ? "descending" : "ascending") : "none";
    });
    mark();
  };

  const mark = () => {
    lines.forEach((line, i) => { line.ariaSelected = String(i === current); });
    const [line, box] = [lines[current], byId("browse")];
    if (line?.isConnected) {
      const [top, above] = [line.offsetTop, byId("list").tHead.offsetHeight];
      if (top - above < box.scrollTop || top + line.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - above;
    }
    const at = order.indexOf(current);
    const left = order.length < entries.length ? ` (${entries.length.toLocaleString("en")} in this page)` : "";
    byId("position").textContent = `${at < 0 ? "–" : (at + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}${left}`;
  };

  const buildList = () => {
    const head = make("tr");
    head.append(...columns.map((column) => {
      const [cell, button] = [make("th", "", { className: column.key === "file" ? "text" : "number", scope: "col" }), make("button", column.title, { type: "button" })];
      button.addEventListener("click", () => {
        const again = sorting.key === column.key;
        sorting = { key: column.key, descending: again ? !sorting.descending : Boolean(column.most) };
        arrangeList();
        byId("browse").scrollTop = 0;
      });
      cell.append(button);
      return cell;
    }));
    byId("list").tHead.append(head);
    classIds.forEach((c) => byId("holding").add(new Option(`with ${classNames[c]}`, String(c))));
    byId("holding").hidden = !classIds.length;
    byId("finder").hidden = byId("browse").hidden = entries.length < 2;
  };

  // ------------------------------------------------------------------------------------------ the worst events
  const card = (number, c) => {
    const button = make("button", "", { type: "button", className: "card" });
    const [pictures, caption] = [make("span", "", { className: "pictures" }), make("span", entries[number].title)];
    caption.append(make("b", three(entries[number].scores[c])));
    button.append(pictures, caption);
    button.addEventListener("click", () => {
      show(number, c);
      byId("viewer").scrollIntoView({ behavior: "smooth" });
    });
    const draw = async () => {
      const of = await fetchEvent(number);
      const seen = visibleRows(of, new Set(classIds.filter((other) => other !== c)));
      of.panels.forEach((panel) => {
        const canvas = make("canvas", "", { width: 200, height: 200, title: panel.name });
        pictures.append(canvas);
        const shot = scene.shoot(of, scene.frame(of, seen), canvas.width, canvas.height, seen);
        scene.paint(canvas, of, panel.colours, seen, shot, { ratio: 1.5, axes: false });
      });
    };
    new IntersectionObserver((changes, observer) => {
      if (!changes.some((change) => change.isIntersecting)) return;
      observer.disconnect();
      draw();
    }, { rootMargin: "200px" }).observe(button);
    return button;
  };

  const buildGallery = () => {
    classIds.forEach((c) => {
      const worst = entries.map((_, i) => i)
        .filter((i) => entries[i].scores[c] < 1)
        .sort((i, j) => entries[i].scores[c] - entries[j].scores[c])
        .slice(0, GALLERY);
      if (!worst.length) return;
      const [heading, strip] = [make("h3", `${classNames[c]} `), make("div", "", { className: "cards" })];
      heading.append(make("small", `lowest ${score} of this class`));
      strip.append(...worst.map((i) => card(i, c)));
      byId("gallery").append(heading, strip);
      byId("gallery").hidden = false;
    });
  };

  // ------------------------------------------------------------------------------------------ keys, links, start
  const linked = () => {
    const wanted = decodeURIComponent(location.hash.match(/^#event=(.*)$/)?.[1] ?? "");
    return entries.findIndex(({ id }) => id === wanted);
  };
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("home").addEventListener("click", () => {
    hidden.clear();
    show(current);
  });
  byId("holding").addEventListener("change", () => {
    arrangeList();
    if (!order.includes(current)) step(1);
  });
  byId("search").addEventListener("input", arrangeList);
  byId("search").addEventListener("keydown", (key) => {
    if (key.key !== "Enter" || !order.length) return;
    const wanted = byId("search").value.trim();
    show(order.find((i) => entries[i].id === wanted) ?? order[0]);
  });
  document.addEventListener("keydown", (key) => {
    if (/^(INPUT|SELECT)$/.test(key.target.tagName) || key.altKey || key.ctrlKey || key.metaKey) return;
    if (key.key === "ArrowLeft") step(-1);
    if (key.key === "ArrowRight") step(1);
  });
  addEventListener("hashchange", () => { if (linked() >= 0 && linked() !== current) show(linked()); });
  buildList();
  if (scored) buildGallery();
  arrangeList();
  show(Math.max(linked(), 0));
})();
