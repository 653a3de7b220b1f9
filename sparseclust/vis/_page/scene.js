"use strict";
// Draws voxels into 2D canvases, with a depth buffer: no WebGL, which remote desktops and virtual machines lack.
const makeScene = (palette, noInstance) => {
  const DISTANCE = 5.5;
  const FOCUS = 2.6;
  const LEVELS = 8;

  const home = () => ({ azimuth: 0.79, elevation: 0.45, zoom: 1, target: [0, 0, 0] });

  // The point of view from which some voxels fill the picture.
  const frame = (event, rows) => {
    const camera = home();
    let extent = 0;
    event.places.forEach((axis, a) => {
      let [low, high] = [Infinity, -Infinity];
      rows.forEach((i) => {
        low = Math.min(low, axis[i]);
        high = Math.max(high, axis[i]);
      });
      if (low <= high) camera.target[a] = (low + high) / 2;
      extent = Math.max(extent, (high - low) / 2);
    });
    zoom(camera, 0.9 / Math.max(extent, 0.02));
    return camera;
  };

  // Colours as the words that a canvas holds, fading to white with the distance; grey comes first.
  const inks = [noInstance, ...palette].map((hex) => {
    const rgb = [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
    const word = (fade, dark) => {
      const [r, g, b] = rgb.map((v) => Math.round(dark * (v + (255 - v) * fade)));
      return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    };
    const fades = Array.from({ length: LEVELS }, (_, level) => (0.35 * level) / (LEVELS - 1));
    return { fill: fades.map((fade) => word(fade, 1)), edge: fades.map((fade) => word(fade, 0.72)) };
  });

  // From the cube [-1, 1]^3 to pixels: directions of the picture, and the scale at depth 1.
  const lens = (ndim, camera, width, height) => {
    const short = Math.min(width, height) / 2;
    const view = { x0: width / 2, y0: height / 2, target: camera.target, flat: ndim === 2 };
    if (view.flat) {
      return { ...view, right: [1, 0, 0], up: [0, 1, 0], back: [0, 0, 0], scale: 0.82 * short * camera.zoom, far: 1 };
    }
    const [ca, sa] = [Math.cos(camera.azimuth), Math.sin(camera.azimuth)];
    const [ce, se] = [Math.cos(camera.elevation), Math.sin(camera.elevation)];
    return {
      ...view,
      right: [-sa, ca, 0],
      up: [-se * ca, -se * sa, ce],
      back: [ce * ca, ce * sa, se],
      scale: FOCUS * short * camera.zoom,
      far: DISTANCE,
    };
  };

  const project = (view, x, y, z) => {
    const { right: r, up: u, back: b, target: t } = view;
    const [dx, dy, dz] = [x - t[0], y - t[1], z - t[2]];
    const depth = Math.max(view.far - (dx * b[0] + dy * b[1] + dz * b[2]), 0.05);
    const k = view.scale / depth;
    return [
      view.x0 + k * (dx * r[0] + dy * r[1] + dz * r[2]), view.y0 - k * (dx * u[0] + dy * u[1] + dz * u[2]), depth,
    ];
  };

  // Pixels and depth of some voxels, by row of the event. Panels of one size share them.
  const shoot = (event, camera, width, height, rows, stride = 1) => {
    const view = lens(event.ndim, camera, width, height);
    const { right: r, up: u, back: b, target: t } = view;
    const [xs, ys, zs] = event.places;
    const shot = { view, x: new Float32Array(event.n), y: new Float32Array(event.n), depth: new Float32Array(event.n) };
    for (let at = 0; at < rows.length; at += stride) {
      const i = rows[at];
      const dx = xs[i] - t[0];
      const dy = ys[i] - t[1];
      const dz = zs[i] - t[2];
      const depth = Math.max(view.far - (dx * b[0] + dy * b[1] + dz * b[2]), 0.05);
      const k = view.scale / depth;
      shot.x[i] = view.x0 + k * (dx * r[0] + dy * r[1] + dz * r[2]);
      shot.y[i] = view.y0 - k * (dx * u[0] + dy * u[1] + dz * u[2]);
      shot.depth[i] = depth;
    }
    return shot;
  };

  const smallest = (event, ratio) => ratio * (event.n > 20000 ? 1.6 : event.n > 3000 ? 2.2 : 3);

  const paint = (canvas, event, places, rows, shot, { ratio = 1, stride = 1, axes = true } = {}) => {
    const { width, height } = canvas;
    if (!width || !height) return;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const nearest = new Float32Array(width * height).fill(Infinity);
    const least = smallest(event, ratio);
    const unit = shot.view.scale / event.half;
    for (let r = 0; r < rows.length; r += stride) {
      const i = rows[r];
      const depth = shot.depth[i];
      const side = Math.max(Math.round(Math.max(least, unit / depth)), 1);
      const left = Math.round(shot.x[i] - side / 2);
      const top = Math.round(shot.y[i] - side / 2);
      if (left >= width || top >= height || left + side <= 0 || top + side <= 0) continue;
      const level = shot.view.flat ? 0 : Math.min(Math.max(Math.round(((depth - DISTANCE + 1.3) / 2.6) * LEVELS), 0), LEVELS - 1);
      const ink = inks[places[i] + 1];
      const fill = ink.fill[level];
      const edge = side > 4 ? ink.edge[level] : fill;
      const [x1, x2] = [Math.max(left, 0), Math.min(left + side, width)];
      const [y1, y2] = [Math.max(top, 0), Math.min(top + side, height)];
      for (let y = y1; y < y2; y += 1) {
        const rim = y === top || y === top + side - 1;
        for (let x = x1, at = y * width + x1; x < x2; x += 1, at += 1) {
          if (depth >= nearest[at]) continue;
          nearest[at] = depth;
          pixels[at] = rim || x === left || x === left + side - 1 ? edge : fill;
        }
      }
    }
    context.putImageData(image, 0, 0);
    context.globalCompositeOperation = "destination-over";
    if (axes) drawBox(context, event, shot.view, ratio);
    context.globalCompositeOperation = "source-over";
  };

  const corner = (bits) => [0, 1, 2].map((a) => (bits & (1 << a) ? 1 : -1));

  const drawBox = (context, event, view, ratio) => {
    const at = (bits) => project(view, ...(view.flat ? [...corner(bits).slice(0, 2), 0] : corner(bits)));
    context.lineWidth = ratio;
    context.strokeStyle = "#dde2e7";
    context.fillStyle = "#7b848e";
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const bits = Array.from({ length: 2 ** event.ndim }, (_, k) => k);
    const middle = bits.map(at).reduce(([x, y], [p, q]) => [x + p / bits.length, y + q / bits.length], [0, 0]);
    for (let axis = 0; axis < event.ndim; axis += 1) {
      const edges = bits.filter((k) => !(k & (1 << axis))).map((k) => [k, k | (1 << axis)]);
      context.beginPath();
      edges.forEach(([from, to]) => {
        context.moveTo(...at(from).slice(0, 2));
        context.lineTo(...at(to).slice(0, 2));
      });
      context.stroke();
      labelEdge(context, event, view, ratio, axis, outermost(edges, at, axis === event.ndim - 1), middle);
    }
  };

  // Numbers stand at the lowest edge of the box; those of the last axis at the leftmost one.
  const outermost = (edges, at, last) => {
    const place = ([from, to]) => {
      const [a, b] = [at(from), at(to)];
      return last ? a[0] + b[0] : -(a[1] + b[1]);
    };
    return edges.reduce((best, edge) => (place(edge) < place(best) - 1e-6 ? edge : best));
  };

  const labelEdge = (context, event, view, ratio, axis, [from], middle) => {
    const start = corner(from);
    if (view.flat) start[2] = 0;
    const on = (value) => {
      const point = [...start];
      point[axis] = value;
      return project(view, ...point);
    };
    const [low, high] = event.cube[axis];
    const [a, b] = [on(-1), on(1)];
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    const normal = [(b[1] - a[1]) / length, (a[0] - b[0]) / length];
    const outside = normal[0] * ((a[0] + b[0]) / 2 - middle[0]) + normal[1] * ((a[1] + b[1]) / 2 - middle[1]);
    const away = (Math.sign(outside) || 1) * ratio;
    if (length < 60 * ratio) return;
    const write = (text, value, gap) => {
      const [x, y] = on(value);
      context.fillText(text, x + away * gap * normal[0], y + away * gap * normal[1]);
    };
    const step = niceStep((high - low) / Math.min(5, length / (45 * ratio)));
    for (let tick = Math.ceil(low / step); tick * step <= high; tick += 1) {
      write(String(Number((tick * step).toPrecision(6))), (2 * (tick * step - low)) / (high - low) - 1, 16);
    }
    write("xyz"[axis], 0, 34);
  };

  const niceStep = (raw) => {
    const power = 10 ** Math.floor(Math.log10(raw));
    return power * ([1, 2, 5].find((k) => k * power >= raw) ?? 10);
  };

  // The voxel under a pixel: in front rather than nearest, within a few pixels; -1 for none.
  const pick = (event, rows, shot, x, y, ratio) => {
    let [best, least] = [-1, Infinity];
    const unit = shot.view.scale / event.half;
    for (let r = 0; r < rows.length; r += 1) {
      const i = rows[r];
      const dx = Math.abs(shot.x[i] - x);
      const dy = Math.abs(shot.y[i] - y);
      const reach = Math.max(5 * ratio, unit / shot.depth[i] / 2);
      if (dx > reach || dy > reach) continue;
      const key = shot.depth[i] + (0.5 * (dx * dx + dy * dy)) / (reach * reach);
      if (key < least) [best, least] = [i, key];
    }
    return best;
  };

  const turn = (camera, dx, dy) => {
    camera.azimuth -= dx * 0.008;
    camera.elevation = Math.min(Math.max(camera.elevation + dy * 0.008, -1.57), 1.57);
  };

  // Moves the target so that the picture follows the pointer; dx, dy in halves of the shorter side.
  const shift = (ndim, camera, dx, dy) => {
    const { right, up, scale, far } = lens(ndim, camera, 2, 2);
    const step = far / scale;
    camera.target = camera.target.map((t, a) =>
      Math.min(Math.max(t - step * (dx * right[a] - dy * up[a]), -1.5), 1.5));
  };

  const zoom = (camera, factor) => {
    camera.zoom = Math.min(Math.max(camera.zoom * factor, 0.3), 60);
  };

  return { home, frame, shoot, paint, pick, turn, shift, zoom };
};
