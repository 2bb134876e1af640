// The gene view: draws what Python computed (traits view and now) and sends back what is chosen (trait asked).

const SVG = "http://www.w3.org/2000/svg";
const RAISES = "#D55E00";
const LOWERS = "#0072B2";
const GREY = "#8a8a8a";
const LEVELS = 8; // shades of attention
const SHAPE = { arcs: 86, names: 44, track: 30, genes: 30, strip: 13, gap: 10, bars: 58, left: 106, right: 44, narrowest: 620 };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const signed = (value, digits) => {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value > 0 ? "+" : "−") + text;
};

// ---- places ----

function columnsOf(view, width) {
  const widths = view.columns.map((column) => (column.rank === 0 ? 4.6 : 1));
  const gap = 0.14;
  const total = Math.max(widths.reduce((sum, one) => sum + one, 0) + gap * (widths.length - 1), 5.6);
  const unit = (width - SHAPE.left - SHAPE.right) / total;
  let left = SHAPE.left;
  return view.columns.map((column, number) => {
    const placed = { ...column, left, width: widths[number] * unit };
    placed.middle = column.rank === 0 ? left + (placed.width * (view.gene.tss - column.start)) / (column.end - column.start)
      : left + placed.width / 2;
    placed.x = (position) => placed.left + (placed.width * (position - column.start)) / (column.end - column.start);
    left += (widths[number] + gap) * unit;
    return placed;
  });
}

const colourOf = (effect, least) => (Math.abs(effect) < least ? GREY : effect > 0 ? RAISES : LOWERS);

// ---- rows of the figure; each returns its height ----

function drawArcs(svg, view, columns, off, top, toggle) {
  if (columns.length < 2) return 0;
  const bottom = top + SHAPE.arcs;
  const tss = columns.find((column) => column.rank === 0).middle;
  const reach = Math.max(...columns.map((column) => Math.abs(column.middle - tss)));
  const least = Math.min(0, ...view.pcres.map((pcre) => pcre.contact)); // logarithms of contacts are negative
  const range = Math.max(...view.pcres.map((pcre) => pcre.contact - least)) || 1;
  for (const pcre of view.pcres) {
    const middle = columns.find((column) => column.rank === pcre.rank).middle;
    const height = SHAPE.arcs * (0.25 + (0.7 * Math.abs(middle - tss)) / reach);
    const path = shape(svg, "path", {
      d: `M${tss},${bottom} A${Math.abs(middle - tss) / 2},${height} 0 0 ${middle > tss ? 1 : 0} ${middle},${bottom}`,
      fill: "none",
      stroke: colourOf(pcre.effect, view.least_effect),
      "stroke-width": 1 + (4 * (pcre.contact - least)) / range,
      "stroke-linecap": "round",
      "stroke-dasharray": off.pcres.includes(pcre.rank) ? "2 7" : "none",
      opacity: off.pcres.includes(pcre.rank) ? 0.45 : 0.9,
      class: "cf-click",
    });
    shape(path, "title", {}, `pCRE ${pcre.rank}: click to switch it ${off.pcres.includes(pcre.rank) ? "on" : "off"}`);
    path.addEventListener("click", () => toggle("pcres", pcre.rank));
  }
  return SHAPE.arcs;
}

function drawNames(svg, view, columns, off, top) {
  for (const column of columns) {
    const pcre = view.pcres.find((one) => one.rank === column.rank);
    const centre = column.left + column.width / 2;
    const lines = pcre ? [`pCRE ${pcre.rank}`, pcre.distance_text] : [view.gene.title, view.gene.place];
    lines.forEach((line, number) => {
      const text = { x: centre, y: top + 15 + 14 * number, "text-anchor": "middle", class: number ? "cf-small" : "cf-bold" };
      if (pcre && off.pcres.includes(pcre.rank)) text["text-decoration"] = "line-through";
      shape(svg, "text", text, line);
    });
  }
  return SHAPE.names;
}

function drawTracks(svg, view, columns, off, top) {
  view.marks.forEach((mark, number) => {
    const bottom = top + (number + 1) * SHAPE.track;
    const height = SHAPE.track - 5;
    const absent = off.marks.includes(mark.name);
    const label = { x: SHAPE.left - 8, y: bottom - 6, "text-anchor": "end" };
    if (absent) label["text-decoration"] = "line-through";
    shape(svg, "text", label, mark.name);
    for (const column of columns) {
      const hidden = absent || off.pcres.includes(column.rank);
      const back = { x: column.left, y: bottom - height, width: column.width, height, class: column.rank ? "cf-pcre" : "cf-panel" };
      shape(svg, "rect", back);
      const depth = column.depth[number];
      const step = column.width / ((column.end - column.start) / column.step);
      let path = `M${column.left},${bottom}`;
      depth.forEach((value, bin) => {
        const y = bottom - (height * Math.min(value, mark.most)) / mark.most;
        const right = Math.min(column.left + (bin + 1) * step, column.left + column.width);
        path += `V${y.toFixed(1)}H${right.toFixed(1)}`;
      });
      shape(svg, "path", { d: `${path}V${bottom}Z`, fill: hidden ? GREY : mark.colour, opacity: hidden ? 0.25 : 1 });
    }
    const last = columns[columns.length - 1];
    shape(svg, "text", { x: last.left + last.width + 5, y: bottom - height + 9, class: "cf-small" }, mark.most_text);
  });
  return view.marks.length * SHAPE.track;
}

function drawGenes(svg, columns, top) {
  const line = top + 20;
  shape(svg, "text", { x: SHAPE.left - 8, y: line + 4, "text-anchor": "end" }, "genes");
  for (const column of columns) {
    for (const gene of column.genes) {
      const look = { class: gene.own ? "cf-own" : "cf-other" };
      const start = Math.max(column.x(gene.start), column.left);
      const end = Math.min(column.x(gene.end), column.left + column.width);
      const body = shape(svg, "path", { d: `M${start},${line}H${Math.max(end, start + 1)}`, "stroke-width": 3, ...look });
      shape(body, "title", {}, gene.name);
      if (gene.tss >= column.start && gene.tss < column.end && column.rank === 0) {
        const x = column.x(gene.tss);
        const tip = gene.strand === "+" ? 11 : -11;
        const arrow = `M${x},${line}V${line - 12}H${x + tip}l${-tip / 3},-3m${tip / 3},3l${-tip / 3},3`;
        shape(svg, "path", { d: arrow, fill: "none", "stroke-width": 1.4, ...look });
      }
    }
  }
  return SHAPE.genes;
}

function strips(view, chosen) {
  const sizes = view.bin_sizes.filter((size) => chosen.size === "all" || String(size) === chosen.size);
  const heads = [...Array(view.heads).keys()].filter((head) => ["each", String(head + 1)].includes(chosen.head));
  return sizes.flatMap((size) => (chosen.head === "mean" ? [null] : heads).map((head) => ({ size, head })));
}

function drawAttention(svg, view, now, columns, chosen, top) {
  const rows = strips(view, chosen);
  rows.forEach((row, number) => {
    const y = top + number * SHAPE.strip;
    const name = `${row.size.toLocaleString("en")} bp${row.head === null ? "" : ` head ${row.head + 1}`}`;
    shape(svg, "text", { x: SHAPE.left - 8, y: y + 10, "text-anchor": "end", class: "cf-small" }, name);
    for (const column of columns) {
      const edges = view.edges[row.size][column.rank];
      const heads = now.attention[row.size][column.rank];
      shape(svg, "rect", { x: column.left, y, width: column.width, height: SHAPE.strip - 2, class: "cf-panel" });
      if (!heads) continue;
      const paths = Array(LEVELS + 1).fill("");
      for (let bin = 0; bin + 1 < edges.length; bin += 1) {
        const value = row.head === null ? heads.reduce((sum, head) => sum + head[bin], 0) / heads.length : heads[row.head][bin];
        const level = Math.min(LEVELS, Math.round((LEVELS * value) / view.most_attention));
        const x = Math.max(column.x(edges[bin]), column.left);
        const right = Math.min(column.x(edges[bin + 1]), column.left + column.width);
        if (right > x) paths[level] += `M${x.toFixed(2)},${y}H${(right + 0.15).toFixed(2)}v${SHAPE.strip - 2}H${x.toFixed(2)}Z`;
      }
      paths.forEach((d, level) => level && d && shape(svg, "path", { d, class: "cf-attention", opacity: level / LEVELS }));
    }
  });
  const last = columns[columns.length - 1];
  const scale = `≥ ${view.most_attention.toFixed(1)}×`;
  shape(svg, "rect", { x: last.left + last.width + 5, y: top + 1, width: 9, height: 9, class: "cf-attention" });
  shape(svg, "text", { x: last.left + last.width + 5, y: top + 22, class: "cf-small" }, scale);
  return Math.max(rows.length * SHAPE.strip, 24);
}

function drawShares(svg, view, now, columns, chosen, top) {
  if (columns.length < 2) return 0;
  const bottom = top + SHAPE.bars - 14;
  shape(svg, "text", { x: SHAPE.left - 8, y: bottom - 22, "text-anchor": "end" }, "Regulation");
  shape(svg, "text", { x: SHAPE.left - 8, y: bottom - 9, "text-anchor": "end", class: "cf-small" }, "(share)");
  const sizes = view.bin_sizes.filter((size) => chosen.size === "all" || String(size) === chosen.size);
  const shares = now.ranks.map((_, token) => {
    const values = sizes.flatMap((size) => now.shares[size].filter((_, head) => ["mean", String(head + 1)].includes(chosen.regulation))
      .map((head) => head[token]));
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  });
  for (const column of columns) {
    const token = now.ranks.indexOf(column.rank);
    const share = token < 0 ? 0 : shares[token];
    const height = ((SHAPE.bars - 22) * share) / Math.max(...shares);
    const middle = column.left + column.width / 2;
    shape(svg, "rect", { x: middle - 8, y: bottom - height, width: 16, height, class: "cf-bar-share" });
    const text = token < 0 ? "off" : share.toFixed(2);
    shape(svg, "text", { x: middle, y: bottom + 12, "text-anchor": "middle", class: "cf-small" }, text);
  }
  shape(svg, "path", { d: `M${SHAPE.left},${bottom}H${columns[columns.length - 1].left + columns[columns.length - 1].width}`, class: "cf-line" });
  return SHAPE.bars;
}

function draw(place, view, now, chosen, toggle) {
  const width = Math.max(place.clientWidth, SHAPE.narrowest);
  const svg = document.createElementNS(SVG, "svg");
  const columns = columnsOf(view, width);
  let top = 0;
  top += drawArcs(svg, view, columns, now, top, toggle);
  top += drawNames(svg, view, columns, now, top);
  top += drawTracks(svg, view, columns, now, top);
  top += drawGenes(svg, columns, top) + SHAPE.gap;
  top += drawAttention(svg, view, now, columns, chosen, top) + SHAPE.gap;
  top += drawShares(svg, view, now, columns, chosen, top);
  svg.setAttribute("viewBox", `0 0 ${width} ${top}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", top);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", now.alt);
  place.replaceChildren(svg);
}

// ---- choosing a gene ----

function combobox(model, choose) {
  const list = element("ul", { role: "listbox", class: "cf-list", id: `cf-list-${model.get("token")}`, hidden: true, "aria-label": "Genes" });
  const input = element("input", {
    type: "text", role: "combobox", "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": list.id,
    autocomplete: "off", spellcheck: "false", class: "cf-input", placeholder: "name or id",
  });
  let active = -1;
  const close = () => {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const take = (gene) => {
    input.value = gene;
    close();
    choose(gene);
  };
  const highlight = (number) => {
    const items = [...list.children];
    active = (number + items.length) % items.length;
    items.forEach((item, place) => item.setAttribute("aria-selected", place === active));
    input.setAttribute("aria-activedescendant", items[active].id);
    items[active].scrollIntoView({ block: "nearest" });
  };
  input.addEventListener("input", () => model.send({ kind: "complete", text: input.value }));
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // JupyterLab has keys of its own
    if (event.key === "Enter") take(active >= 0 ? list.children[active].dataset.gene : input.value);
    else if (event.key === "Escape") close();
    else if (["ArrowDown", "ArrowUp"].includes(event.key) && !list.hidden) {
      event.preventDefault();
      highlight(active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1));
    }
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  const suggest = (text, genes) => {
    if (text !== input.value || !input.matches(":focus")) return;
    list.replaceChildren(...genes.map((gene, number) => element("li", {
      role: "option", id: `${list.id}-${number}`, "aria-selected": "false", "data-gene": gene.id,
      onmousedown: (event) => { event.preventDefault(); take(gene.id); },
    }, gene.text)));
    active = -1;
    list.hidden = genes.length === 0;
    input.setAttribute("aria-expanded", String(genes.length > 0));
  };
  const node = element("label", { class: "cf-gene" }, "Gene ", input, list);
  return { node, input, suggest };
}

// ---- the whole view ----

function selector(name, options, value, change) {
  const select = element("select", { class: "cf-select", onchange: () => change(select.value) });
  for (const [key, text] of options) select.append(element("option", { value: key, selected: key === value }, text));
  return element("label", { class: "cf-choice" }, `${name} `, select);
}

function build(model, el) {
  const chosen = { size: "all", head: "each", regulation: "mean" };
  const off = { pcres: [], marks: [] };
  const root = element("div", { class: "cf-view" });
  const score = element("output", { class: "cf-score", "aria-live": "polite" });
  const message = element("p", { class: "cf-message", role: "alert" });
  const side = element("div", { class: "cf-side" });
  const figure = element("div", { class: "cf-figure", tabindex: "0", role: "region", "aria-label": "Figure of the gene" });
  const caption = element("p", { class: "cf-caption" });
  const redraw = () => {
    const view = model.get("view");
    const now = model.get("now");
    if (view.gene && now.of === view.gene.id && figure.clientWidth) draw(figure, view, now, chosen, toggle);
  };
  const ask = () => {
    root.setAttribute("aria-busy", "true");
    model.set("asked", { gene: model.get("view").gene.id, pcres: [...off.pcres], marks: [...off.marks], number: Date.now() });
    model.save_changes();
  };
  const toggle = (kind, value) => {
    off[kind] = off[kind].includes(value) ? off[kind].filter((one) => one !== value) : [...off[kind], value];
    boxes();
    ask();
  };
  const boxes = () => side.querySelectorAll("input[data-kind]").forEach((box) => {
    const value = box.dataset.kind === "pcres" ? Number(box.dataset.value) : box.dataset.value;
    box.checked = !off[box.dataset.kind].includes(value);
  });
  const gene = combobox(model, (id) => {
    root.setAttribute("aria-busy", "true");
    model.set("asked", { gene: id, pcres: [], marks: [], number: Date.now() });
    model.save_changes();
  });
  const box = (kind, value, label) => element("input", {
    type: "checkbox", checked: true, "data-kind": kind, "data-value": value, "aria-label": label, onchange: () => toggle(kind, value),
  });
  const newGene = () => {
    const view = model.get("view");
    off.pcres = [];
    off.marks = [];
    gene.input.value = view.gene.name;
    const marks = element("fieldset", {}, element("legend", {}, "Marks"), ...view.marks.map((mark) => element("label", { class: "cf-mark" },
      box("marks", mark.name, `mark ${mark.name}`), element("span", { class: "cf-swatch", style: `background:${mark.colour}` }), mark.name)));
    const head = element("tr", {}, ...["", "pCRE", "distance", "contact", view.effect_name].map((text) => element("th", { scope: "col" }, text)));
    const rows = view.pcres.map((pcre) => element("tr", {}, element("td", {}, box("pcres", pcre.rank, `pCRE ${pcre.rank}`)),
      ...[pcre.rank, pcre.distance_text, pcre.contact.toFixed(2), signed(pcre.effect, 2)].map((text) => element("td", {}, String(text)))));
    const pcres = element("fieldset", {}, element("legend", {}, "pCREs"), view.pcres.length
      ? element("table", { class: "cf-table" }, element("thead", {}, head), element("tbody", {}, ...rows)) : "This gene has no pCRE.");
    const heads = (number) => [...Array(number).keys()].map((head) => [String(head + 1), `head ${head + 1}`]);
    const pick = (key) => (value) => { chosen[key] = value; redraw(); };
    const sizes = [["all", "all"], ...view.bin_sizes.map((size) => [String(size), `${size.toLocaleString("en")} bp`])];
    const attention = element("fieldset", {}, element("legend", {}, "Attention"),
      selector("Bins", sizes, chosen.size, pick("size")),
      selector("TSS", [["each", "each head"], ["mean", "mean"], ...heads(view.heads)], chosen.head, pick("head")),
      selector("Regulation", [["mean", "mean"], ...heads(view.regulation_heads)], chosen.regulation, pick("regulation")));
    const reset = element("button", { type: "button", class: "cf-button", onclick: () => {
      off.pcres = [];
      off.marks = [];
      boxes();
      ask();
    } }, "Switch everything on");
    side.replaceChildren(marks, pcres, reset, attention);
    caption.textContent = view.caption;
  };
  const update = () => {
    const now = model.get("now");
    root.setAttribute("aria-busy", "false");
    message.textContent = model.get("message");
    if (!now.of) return;
    score.replaceChildren(element("span", { class: "cf-label" }, model.get("view").score_name), element("strong", {}, now.score_text),
      element("span", { class: "cf-label" }, now.change_text), element("span", { class: "cf-model" }, model.get("view").model_text));
    redraw();
  };
  model.on("change:view", newGene);
  model.on("change:now", update);
  model.on("change:message", () => { message.textContent = model.get("message"); root.setAttribute("aria-busy", "false"); });
  model.on("msg:custom", (content) => content.kind === "genes" && gene.suggest(content.text, content.genes));
  root.append(element("div", { class: "cf-top" }, gene.node, score), message, element("div", { class: "cf-body" }, side, figure), caption);
  el.replaceChildren(root);
  newGene();
  update();
  new ResizeObserver(redraw).observe(figure);
}

function render({ model, el }) {
  const waiting = element("p", { class: "cf-waiting" }, "");
  el.append(waiting);
  const late = setTimeout(() => {
    waiting.textContent = "The gene view needs a running kernel: run this cell again. The figure above shows the gene without it.";
  }, 5000);
  let live = false;
  model.on("msg:custom", (content) => {
    if (content.kind !== "here" || live) return;
    live = true;
    clearTimeout(late);
    const style = element("style", {}, `.cf-static-${model.get("token")} { display: none; }`);
    document.head.append(style);
    build(model, el);
  });
  model.send({ kind: "hello" });
}

export default { render };
