"use strict";
// Draws the data of minicnn.study.explore. dagre says where boxes and lines stand; everything else is here.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { nodes, edges, blocks, snapshots } = data;
  const SVG = "http://www.w3.org/2000/svg";
  const state = { at: 0, width: "log", every: false, open: new Set(), chosen: null, over: null, timer: null };
  const view = { x: 0, y: 0, k: 1 };
  const THIN = 1, THICK = 18, DECADES = 8;

  function make(name, attributes = {}, parent = null, text = null) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }
  function number(value) {
    if (value === null || value === undefined) return "not finite";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 1e4 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
  }
  const shape = (sizes) => sizes.slice(1).join(" × ");

  // Folding: layers that follow each other, without a fork or a merge between them, stand in one box ------------------
  const readers = nodes.map(() => []), sources = nodes.map(() => []);
  edges.forEach((edge, i) => { readers[edge.from].push(i); sources[edge.to].push(i); });
  const chain = nodes.map((_, i) => i);   // the first node of the chain that a node stands in
  nodes.forEach((node, i) => {
    if (sources[i].length !== 1 || node.kind === "loss") return;
    const before = edges[sources[i][0]].from;
    if (readers[before].length === 1 && nodes[before].kind !== "input") chain[i] = chain[before];
  });
  const MINOR = /^(BatchNormalization|Activation|ReLU|Dropout|ZeroPadding2D|Flatten|Reshape|Softmax|Identity)$/;
  const LONG = 6;   // a chain of more layers than this is cut before each of them
  function cut(members) {
    if (members.filter((i) => !MINOR.test(nodes[i].type)).length <= LONG) return;
    let first = members[0], started = false;
    for (const i of members) {
      const major = !MINOR.test(nodes[i].type);
      if (major && started) first = i;
      started = started || major;
      chain[i] = first;
    }
  }
  const uncut = new Map();
  chain.forEach((first, i) => uncut.set(first, [...(uncut.get(first) || []), i]));
  for (const members of uncut.values()) cut(members);
  const chains = new Map();
  chain.forEach((first, i) => chains.set(first, [...(chains.get(first) || []), i]));
  const folded = (first) => !state.every && !state.open.has(first) && chains.get(first).length > 1;
  const home = (i) => (folded(chain[i]) ? chain[i] : i);

  function lines(members) {
    const shown = members.filter((i) => !MINOR.test(nodes[i].type));
    const kept = (shown.length ? shown : [members[members.length - 1]]).map((i) => nodes[i].label);
    return kept;
  }
  function boxes() {
    const seen = new Map();
    nodes.forEach((node, i) => {
      const id = home(i);
      if (!seen.has(id)) {
        const members = folded(chain[i]) ? chains.get(chain[i]) : [i];
        const first = nodes[members[0]];
        const text = first.kind === "merge" && members.length > 1 ? [nodes[members[0]].label] : lines(members);
        const longest = Math.max(...text.map((line) => line.length));
        seen.set(id, {
          id, members, text, kind: first.kind, width: Math.max(first.kind === "merge" ? 34 : 64, 7.2 * longest + 22),
          height: 15 * text.length + (first.kind === "merge" ? 11 : 13),
        });
      }
    });
    return seen;
  }

  // Layout ------------------------------------------------------------------------------------------------------------
  function arrange() {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    const form = { rankdir: "TB", nodesep: 26, ranksep: 30, edgesep: 22, marginx: 30, marginy: 24 };
    // Upper left: the skips of a residual network become one straight line. What has none is centred.
    graph.setGraph(edges.some((edge) => edge.role === "skip") ? { ...form, align: "UL" } : form);
    graph.setDefaultEdgeLabel(() => ({}));
    const shown = boxes();
    for (const box of shown.values()) graph.setNode(String(box.id), { width: box.width, height: box.height });
    const wires = [];
    edges.forEach((edge, i) => {
      const [a, b] = [home(edge.from), home(edge.to)];
      if (a === b) return;
      // what is straight: the skip where there is one
      graph.setEdge(String(a), String(b), { weight: edge.role === "skip" ? 6 : 1, width: THICK, height: 1 }, String(i));
      wires.push(i);
    });
    dagre.layout(graph);
    return { graph, shown, wires };
  }
  function path(points) {
    let d = `M${points[0].x},${points[0].y}`;
    for (let i = 1; i < points.length; i++) {
      const [p, q] = [points[i - 1], points[i]], middle = (p.y + q.y) / 2;
      d += `C${p.x},${middle} ${q.x},${middle} ${q.x},${q.y}`;
    }
    return d;
  }
  let scene = null;
  function draw() {
    const { graph, shown, wires } = arrange();
    const root = $("view");
    state.over = null;   // what the pointer was on is drawn anew
    $("tip").hidden = true;
    root.replaceChildren();
    const below = make("g", {}, root), above = make("g", {}, root);
    scene = { graph, boxes: new Map(), wires: new Map() };
    for (const i of wires) {
      const edge = edges[i], [a, b] = [home(edge.from), home(edge.to)];
      const { points } = graph.edge(String(a), String(b), String(i));
      const [from, to] = [graph.node(String(a)), graph.node(String(b))];
      const port = (box, point, side) => ({   // lines leave and enter through the top and the bottom of a box
        x: Math.min(box.x + box.width / 2 - 10, Math.max(box.x - box.width / 2 + 10, point.x)),
        y: box.y + side * (box.height / 2 - 3),
      });
      const ends = [port(from, points[0], 1), ...points.slice(1, -1), port(to, points.at(-1), -1)];
      const group = make("g", { class: "wire", "data-edge": i }, below);
      const line = make("path", { class: `edge ${edge.role}`, d: path(ends) }, group);
      make("path", { class: "hit", d: path(ends) }, group);
      attend(group, { edge: i });
      scene.wires.set(i, { group, line });
    }
    for (const box of shown.values()) {
      const { x, y } = graph.node(String(box.id));
      const group = make("g", { class: `box ${box.kind}`, "data-node": box.id, tabindex: 0, role: "button" }, above);
      group.setAttribute("aria-label", box.members.map((i) => nodes[i].name).join(", "));
      make("rect", {
        x: x - box.width / 2, y: y - box.height / 2, width: box.width, height: box.height,
        rx: box.kind === "layer" ? 5 : Math.min(14, box.height / 2),
      }, group);
      box.text.forEach((line, row) => {
        make("text", { x, y: y + 15 * (row - (box.text.length - 1) / 2) }, group, line);
      });
      attend(group, { node: box.id });
      if (box.kind === "merge") {
        make("text", { class: "side", x: x + box.width / 2 + 12, y }, above, nodes[box.members[0]].name);
      }
      scene.boxes.set(box.id, { group, ...box, x, y });
    }
    widths();
    mark();
  }

  // Widths ------------------------------------------------------------------------------------------------------------
  const norms = edges.flatMap((edge) => edge.norm).filter((value) => value > 0);
  const largest = Math.max(...norms, 1e-30);
  const top = Math.ceil(Math.log10(largest) * 2) / 2;
  const bottom = Math.max(top - DECADES, Math.floor(Math.log10(Math.min(...norms, largest)) * 2) / 2);
  function width(edge, at) {
    const value = state.width === "share" ? edge.share[at] : edge.norm[at];
    if (value === null || value === undefined) return null;
    if (state.width === "share") return THIN + (THICK - THIN) * Math.min(1, Math.abs(value));
    if (state.width === "linear") return THIN + (THICK - THIN) * value / largest;
    const place = value > 0 ? (Math.log10(value) - bottom) / Math.max(top - bottom, 0.5) : 0;
    return THIN + (THICK - THIN) * Math.min(1, Math.max(0, place));
  }
  function widths() {
    for (const [i, { line }] of scene.wires) {
      const wide = width(edges[i], state.at);
      line.classList.toggle("void", wide === null);
      line.style.strokeWidth = wide === null ? 2 : wide.toFixed(2);
    }
    const scale = $("scale");
    scale.replaceChildren();
    const ticks = state.width === "share" ? [0.01, 0.25, 0.5, 1]
      : state.width === "linear" ? [0.01, 0.25, 0.5, 1].map((share) => share * largest)
        : [0, 1, 2, 3, 4].map((n) => 10 ** (bottom + (top - bottom) * n / 4));
    for (const tick of ticks) {
      const cell = document.createElement("div");
      const svg = make("svg", {}, cell);
      const fake = { norm: [tick], share: [tick] };
      make("line", { class: "edge", x1: "12%", x2: "88%", y1: 9, y2: 9, "stroke-width": width(fake, 0) }, svg);
      cell.append(state.width === "share" ? `${Math.round(tick * 100)} %` : number(Number(tick.toPrecision(2))));
      scale.append(cell);
    }
  }

  // Details -----------------------------------------------------------------------------------------------------------
  function attend(element, thing) {
    element.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") hover(thing, event); });
    element.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") place(event); });
    element.addEventListener("pointerleave", () => hover(null));
    element.addEventListener("focus", () => hover(thing));
    element.addEventListener("blur", () => hover(null));
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(thing); }
    });
    element.thing = thing;
  }
  const same = (a, b) => a && b && a.node === b.node && a.edge === b.edge && a.block === b.block;
  function choose(thing) {
    const again = same(thing, state.chosen);
    state.chosen = again ? null : thing;
    if (thing && thing.node !== undefined && chains.get(chain[thing.node]).length > 1 && !state.every) {
      const first = chain[thing.node], box = scene.boxes.get(thing.node), before = { x: box.x, y: box.y };
      if (state.open.has(first)) state.open.delete(first); else state.open.add(first);
      const kept = state.open.has(first) ? thing.node : first;
      state.chosen = { node: kept };
      const focused = graph.contains(document.activeElement);
      draw();
      if (focused) scene.boxes.get(kept).group.focus({ preventScroll: true });
      const after = scene.boxes.get(kept);   // stays where it was on the screen
      view.x += (before.x - after.x) * view.k;
      view.y += (before.y - after.y) * view.k;
      apply();
    }
    show();
  }
  function hover(thing, event) {
    state.over = thing;
    $("tip").hidden = !thing || !event;
    if (thing && event) {
      $("tip").textContent = brief(thing);
      place(event);
    }
    show();
  }
  function place(event) {
    const tip = $("tip"), frame = $("stage").getBoundingClientRect();
    const x = event.clientX - frame.left, y = event.clientY - frame.top;
    tip.style.left = `${Math.max(4, Math.min(x + 14, frame.width - tip.offsetWidth - 6))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > frame.height ? y - tip.offsetHeight - 10 : y + 18}px`;
  }
  function brief(thing) {
    if (thing.edge !== undefined) {
      const edge = edges[thing.edge];
      return `${edge.role === "trunk" ? "only way" : edge.role}: gradient ${number(edge.norm[state.at])}`;
    }
    const box = scene.boxes.get(thing.node), node = nodes[box.members.at(-1)];
    const name = box.members.length > 1 ? `${nodes[box.members[0]].name} … ${node.name}` : node.name;
    return `${name}: ${shape(node.shape) || "one number"}`;
  }
  function rowsOf(thing) {
    const at = state.at;
    if (thing.block !== undefined) return blockRows(blocks[thing.block], at);
    if (thing.edge !== undefined) {
      const edge = edges[thing.edge], only = readers[edge.from].length === 1;
      const rows = [
        ["gradient flows", `${nodes[edge.to].name} → ${nodes[edge.from].name}`],
        ["shape", shape(nodes[edge.from].shape)],
        ["norm", number(edge.norm[at])],
      ];
      if (!only) rows.push(["share of the whole", number(edge.share[at])], ["cosine with the whole", number(edge.cosine[at])]);
      const block = edge.block === null ? null : blocks[edge.block];
      const title = { skip: "Skip", branch: "Branch", trunk: only ? "The only way" : "One of several ways" }[edge.role];
      const more = block && (edge.from === block.fork || edge.to === block.merge) ? blockRows(block, at).rows : [];
      return { title, rows: [...rows, ...more], series: [[edge.norm, edge.role]], what: "norm" };
    }
    const box = scene.boxes.get(thing.node) || { members: [thing.node] };
    const node = nodes[box.members.at(-1)];
    const mine = blocks.find((block) => box.members.includes(block.merge));
    const count = box.members.reduce((sum, i) => sum + nodes[i].parameters, 0);
    const rows = [["output", shape(node.shape) || "one number"]];
    if (count) rows.push(["parameters", count.toLocaleString("en")]);
    if (node.kind !== "loss") {
      rows.push(["output, root mean square", number(node.rms[at])], ["its gradient, norm", number(node.gradient[at])]);
    }
    const names = box.members.length > 1 ? `${nodes[box.members[0]].name} … ${node.name}` : node.name;
    if (box.members.length > 1) rows.unshift(["layers", box.members.map((i) => nodes[i].label).join(" → ")]);
    const own = mine ? blockRows(mine, at) : { rows: [], series: [] };
    const series = own.series.length ? own.series : [[node.gradient, "trunk"]];
    return { title: names, rows: [...rows, ...own.rows], series, what: own.series.length ? "norm at the fork" : "norm" };
  }
  function blockRows(block, at) {
    const rows = [["arrives at the merge", number(block.arriving[at])], ["whole, at the fork", number(block.leaving[at])]];
    if (block.skip[at] === null && block.branch[at] === null) {
      return { title: block.name, rows, series: [[block.leaving, "trunk"]], what: "norm at the fork" };
    }
    rows.push(
      ["skip returns", number(block.skip[at]), "skip"], ["branch returns", number(block.branch[at]), "branch"],
      ["cosine of the two", number(block.cosine[at])],
    );
    return { title: block.name, rows, series: [[block.skip, "skip"], [block.branch, "branch"]], what: "norm at the fork" };
  }
  const HINT = "Point at a line or a box, or tap it. A click on a box shows the layers in it. Drag to move, turn the "
    + "wheel to zoom. The gradient flows upwards, from the loss to the image.";
  function show() {
    const thing = state.over || state.chosen, target = $("details");
    target.replaceChildren();
    mark();
    if (!thing) {
      const hint = document.createElement("p");
      hint.className = "hint";
      hint.textContent = HINT;
      target.append(hint);
      return;
    }
    const { title, rows, series, what } = rowsOf(thing);
    const head = document.createElement("h2");
    head.textContent = title;
    const table = document.createElement("table");
    for (const [name, value, role] of rows) {
      const row = table.insertRow(), first = row.insertCell(), second = row.insertCell();
      if (role) {
        const key = document.createElement("span");
        key.className = "key";
        key.style.background = `var(--${role})`;
        first.append(key);
      }
      first.append(name);
      second.textContent = value;
    }
    target.append(head, table);
    if (snapshots.length > 1) target.append(spark(series, what));
  }
  function spark(series, what) {
    const svg = make("svg", { class: "spark", viewBox: "0 0 300 46", preserveAspectRatio: "none" });
    const values = series.flatMap(([some]) => some).filter((value) => value > 0);
    if (!values.length) return svg;
    const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
    const x = (i) => 4 + 292 * i / (snapshots.length - 1);
    const y = (value) => 40 - 26 * (Math.log10(value) - low) / Math.max(high - low, 0.3);
    for (const [some, role] of series) {
      const points = some.map((value, i) => (value > 0 ? `${x(i)},${y(value)}` : null)).filter(Boolean).join(" ");
      make("polyline", { class: `edge ${role}`, points, "stroke-width": 2.5 }, svg);
    }
    make("line", { x1: x(state.at), x2: x(state.at), y1: 12, y2: 44, stroke: "#111", "stroke-width": 1 }, svg);
    make("text", { x: 2, y: 9 }, svg, `${what} over the training, ${number(10 ** low)} to ${number(10 ** high)}`);
    return svg;
  }
  function mark() {
    const thing = state.over || state.chosen;
    for (const [id, { group }] of scene.boxes) group.classList.toggle("on", Boolean(thing) && thing.node === id);
    for (const [i, { group }] of scene.wires) {
      group.classList.toggle("on", Boolean(thing) && (thing.edge === i || (thing.block !== undefined && edges[i].block === thing.block)));
    }
  }

  // The profile: all blocks at a glance, and a way to get to one -----------------------------------------------------
  function profile() {
    const section = $("profile"), svg = section.querySelector("svg");
    const residual = blocks.some((block) => block.skip.some((v) => v !== null));
    let rows = blocks.filter((block) => !residual || block.skip.some((v) => v !== null)).map((block) => ({
      name: block.name, node: block.merge, thing: { block: blocks.indexOf(block) },
      of: residual ? { skip: block.skip, branch: block.branch } : { trunk: block.leaving },
    }));
    let title = "Norm of the gradient at the fork, block by block";
    if (rows.length < 2) {
      title = "Norm of the gradient, layer by layer";
      rows = [...chains].filter(([, members]) => members.some((i) => nodes[i].parameters)).map(([first, members]) => ({
        name: nodes[first].name, node: first, thing: { node: first }, of: { trunk: nodes[members.at(-1)].gradient },
      }));
    }
    if (!rows.length) { section.hidden = true; return; }
    section.querySelector("h2").textContent = title;
    svg.replaceChildren();
    const step = Math.max(6, Math.min(16, 400 / rows.length)), height = step * rows.length + 34;
    svg.setAttribute("viewBox", `0 0 300 ${height}`);
    svg.style.height = `${height}px`;
    const all = rows.flatMap((row) => Object.values(row.of).flat()).filter((v) => v > 0);
    const low = Math.floor(Math.log10(Math.min(...all))), high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all))));
    const x = (value) => 44 + 238 * (Math.log10(value) - low) / (high - low), y = (row) => 8 + step * (row + 0.5);
    const every = Math.ceil((high - low) / 6);
    for (let n = low; n <= high; n += every) {
      make("line", { x1: x(10 ** n), x2: x(10 ** n), y1: 4, y2: height - 26, stroke: "#e3e6ea" }, svg);
      make("text", { x: x(10 ** n), y: height - 12, "text-anchor": "middle" }, svg, number(10 ** n));
    }
    make("text", { x: 0, y: 14 }, svg, "image");
    make("text", { x: 0, y: height - 28 }, svg, "loss");
    for (const role of Object.keys(rows[0].of)) {
      const points = rows.map((row, i) => [row.of[role][state.at], i]).filter(([value]) => value > 0);
      make("polyline", { class: `edge ${role}`, points: points.map(([v, i]) => `${x(v)},${y(i)}`).join(" "), "stroke-width": 1.5 }, svg);
      for (const [value, i] of points) {
        const [cx, cy, r] = [x(value), y(i), Math.min(4, step / 2.6)], fill = `var(--${role})`;
        if (role === "skip") make("rect", { x: cx - r, y: cy - r, width: 2 * r, height: 2 * r, fill }, svg);
        else make("circle", { cx, cy, r, fill }, svg);
      }
    }
    rows.forEach((row, i) => {
      const hit = make("rect", { class: "hit", x: 30, y: 8 + step * i, width: 270, height: step }, svg);
      make("title", {}, hit, row.name);
      hit.addEventListener("pointerenter", () => hover(row.thing));
      hit.addEventListener("pointerleave", () => hover(null));
      hit.addEventListener("click", () => { state.chosen = row.thing; centre(home(row.node)); show(); });
    });
  }

  // Moving ------------------------------------------------------------------------------------------------------------
  function apply() { $("view").setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.k})`); }
  function size() { const { width: w, height: h } = $("stage").getBoundingClientRect(); return [w, h]; }
  function zoom(factor, x, y) {
    const k = Math.min(3, Math.max(0.03, view.k * factor));
    view.x = x - (x - view.x) * k / view.k;
    view.y = y - (y - view.y) * k / view.k;
    view.k = k;
    apply();
  }
  function centre(id) {
    const box = scene.boxes.get(id);
    if (!box) return;
    const [w, h] = size();
    if (view.k < 0.6) view.k = 1;
    view.x = w / 2 - box.x * view.k;
    view.y = h / 2 - box.y * view.k;
    apply();
  }
  function whole() {
    const { width: w, height: h } = scene.graph.graph(), [W, H] = size();
    view.k = Math.min(1.2, W / w, H / h);
    view.x = (W - w * view.k) / 2;
    view.y = (H - h * view.k) / 2;
    apply();
  }
  function begin() {   // readable, and from the image on where it is too long for the window
    const { width: w, height: h } = scene.graph.graph(), [W, H] = size();
    view.k = Math.min(1.1, Math.max(0.55, Math.min((W - 8) / w, Math.max(H / h, 0.8))));
    const fits = h * view.k <= H, first = scene.boxes.get(home(0));
    view.x = w * view.k <= W ? (W - w * view.k) / 2 : W / 2 - first.x * view.k;
    view.y = fits ? (H - h * view.k) / 2 : 52;
    apply();
  }
  const fingers = new Map();
  let dragged = 0, pressed = null;
  const graph = $("graph");
  graph.addEventListener("wheel", (event) => {
    event.preventDefault();
    const frame = graph.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });
  graph.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    dragged = fingers.size > 1 ? 99 : 0;
    pressed = event.target.closest("[data-node], [data-edge]");
    graph.classList.add("dragging");
  });
  window.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    dragged += Math.abs(dx) + Math.abs(dy);
    if (other) {
      const frame = graph.getBoundingClientRect();
      const was = Math.hypot(before.x - other.x, before.y - other.y) || 1;
      const is = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      zoom(is / was, (event.clientX + other.x) / 2 - frame.left, (event.clientY + other.y) / 2 - frame.top);
      view.x += dx / 2;
      view.y += dy / 2;
    } else if (dragged > 4) {
      view.x += dx;
      view.y += dy;
    }
    apply();
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    window.addEventListener(name, (event) => {
      if (!fingers.delete(event.pointerId)) return;
      graph.classList.remove("dragging");
      if (dragged <= 4 && name === "pointerup") {
        if (pressed) choose(pressed.thing); else { state.chosen = null; show(); }
      }
    });
  }

  // Time --------------------------------------------------------------------------------------------------------------
  function moment(at) {
    state.at = at;
    $("slider").value = at;
    const { step, epoch, loss } = snapshots[at];
    const text = $("moment"), bold = document.createElement("b");
    bold.textContent = step ? `step ${step}` : "before training";
    text.replaceChildren(bold, step ? ` · epoch ${number(epoch)}` : "", ` · loss ${number(loss)}`);
    $("slider").setAttribute("aria-valuetext", text.textContent);
    widths();
    profile();
    show();
    if (state.over && !$("tip").hidden) $("tip").textContent = brief(state.over);
  }
  function play() {
    if (state.timer) { clearInterval(state.timer); state.timer = null; $("play").textContent = "▶"; return; }
    if (state.at === snapshots.length - 1) moment(0);
    $("play").textContent = "❚❚";
    state.timer = setInterval(() => {
      if (state.at === snapshots.length - 1) play(); else moment(state.at + 1);
    }, 800);
  }

  $("title").textContent = data.model;
  const about = data.about || {};
  $("about").textContent = [
    about.parameters && `${about.parameters.toLocaleString("en")} parameters`,
    about.images && `gradients of ${about.images} images (${about.dataset}, ${about.input.join(" × ")})`,
    about.seed !== undefined && `seed ${about.seed}`,
  ].filter(Boolean).join(" · ");
  $("time").hidden = snapshots.length < 2;
  $("slider").max = snapshots.length - 1;
  $("slider").addEventListener("input", (event) => moment(Number(event.target.value)));
  $("play").addEventListener("click", play);
  $("width").addEventListener("change", (event) => { state.width = event.target.value; widths(); });
  $("layers").addEventListener("click", () => {
    state.every = !state.every;
    state.open.clear();
    state.chosen = null;
    $("layers").setAttribute("aria-pressed", state.every);
    draw();
    begin();
    show();
  });
  const middle = () => { const [w, h] = size(); return [w / 2, h / 2]; };
  $("in").addEventListener("click", () => zoom(1.3, ...middle()));
  $("out").addEventListener("click", () => zoom(1 / 1.3, ...middle()));
  $("fit").addEventListener("click", whole);
  for (const item of document.querySelectorAll("#legend li")) {
    item.hidden = !edges.some((edge) => edge.role === item.dataset.role);
  }
  draw();
  begin();
  moment(0);
})();
