// The explorer: any two axes of the grid as a heat map, and what lies behind a cell. The address
// holds the view: #explore?x=...
(function () {
  "use strict";
  const {
    grid,
    placesOf,
    placesOfCell,
    valuesOf,
    cellAt,
    isWhole,
    heatMap,
    counts,
    onMap,
    startState,
    setAxes,
    write,
    read,
    joined,
    understand,
    filledIn,
    wanted,
    nearest,
    recipe,
    three,
    whole,
    percent,
    points,
    median,
    levelLabel,
    inWords,
    box,
    finding,
    share,
    colour,
    ink,
  } = ExplorerGrid;

  const source = document.getElementById("explorer-data");
  const section = document.getElementById("explore");
  const find = (name) => document.getElementById("explore-" + name);
  let g = null; // the grid, once it is needed
  let state = null;
  const waiting = new Map(); // charts of the open cells, by their element
  const drawn = new Map(); // those that somebody has scrolled to
  let turn = 0; // of drawing: what is late is dropped

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") element.addEventListener("click", value);
      else if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  // A chunk's cells, unpacked when one of them is opened; the last few are kept.
  const unpacked = new Map();
  async function detail(cell) {
    const { chunk } = g.data;
    const number = Math.floor(cell / chunk);
    if (!unpacked.has(number)) {
      const packed = document.getElementById("explorer-details").textContent.split("\n")[number];
      const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(number, JSON.parse(await new Response(stream).text()));
      if (unpacked.size > 3) unpacked.delete(unpacked.keys().next().value);
    }
    return unpacked.get(number)[cell % chunk];
  }

  // ---- Controls ----

  function select(name, label, options) {
    const id = "explore-by-" + name;
    const control = make("select", { id, "data-name": name });
    for (const [value, text] of options) control.append(make("option", { value }, text));
    return make("p", {}, make("label", { for: id }, label), control);
  }

  function buildControls() {
    const several = g.axes.filter((axis) => axis.levels.length > 1);
    const axes = several.map((axis) => [axis.key, axis.label]);
    find("axes").replaceChildren(
      select("y", "rows", axes),
      select("x", "columns", axes),
      select(
        "show",
        "colour",
        g.data.measures.map((measure) => [measure.key, measure.label]),
      ),
    );
    find("filters").replaceChildren(
      ...several.map((axis) => {
        const usual = axis.usual ? [["usual", axis.usual.label]] : [];
        return select(axis.key, axis.label, [
          ...usual,
          ...axis.levels.map((level) => [level.value, level.label]),
        ]);
      }),
    );
  }

  function control(name) {
    return find("by-" + name);
  }

  function showControls() {
    for (const name of ["x", "y", "show"]) control(name).value = state[name];
    for (const axis of g.axes) {
      const one = control(axis.key);
      if (!one) continue;
      one.parentElement.hidden = onMap(state, axis);
      if (onMap(state, axis)) continue;
      const found = counts(g, state, axis);
      for (const option of one.options) {
        const label =
          option.value === "usual"
            ? axis.usual.label
            : levelLabel(axis, axis.places.get(option.value));
        option.textContent = found[option.value]
          ? `${label} (${whole(found[option.value])})`
          : `${label} –`;
      }
      one.value = state.at[axis.key];
    }
  }

  function change(event) {
    const { name } = event.target.dataset;
    const value = event.target.value;
    if (name === "show") state.show = value;
    else if (name === "x") setAxes(g, state, value, value === state.y ? state.x : state.y);
    else if (name === "y") setAxes(g, state, value === state.x ? state.y : state.x, value);
    else state.at[name] = value;
    update();
  }

  // ---- The heat map ----

  let map = null;

  function showMap() {
    map = heatMap(g, state);
    const measure = g.data.measures.find((one) => one.key === state.show);
    find("found").textContent = finding(g, state, map);
    const table = find("map");
    const unit = measure.unit ? `, ${measure.unit}` : "";
    find("about").replaceChildren(make("b", {}, measure.label + unit), `: ${measure.note}`);
    table.replaceChildren(
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("th", { scope: "col", class: "corner" }, `${map.y.label} ↓  ${map.x.label} →`),
          ...map.columns.map((column) => make("th", { scope: "col" }, levelLabel(map.x, column))),
        ),
      ),
    );
    const body = make("tbody");
    const chosen = selected();
    for (const row of map.rows) {
      const line = make("tr", {}, make("th", { scope: "row" }, levelLabel(map.y, row)));
      for (const column of map.columns) line.append(heatCell(row, column, chosen));
      body.append(line);
    }
    table.append(body);
    table.hidden = !map.rows.length;
    const first = table.querySelector("[aria-selected=true]") || table.querySelector("td");
    if (first) first.tabIndex = 0;
    showKey();
  }

  function heatCell(row, column, chosen) {
    const cell = map.at(row, column);
    const where = `${levelLabel(map.y, row)}, ${levelLabel(map.x, column)}: `;
    const isChosen = chosen && chosen[map.y.key] === row && chosen[map.x.key] === column;
    const attributes = {
      role: "gridcell",
      tabindex: "-1",
      "data-row": row,
      "data-column": column,
      "aria-selected": String(Boolean(isChosen)),
    };
    if (cell === undefined) {
      return make(
        "td",
        { ...attributes, class: "untrained", "aria-label": where + "not trained" },
        "not trained",
      );
    }
    const { text, more, state: fate } = box(g, state.show, cell);
    const unit = g.data.measures.find((one) => one.key === state.show).unit;
    const said = text === "diverged" ? "all seeds diverged" : `${text} ${unit} ${more}`.trim();
    const td = make("td", { ...attributes, class: fate, "aria-label": where + said }, text);
    if (more) td.append(make("small", {}, more));
    const { cells } = g.data;
    const value =
      state.show === "diverged" ? cells.diverged[cell] / cells.n[cell] : cells[state.show][cell];
    if (value !== null && text !== "diverged") {
      const rgb = colour(g.scales[state.show], value);
      td.style.backgroundColor = `rgb(${rgb.join()})`;
      td.style.color = ink(rgb);
    }
    return td;
  }

  // What the colours and patterns mean.
  function showKey() {
    const scale = g.scales[state.show];
    const strip = make("span", { class: "strip" });
    const stops = [];
    for (let i = 0; i <= 20; i++) stops.push(colourAt(scale, i / 20));
    strip.style.backgroundImage = `linear-gradient(to right, ${stops.join()})`;
    const ticks = make("span", { class: "strip-ticks" });
    for (const tick of scale.ticks) {
      const mark = make("span", {}, scale.said(tick));
      mark.style.left = `${100 * share(scale, tick)}%`;
      ticks.append(mark);
    }
    const keys = [
      ["diverged", "every seed diverged"],
      ["partly", "some seeds diverged"],
      ["untrained", "not trained"],
    ];
    find("key").replaceChildren(
      make("span", { class: "scale", "aria-hidden": "true" }, strip, ticks),
      ...keys.map(([name, text]) =>
        make("span", { class: "pattern" }, make("i", { class: name, "aria-hidden": "true" }), text),
      ),
    );
  }

  function colourAt(scale, along) {
    const at = along * (scale.stops.length - 1);
    const i = Math.min(Math.floor(at), scale.stops.length - 2);
    return `color-mix(in srgb, ${scale.stops[i + 1]} ${100 * (at - i)}%, ${scale.stops[i]})`;
  }

  function move(event) {
    const table = find("map");
    const from = event.target.closest("td");
    if (!from) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(from);
      return;
    }
    const lines = [...table.tBodies[0].rows].map((line) => [...line.cells].slice(1));
    const y = from.parentElement.sectionRowIndex;
    const x = from.cellIndex - 1;
    const [bottom, right] = [lines.length - 1, lines[0].length - 1];
    const steps = {
      ArrowUp: [y - 1, x],
      ArrowDown: [y + 1, x],
      ArrowLeft: [y, x - 1],
      ArrowRight: [y, x + 1],
      Home: [event.ctrlKey ? 0 : y, 0],
      End: [event.ctrlKey ? bottom : y, right],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const to = lines[Math.min(bottom, Math.max(0, step[0]))][Math.min(right, Math.max(0, step[1]))];
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }

  function choose(td) {
    state.at[map.y.key] = map.y.levels[td.dataset.row].value;
    state.at[map.x.key] = map.x.levels[td.dataset.column].value;
    update();
    const again = find("map").querySelector("[aria-selected=true]");
    if (again) again.focus({ preventScroll: true });
  }

  // The places of the chosen cell, trained or not; null if none is chosen.
  function selected() {
    const places = placesOf(g, state.at);
    return isWhole(g, places) ? places : null;
  }

  function go(places) {
    Object.assign(state.at, valuesOf(g, places));
    for (const axis of g.axes) {
      if (
        axis.usual &&
        placesOf(g, { ...state.at, [axis.key]: "usual" })[axis.key] === places[axis.key] &&
        !onMap(state, axis)
      )
        state.at[axis.key] = "usual";
    }
    update();
  }

  // ---- Which cells diverged ----

  function showDiverged() {
    const { cells, start } = g.data;
    const seeds = g.axis("seeds");
    // A network counts once: with the page's own seeds, not with those of a reference as well.
    const own = Array.from({ length: g.size }, (_, cell) => cell).filter(
      (cell) => seeds.levels[seeds.column[cell]].value === start.seeds,
    );
    const some = own.filter((cell) => cells.diverged[cell]);
    const every = some.filter((cell) => cells.diverged[cell] === cells.n[cell]).length;
    const details = find("diverged");
    const [summary, list] = [details.querySelector("summary"), details.querySelector("ul")];
    const throughout = `${whole(every)} with every seed`;
    summary.textContent =
      `Which cells diverged: ${whole(some.length)} of ${whole(own.length)}, ${throughout}`;
    details.hidden = !some.length;
    details.addEventListener("toggle", () => {
      list.replaceChildren(
        ...(details.open ? some : []).map((cell) =>
          make(
            "li",
            {},
            make("span", {}, `${cells.diverged[cell]} of ${cells.n[cell]}:`),
            link(placesOfCell(g, cell)),
          ),
        ),
      );
    });
  }

  const button = (text, onclick, more = {}) =>
    make("button", { type: "button", onclick, ...more }, text);

  // A cell's name that opens it, without what is as at the start.
  function link(places) {
    const open = () => {
      go(places);
      find("cells").scrollIntoView({ block: "nearest" });
    };
    const { start } = g.data;
    const usual = ["seeds", "dataset", "training"].filter(
      (key) => g.axis(key).levels[places[key]].value === start[key],
    );
    return button(inWords(g, places, ...usual), open, { class: "link" });
  }

  // ---- What lies behind a cell ----

  async function showCells() {
    const mine = ++turn;
    const places = selected();
    const shown = [state.pin, places].filter(
      (one, i, all) => one && (i === 0 || !all[0] || joined(g, one) !== joined(g, all[0])),
    );
    const views = await Promise.all(
      shown.map(async (one) => {
        const cell = cellAt(g, one);
        return { places: one, cell, detail: cell === undefined ? null : await detail(cell) };
      }),
    );
    if (mine !== turn) return;
    free();
    const host = find("cells");
    host.replaceChildren();
    if (!views.length) return void (find("opened").textContent = "");
    if (views.length === 2) host.append(make("p", { class: "versus" }, versus(...views)));
    const columns = make("div", { class: views.length === 2 ? "cells two" : "cells" });
    views.forEach((view, i) => columns.append(cellView(view, views.length === 2 ? "AB"[i] : "")));
    host.append(columns);
    ExplorerCharts.shareScales([...waiting.values()]);
    for (const element of waiting.keys()) inView.observe(element);
    find("opened").textContent = views.map(inShort).join("; ");
  }

  const isPinned = (view) => state.pin && joined(g, view.places) === joined(g, state.pin);

  function cellView(view, letter) {
    const { places, cell } = view;
    const pinned = isPinned(view);
    const pin = () => {
      state.pin = pinned ? null : places;
      update();
    };
    const close = () => {
      if (pinned) state.pin = null;
      else for (const axis of [state.x, state.y]) delete state.at[axis];
      update();
    };
    return make(
      "article",
      {},
      make("h3", {}, letter ? `${letter}: ` : "", inWords(g, places)),
      make(
        "p",
        { class: "outcome" },
        cell === undefined ? "Not trained in this report." : outcome(view),
      ),
      make(
        "p",
        { class: "actions" },
        button(pinned ? "Let go" : "Keep, to compare with another", pin),
        button("Close", close),
        pinned && !letter ? "Kept. Now open another cell." : "",
      ),
      ...(cell === undefined ? [near(places)] : [curves(view), numbersOf(view)]),
      exactRun(places),
    );
  }

  // A level in words, or the number that was asked for and is none.
  const nameOf = (axis, places, off) =>
    axis.key in off ? `${axis.label} ${whole(off[axis.key])}` : levelLabel(axis, places[axis.key]);

  // The trained cells nearest to places that were not trained; `asked`: the axes that matter; `off`:
  // the numbers asked for that are no level.
  function near(places, asked, off = {}) {
    const found = nearest(g, places, asked, 4, off).map(({ cell, differ }) => {
      const instead = differ.map(
        (axis) =>
          `${levelLabel(axis, axis.column[cell])} instead of ${nameOf(axis, places, off)}`,
      );
      return make(
        "li",
        {},
        link(placesOfCell(g, cell)),
        ` ${ending(cell)}, with ${instead.join(" and ")}`,
      );
    });
    return make(
      "div",
      {},
      make("p", {}, "Trained, and nearest to it:"),
      make("ul", { class: "near" }, ...found),
    );
  }

  // How a cell ended, in two or three words.
  function ending(cell) {
    const { text } = box(g, "accuracy", cell);
    return text === "diverged" ? "diverged with every seed" : `${text}\u00a0%`;
  }

  const inShort = ({ places, cell }) =>
    `Opened: ${inWords(g, places)}, ${cell === undefined ? "not trained" : ending(cell)}`;

  const finals = (view) =>
    view.detail.seeds.map((seed, i) =>
      view.detail.outcomes[i] >= 2
        ? 100 * g.data.chance[view.places.dataset]
        : (view.detail.accuracy[i].at(-1) ?? null),
    );

  function outcome(view) {
    const { cells } = g.data;
    const {
      cell,
      detail: { seeds, outcomes, steps },
    } = view;
    const ends = finals(view);
    const lost = outcomes.map((o, i) => (o >= 2 ? steps[i] : null)).filter((s) => s !== null);
    const n = seeds.length;
    const large = outcomes.filter((o) => o === 1).length;
    const said = [];
    if (cells.diverged[cell] < n) {
      const range =
        n > 1
          ? ` (${percent(Math.min(...ends))} to ${percent(Math.max(...ends))}, ${n} seeds)`
          : " (1 seed)";
      said.push(`Test accuracy ${percent(cells.accuracy[cell])}${range}.`);
    }
    if (cells.diverged[cell]) {
      said.push(
        `${cells.diverged[cell]} of ${n} diverged: the loss became infinite or NaN at step ` +
          `${[...new Set(lost)].sort((a, b) => a - b).map(whole).join(", ")}.`,
      );
    } else said.push("No seed diverged.");
    if (large)
      said.push(`In ${large} of ${n} a batch's loss grew to more than 1,000 times the first one.`);
    return said.join(" ");
  }

  // B against A, seed by seed.
  function versus(a, b) {
    if (!a.detail || !b.detail) return "One of the two was not trained: nothing to compare.";
    const [before, after] = [finals(a), finals(b)];
    const gaps = [];
    a.detail.seeds.forEach((seed, i) => {
      const j = b.detail.seeds.indexOf(seed);
      if (j >= 0 && before[i] != null && after[j] != null) gaps.push(after[j] - before[i]);
    });
    const gap = gaps.length
      ? median(gaps)
      : g.data.cells.accuracy[b.cell] - g.data.cells.accuracy[a.cell];
    const way = gap < 0 ? "below" : "above";
    const first = gap === 0 ? "B ends where A does" : `B ends ${points(Math.abs(gap))} ${way} A`;
    if (!gaps.length) return `${first} (medians; they share no seed).`;
    const better = gaps.filter((one) => one > 0).length;
    const shared = `${gaps.length} shared seed${gaps.length > 1 ? "s" : ""}`;
    return (
      `${first} in test accuracy (median over ${shared}); ` + `B is better with ${better} of them.`
    );
  }

  function exactRun(places, off) {
    const { file, yaml, command } = recipe(g, places, off);
    return make(
      "details",
      { class: "run" },
      make("summary", {}, "The exact run, and how to train it"),
      make("p", {}, "As ", make("code", {}, file), ":"),
      make("pre", { tabindex: "0" }, yaml),
      make("code", { class: "command", tabindex: "0" }, command),
    );
  }

  // The numbers behind the curves, as tables that are built when they are opened.
  function numbersOf(view) {
    const {
      detail: { seeds, outcomes, steps, loss, running, accuracy, layers },
    } = view;
    const table = (heads, rows) =>
      make(
        "div",
        { class: "scroll", tabindex: "0", role: "group", "aria-label": "Numbers" },
        make(
          "table",
          { class: "plain" },
          make(
            "thead",
            {},
            make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head))),
          ),
          make(
            "tbody",
            {},
            ...rows.map(([head, ...cells]) =>
              make(
                "tr",
                {},
                make("th", { scope: "row" }, String(head)),
                ...cells.map((text) => make("td", {}, text)),
              ),
            ),
          ),
        ),
      );
    const details = make("details", { class: "run" }, make("summary", {}, "All numbers"));
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      const words = ["finite", "large loss", "infinite loss", "NaN"];
      details.append(
        table(
          ["seed", "loss", "at step", "test accuracy by epoch, %", "test loss", "training loss"],
          seeds.map((seed, i) => [
            seed,
            words[outcomes[i]],
            steps[i] == null ? "–" : whole(steps[i]),
            accuracy[i].map((v) => (v == null ? "–" : (v / 100).toFixed(2))).join("  "),
            three(loss[i].at(-1)),
            three(running[i].at(-1)),
          ]),
        ),
      );
      if (!layers.n) return;
      const dead = (v) => (v == null ? "–" : (100 * v).toFixed(0));
      details.append(
        table(
          [
            "layer",
            "std before",
            "std after",
            "gradient before",
            "gradient after",
            "dead before, %",
            "dead after, %",
          ],
          layers.std[0].map((_, i) => [
            i + 1,
            three(layers.std[0][i]),
            three(layers.std[1][i]),
            three(layers.gradient[0][i]),
            three(layers.gradient[1][i]),
            dead(layers.dead[0][i]),
            dead(layers.dead[1][i]),
          ]),
        ),
      );
    });
    return details;
  }

  // ---- Curves: drawn when they come into view, freed when another cell is opened ----

  function curves(view) {
    view.charts = ExplorerCharts.charts(view.detail);
    const legend = make(
      "p",
      { class: "key-line" },
      make("span", {}, "By epoch: medians over seeds, their range as a band, thin: one seed."),
      make("span", {}, "By layer: medians, dashed before training, solid after."),
    );
    const figures = view.charts.map((chart) => {
      const host = make("div", { class: "chart", role: "img", "aria-label": chart.title });
      waiting.set(host, chart);
      return make(
        "figure",
        {},
        make("figcaption", {}, chart.title),
        host,
        make("p", { class: "x-name", "aria-hidden": "true" }, chart.x),
      );
    });
    return make("div", { class: "charts" }, legend, ...figures);
  }

  const inView = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        inView.unobserve(target);
        drawn.set(target, ExplorerCharts.draw(waiting.get(target), target));
      }
    },
    { rootMargin: "200px" },
  );

  function free() {
    inView.disconnect();
    for (const chart of drawn.values()) chart.destroy();
    drawn.clear();
    waiting.clear();
  }

  // Another width, or other colours.
  function redraw() {
    for (const [host, chart] of drawn) {
      chart.destroy();
      drawn.set(host, ExplorerCharts.draw(waiting.get(host), host));
    }
  }

  // ---- All together ----

  function update({ quiet = false } = {}) {
    showControls();
    showMap();
    showCells();
    if (!quiet) history.replaceState(null, "", write(g, state));
  }

  function ask(event) {
    event.preventDefault();
    const { at, off, rest } = understand(g, find("words").value);
    const keys = Object.keys({ ...at, ...off });
    const asked = g.axes.filter((axis) => keys.includes(axis.key));
    const left = rest.length ? `Not understood: ${rest.map((one) => `“${one}”`).join(", ")}.` : "";
    const answer = find("answer");
    if (!keys.length) {
      answer.textContent = `Nothing understood. ${left} Try “tanh, 20 layers, batch norm”.`;
      return;
    }
    const places = wanted(g, state, at, off);
    const cell = Object.keys(off).length ? undefined : cellAt(g, places);
    const result = cell === undefined ? "not trained in this report" : ending(cell);
    const names = asked.map((axis) => nameOf(axis, places, off)).join(" · ");
    const filled = filledIn(g, at, off, places);
    answer.replaceChildren(
      make("p", {}, make("b", {}, `${names}: ${result}.`)),
      ...Object.keys(off).map((key) => make("p", {}, levelsOf(g.axis(key)))),
      ...(left ? [make("p", {}, left)] : []),
      ...(filled.length ? [make("p", { class: "filled" }, `Filled in: ${filled.join("; ")}.`)] : []),
    );
    if (cell === undefined) {
      answer.append(near(places, keys, off), exactRun(places, off));
      go(placesOfCell(g, nearest(g, places, keys, 1, off)[0].cell));
    } else go(places);
  }

  // "The grid has depth 2, 6 and 10 layers."
  function levelsOf(axis) {
    const labels = axis.levels.map((level) => level.label);
    const listed = labels.length > 1 ? `${labels.slice(0, -1).join(", ")} and ${labels.at(-1)}` : labels[0];
    return `${axis.label} in this grid: ${listed}.`;
  }

  function build() {
    if (g) return;
    g = grid(JSON.parse(source.textContent));
    state = startState(g);
    buildControls();
    showDiverged();
    find("controls").addEventListener("change", change);
    find("controls").addEventListener("submit", (event) => event.preventDefault());
    find("ask").addEventListener("submit", ask);
    find("map").addEventListener("keydown", move);
    find("map").addEventListener("click", (event) => {
      const td = event.target.closest("td");
      if (td) choose(td);
    });
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      requestAnimationFrame(redraw);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  function restore() {
    if (!location.hash.startsWith("#explore")) return;
    build();
    state = read(g, location.hash);
    update({ quiet: true });
    section.scrollIntoView();
  }

  find("app").hidden = false;
  new IntersectionObserver(
    (entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (g) return;
      build();
      update({ quiet: true });
    },
    { rootMargin: "400px" },
  ).observe(section);
  window.addEventListener("hashchange", restore);
  restore();
})();
