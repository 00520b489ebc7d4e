// What the explorer knows of the grid, without a page: cells, filters, addresses, words, colours.
// Places are {axis: index of a level}; a setting is {axis: value of a level, or "usual"}.
const ExplorerGrid = (function () {
  "use strict";

  // ---- The grid: cells by the places of their levels ----

  function grid(data) {
    const axes = data.axes.map((axis) => ({
      ...axis,
      column: data.cells[axis.key],
      places: new Map(axis.levels.map((level, place) => [level.value, place])),
    }));
    const byKey = new Map(axes.map((axis) => [axis.key, axis]));
    const numbers = new Map();
    const size = data.cells.n.length;
    for (let cell = 0; cell < size; cell++) {
      numbers.set(axes.map((axis) => axis.column[cell]).join(), cell);
    }
    const axis = (key) => byKey.get(key);
    return { data, axes, byKey, size, axis, numbers, scales: scales(data.chance) };
  }

  // The level of a cell, or of any places {axis: place}, on an axis whose level may be "usual".
  function meant(g, axis, value, placeOf) {
    if (value !== "usual") return axis.places.get(value);
    return axis.usual.levels[placeOf(g.axis(axis.usual.by))];
  }

  // A setting {axis: value} as places {axis: place}; undefined where it says nothing or nonsense.
  function placesOf(g, at) {
    const places = {};
    for (const axis of g.axes) {
      if (at[axis.key] !== "usual") places[axis.key] = axis.places.get(at[axis.key]);
    }
    for (const axis of g.axes) {
      if (at[axis.key] === "usual") {
        places[axis.key] = meant(g, axis, "usual", (other) => places[other.key]);
      }
    }
    return places;
  }

  const placesOfCell = (g, cell) =>
    Object.fromEntries(g.axes.map((axis) => [axis.key, axis.column[cell]]));
  const valuesOf = (g, places) =>
    Object.fromEntries(g.axes.map((axis) => [axis.key, axis.levels[places[axis.key]].value]));
  const cellAt = (g, places) => g.numbers.get(g.axes.map((axis) => places[axis.key]).join());
  const isWhole = (g, places) => g.axes.every((axis) => places[axis.key] != null);

  // Cells that agree with a setting in all axes but those named.
  function* agreeing(g, at, ...except) {
    const filters = g.axes.filter((axis) => !except.includes(axis.key));
    for (let cell = 0; cell < g.size; cell++) {
      const place = (axis) => axis.column[cell];
      if (filters.every((axis) => place(axis) === meant(g, axis, at[axis.key], place))) yield cell;
    }
  }

  // The heat map of a state: rows and columns that hold a trained cell, and which cell lies where.
  function heatMap(g, state) {
    const [x, y] = [g.axis(state.x), g.axis(state.y)];
    const found = new Map();
    for (const cell of agreeing(g, state.at, x.key, y.key)) {
      found.set(y.column[cell] + " " + x.column[cell], cell);
    }
    const ordered = (axis) =>
      [...new Set([...found.values()].map((cell) => axis.column[cell]))].sort((a, b) => a - b);
    const [rows, columns] = [ordered(y), ordered(x)];
    const at = (row, column) => found.get(row + " " + column);
    return { x, y, rows, columns, at, cells: [...found.values()] };
  }

  // How many cells the heat map would have at each level of a filter: {value: count}.
  function counts(g, state, axis) {
    const found = Object.fromEntries(axis.levels.map((level) => [level.value, 0]));
    if (axis.usual) found.usual = 0;
    for (const cell of agreeing(g, state.at, axis.key, state.x, state.y)) {
      found[axis.levels[axis.column[cell]].value]++;
      const place = (other) => other.column[cell];
      if (axis.usual && place(axis) === meant(g, axis, "usual", place)) found.usual++;
    }
    return found;
  }

  // ---- The view and its address ----

  function startState(g) {
    const { x, y, ...at } = g.data.start;
    return { x, y, show: g.data.measures[0].key, at, pin: null };
  }

  const joined = (g, places) => Object.values(valuesOf(g, places)).join("~");

  function write(g, state) {
    const { x, y, show, at, pin } = state;
    const said = new URLSearchParams({ x, y, show });
    for (const axis of g.axes) {
      if (axis.levels.length > 1 && at[axis.key] != null) said.set(axis.key, at[axis.key]);
    }
    if (pin) said.set("pin", joined(g, pin));
    return "#explore?" + said.toString().replaceAll("%7E", "~");
  }

  // The state that an address tells of; what it leaves out or gets wrong is as at the start.
  function read(g, hash) {
    const state = startState(g);
    const said = new URLSearchParams(hash.split("?")[1] || "");
    const [x, y] = [said.get("x"), said.get("y")];
    if (g.axis(x) && g.axis(y) && x !== y) setAxes(g, state, x, y);
    if (g.data.measures.some((measure) => measure.key === said.get("show"))) {
      state.show = said.get("show");
    }
    for (const axis of g.axes) {
      const value = said.get(axis.key);
      if (axis.places.has(value) || (value === "usual" && axis.usual && !onMap(state, axis))) {
        state.at[axis.key] = value;
      }
    }
    const values = (said.get("pin") || "").split("~");
    // An address of before an axis came says nothing of it.
    const only = (axis) => (axis.levels.length === 1 ? axis.levels[0].value : undefined);
    const pinned = g.axes.map((axis, i) => [axis.key, values[i] ?? only(axis)]);
    const pin = placesOf(g, Object.fromEntries(pinned));
    if (isWhole(g, pin)) state.pin = pin;
    return state;
  }

  const onMap = (state, axis) => axis.key === state.x || axis.key === state.y;

  // Other rows and columns. What was one becomes a filter: at the level of the open cell, or else
  // at the usual one, or at the one with most cells. An open cell stays open.
  function setAxes(g, state, x, y) {
    const places = placesOf(g, state.at);
    const open = isWhole(g, places) ? valuesOf(g, places) : {};
    Object.assign(state, { x, y });
    for (const axis of g.axes) {
      if (onMap(state, axis)) {
        delete state.at[axis.key];
      } else if (state.at[axis.key] == null) {
        const found = counts(g, state, axis);
        const most = axis.levels.reduce((a, b) => (found[b.value] > found[a.value] ? b : a));
        state.at[axis.key] = axis.usual ? "usual" : most.value;
      }
      if (onMap(state, axis) && axis.key in open) state.at[axis.key] = open[axis.key];
    }
  }

  // ---- A network in words, and what was trained nearest to it ----

  const SYNONYMS = [
    [/\b\d+(\.\d+)?e-?\d+\b/g, (number) => String(Number(number))],
    [/batch[ -]?norm(ali[sz](ation|ed))?/g, "bn"],
    [/w\/o /g, "without "],
    [/\bres-?net[ -]?(?=\d+\b(?![ -]?layer))/g, "residual depth "],
    [/\bres-?nets?|(skip|residual)[ -](connections?|blocks?|net(work)?)|\bskips?\b/g, "residual"],
    [/kaiming/g, "he"],
    [/glorot/g, "xavier"],
    [/rms prop/g, "rmsprop"],
    [/sgd (with )?momentum/g, "momentum"],
    [/\b(lr|eta)\b|η/g, "rate"],
    [/[ -]?layers?( deep)?\b/g, " layers"],
    [/(\d)[ -]deep\b/g, "$1 layers"],
    [/depth (?=\d+ layers)/g, ""],
    // what is denied, one after the other: "without batch norm and residual connections"
    [
      /\b(neither|no|non|not)[ -](any )?(bn|residual)(( or| nor) (bn|residual))*\b|\bwithout (any )?(bn|residual)(( and| or| nor) (bn|residual))*\b/g,
      (denied) => denied.match(/bn|residual/g).map((part) => "no-" + part).join(" "),
    ],
  ];
  const EMPTY = "a an and at init initiali[sz]ation activations? net(work)? of optimi[sz]er the using with";
  const SAYS_NOTHING = new RegExp(`^(${EMPTY.replaceAll(" ", "|")})$`);

  // Words without what makes no difference, a space around each.
  function simple(text) {
    let words = text
      .toLowerCase()
      .replace(/(\d),(?=\d{3}(?!\d))/g, "$1")
      .replace(/[_,;:=+·()]+/g, " ")
      .replace(/\s+/g, " ");
    for (const [other, word] of SYNONYMS) words = words.replace(other, word);
    words = words.split(" ").filter((word) => word && !SAYS_NOTHING.test(word));
    return ` ${words.join(" ")} `;
  }

  // Axes whose levels are numbers that alone say nothing.
  const SIZES = ["batch_size", "width", "weight_decay", "label_noise"];

  function namesOf(axis, { label, value }) {
    if (axis.key === "depth") return [`${value} layers`, `depth ${value}`];
    if (axis.key === "learning_rate") return [value, `rate ${value}`, `learning rate ${value}`];
    if (axis.key === "training" || axis.key === "seeds") return [label];
    if (SIZES.includes(axis.key)) return [label, `${axis.label} ${value}`];
    return value in BLOCKS ? [] : [label, value];
  }

  // What blocks have: batch norm, residual connections.
  const BLOCKS = {
    plain: [false, false],
    batch_norm: [true, false],
    residual: [false, true],
    batch_norm_residual: [true, true],
  };

  // The block that words mean, and the words: of "no batch norm" the plain one.
  function blockIn(words) {
    const parts = ["plain", "bn", "residual", "no-bn", "no-residual"].filter((part) =>
      words.includes(` ${part} `),
    );
    const has = ["bn", "residual"].map((part) => parts.includes(part));
    const value = Object.keys(BLOCKS).find((block) => BLOCKS[block].join() === has.join());
    return { parts, value: parts.length ? value : null };
  }

  // Numbers in words, of axes whose levels are numbers: the grid may have other levels.
  const NUMBERED = {
    depth: /(?: (\d+) layers| depth (\d+)) /,
    learning_rate: /(?: (?:learning )?rate (\d*\.?\d+)| (0?\.\d+)) /,
    width: /(?: (\d+) units| width (\d+)) /,
    batch_size: /(?: (\d+) images a step| batch size (\d+)) /,
  };

  // "tanh, 20 layers, RMSProp" becomes {at: {axis: value}, off: {axis: a number that is no level},
  // rest: words that mean nothing here}.
  function understand(g, text) {
    const names = [];
    for (const axis of g.axes) {
      for (const level of axis.levels) {
        for (const name of namesOf(axis, level)) names.push([simple(name), axis, level]);
      }
    }
    names.sort((a, b) => b[0].length - a[0].length);
    const at = {};
    const off = {};
    let rest = simple(text);
    const block = blockIn(rest);
    if (g.axis("block").places.has(block.value)) {
      at.block = block.value;
      for (const part of block.parts) rest = rest.replaceAll(` ${part} `, " | ");
    }
    for (const [name, axis, level] of names) {
      const denied = [" no", " without"].some((word) => rest.includes(word + name));
      if (!(axis.key in at) && rest.includes(name) && !denied) {
        at[axis.key] = level.value;
        rest = rest.replace(name, " | ");
      }
    }
    for (const [key, pattern] of Object.entries(NUMBERED)) {
      const found = !(key in at) && rest.match(pattern);
      if (!found) continue;
      const number = Number(found.slice(1).find(Boolean));
      const level = g.axis(key).levels.find((one) => Number(one.value) === number);
      if (level) at[key] = level.value;
      else off[key] = number;
      rest = rest.replace(pattern, " | ");
    }
    return {
      at,
      off,
      rest: rest
        .split("|")
        .map((words) => words.trim().replaceAll("no-", "no ").replace(/\bbn\b/g, "batch norm"))
        .filter(Boolean),
    };
  }

  // What a network in words left open, and the levels that stand for it, in words.
  function filledIn(g, at, off, places) {
    return g.axes
      .filter((axis) => axis.levels.length > 1 && !(axis.key in at) && !(axis.key in off))
      .map((axis) => {
        const level = levelLabel(axis, places[axis.key]);
        const usual =
          axis.usual && axis.usual.levels[places[axis.usual.by]] === places[axis.key];
        return `${axis.label} ${level}` + (usual ? ` (${axis.usual.label})` : "");
      });
  }

  // How far two levels of an axis lie apart, from 0 to 1.
  function distance(key, a, b) {
    if (a === b) return 0;
    if (!(key in NUMBERED)) return 1;
    return Math.min(1, 0.2 + Math.abs(Math.log(Number(a) / Number(b))) / Math.log(10));
  }

  // Trained cells by their distance to these places, nearest first: [{cell, differ: [axis]}]. Axes
  // that nobody asked for hardly count, and of cells that differ in these alone there is one. `off`:
  // {axis: number} where what was asked for is no level.
  function nearest(g, places, asked, count, off = {}) {
    const found = [];
    for (let cell = 0; cell < g.size; cell++) {
      let far = 0;
      const differ = [];
      for (const axis of g.axes) {
        const level = off[axis.key] ?? axis.levels[places[axis.key]].value;
        const apart = distance(axis.key, axis.levels[axis.column[cell]].value, level);
        const counted = !asked || asked.includes(axis.key);
        far += apart * (counted ? 1 : 0.01);
        if (apart && counted) differ.push(axis);
      }
      found.push({ cell, differ, far });
    }
    found.sort((a, b) => a.far - b.far || a.cell - b.cell);
    if (!asked) return found.slice(0, count);
    const met = new Map();
    for (const one of found) {
      const as = asked.map((key) => g.axis(key).column[one.cell]).join();
      if (!met.has(as)) met.set(as, one);
      if (met.size === count) break;
    }
    return [...met.values()];
  }

  // The places that a network in words means: what it says, or the level nearest to a number that
  // is none; else what the view shows, else usual.
  function wanted(g, state, at, off = {}) {
    at = { ...at };
    for (const [key, number] of Object.entries(off)) {
      const apart = (level) => distance(key, level.value, number);
      at[key] = g.axis(key).levels.reduce((a, b) => (apart(b) < apart(a) ? b : a)).value;
    }
    const whole = { ...g.data.start, ...state.at, ...at };
    for (const axis of g.axes) {
      if (axis.usual && !(axis.key in at)) whole[axis.key] = "usual";
    }
    for (const axis of g.axes) {
      if (whole[axis.key] == null) whole[axis.key] = axis.levels[0].value;
    }
    const places = placesOf(g, whole);
    for (const axis of g.axes) places[axis.key] ??= 0;
    const [first] = nearest(g, places, Object.keys(at), 1);
    return first.differ.length ? places : placesOfCell(g, first.cell);
  }

  // ---- Words and numbers ----

  const MINUS = "\u2212";
  const superscript = (n) =>
    String(n).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);

  // Three significant digits or fewer, with a power of ten where there would be many zeros.
  function three(value, digits = 3) {
    if (value == null) return "–";
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e5)) {
      const [digits, power] = value.toExponential(1).split("e");
      return (digits + "·10" + superscript(Number(power))).replace("-", MINUS);
    }
    return whole(Number(value.toPrecision(digits))).replace("-", MINUS);
  }
  // A number with all its digits, its thousands apart, as everywhere on the page (numbers.py).
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 6 }).format;
  const percent = (hundredths, digits = 1) =>
    hundredths == null ? "–" : (hundredths / 100).toFixed(digits) + "\u00a0%";
  const points = (hundredths) =>
    (hundredths / 100).toFixed(hundredths < 100 ? 2 : 1) + "\u00a0points";

  function median(values) {
    const sorted = values.filter((value) => value != null).sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    if (!sorted.length) return null;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  const levelLabel = (axis, place) => axis.levels[place].label;

  // Places as people say them, but for axes with one level and those left out.
  function inWords(g, places, ...except) {
    const said = (key) =>
      g.axis(key).levels.length > 1 && !except.includes(key)
        ? levelLabel(g.axis(key), places[key])
        : "";
    const rate = said("learning_rate");
    const optimizer = said("optimizer");
    const seeds = said("seeds");
    return [
      said("init"),
      said("activation"),
      said("depth"),
      said("block"),
      rate && optimizer ? `${optimizer} at ${rate}` : optimizer || (rate && `rate ${rate}`),
      said("batch_size"),
      said("width"),
      said("weight_decay"),
      said("schedule"),
      said("label_noise"),
      said("dataset"),
      said("training"),
      seeds && `seeds ${seeds}`,
    ]
      .filter(Boolean)
      .join(" · ");
  }

  // What a cell's box says: {text, more, state}; state is "", "partly" or "diverged", a pattern.
  function box(g, measure, cell) {
    const { cells } = g.data;
    const [n, diverged] = [cells.n[cell], cells.diverged[cell]];
    const share = `${diverged} of ${n}`;
    if (measure === "diverged") return { text: share, more: "", state: "" };
    if (diverged === n && measure !== "gradient") {
      return { text: "diverged", more: "", state: "diverged" };
    }
    const value = cells[measure][cell];
    const said = { accuracy: (v) => (v / 100).toFixed(1), dead: (v) => v.toFixed(0) }[measure];
    return {
      text: value == null ? "–" : (said || three)(value),
      more: diverged ? `${share} diverged` : "",
      state: diverged ? "partly" : "",
    };
  }

  // What a heat map shows, in a sentence or three.
  function finding(g, state, map) {
    const { cells } = g.data;
    const measure = state.show;
    if (!map.cells.length)
      return "No cell was trained with these filters. Choose levels with cells.";
    const name = (cell) =>
      `${levelLabel(map.y, map.y.column[cell])}, ${levelLabel(map.x, map.x.column[cell])}`;
    const many = (count, what) => `${count} of ${map.cells.length} ${what}`;
    const dead = map.cells.filter((cell) => cells.diverged[cell] === cells.n[cell]);
    const some = map.cells.filter((cell) => cells.diverged[cell] && !dead.includes(cell));
    if (measure === "diverged") {
      if (!dead.length && !some.length)
        return `No run diverged in these ${map.cells.length} cells.`;
      const listed = [...dead, ...some].slice(0, 4).map(name).join("; ");
      const left = dead.length + some.length - 4;
      return (
        many(dead.length, "cells diverged with every seed") +
        `, ${some.length} with some: ` +
        listed +
        (left > 0 ? `; and ${left} more.` : ".")
      );
    }
    const known = map.cells.filter(
      (cell) => cells[measure][cell] != null && (measure === "gradient" || !dead.includes(cell)),
    );
    if (!known.length)
      return map.cells.length > 1
        ? `None of these ${map.cells.length} cells has a number.`
        : "This cell has no number.";
    const by = (score) =>
      known.reduce((a, b) => (score(cells[measure][b]) > score(cells[measure][a]) ? b : a));
    const value = (cell) => cells[measure][cell];
    if (measure === "gradient") {
      const [small, large] = [by((v) => -v), by((v) => v)];
      const even = known.filter((cell) => value(cell) >= 0.1 && value(cell) <= 10).length;
      return (
        `From ${three(value(small))} (${name(small)}) to ${three(value(large))} ` +
        `(${name(large)}). In ${even} of ${known.length} cells first and last layer are within a ` +
        "factor of ten."
      );
    }
    if (measure === "dead") {
      const most = by((v) => v);
      const none = known.filter((cell) => value(cell) < 1).length;
      return (
        `Most: ${name(most)}, ${value(most).toFixed(0)} %. In ${none} of ${known.length} cells ` +
        "fewer than 1 % of the hidden units are dead."
      );
    }
    const best = by(measure === "loss" ? (v) => -v : (v) => v);
    const said = measure === "loss" ? `${three(value(best))} nats` : percent(value(best));
    const sentences = [`Best: ${name(best)}, ${said}.`];
    if (measure === "accuracy") {
      const good = known.filter((cell) => value(cell) >= 9000).length;
      sentences.push(
        many(good, `cells reach 90 %`) +
          (dead.length ? `, ${dead.length} diverged with every seed.` : "."),
      );
    }
    sentences.push(rowThatWins(map, measure, value, known));
    return sentences.filter(Boolean).join(" ");
  }

  // Which row is the best in most columns, if rows can be compared.
  function rowThatWins(map, measure, value, known) {
    const wins = new Map();
    let compared = 0;
    for (const column of map.columns) {
      const cells = map.rows.map((row) => map.at(row, column)).filter((c) => known.includes(c));
      if (cells.length < 2) continue;
      compared++;
      const best = cells.reduce((a, b) =>
        (measure === "loss" ? value(b) < value(a) : value(b) > value(a)) ? b : a,
      );
      const row = map.y.column[best];
      wins.set(row, (wins.get(row) || 0) + 1);
    }
    if (compared < 2) return "";
    const [row, count] = [...wins].reduce((a, b) => (b[1] > a[1] ? b : a));
    return count > compared / 2
      ? `${levelLabel(map.y, row)} is the best row in ${count} of ${compared} columns.`
      : `No row is the best in more than ${count} of ${compared} columns.`;
  }

  // A sub-grid that trains exactly these places, as the text of a config file, and its command.
  // `off`: {axis: number} where what was asked for is no level.
  function recipe(g, places, off = {}) {
    const at = { ...valuesOf(g, places), ...off };
    const [first, last] = at.seeds.split("-").map(Number);
    const cell = Object.keys(off).length ? null : cellAt(g, places);
    const [images, epochs] = at.training.split("x");
    const own = g.data.datasets[at.dataset]; // as the config declares it
    const lines = [
      "preset: my-cell",
      `seeds: ${cell == null ? last - first + 1 : g.data.cells.n[cell]}`,
      `first_seed: ${first}`,
      `batch_size: ${at.batch_size}`,
      `width: ${at.width}`,
      ...(own ? [`datasets: ${JSON.stringify({ [at.dataset]: own })}`] : []),
      "grid:",
      "  my-cell:",
      `    dataset: [${at.dataset}]`,
      `    images: ${images}`,
      `    epochs: ${epochs}`,
      ...["depth", "block", "activation", "init", "optimizer", "learning_rate"].map(
        (axis) => `    ${axis}: [${at[axis]}]`,
      ),
      ...Object.entries({ weight_decay: "own", schedule: "constant", label_noise: "0" })
        .filter(([axis, before]) => at[axis] !== before)
        .map(([axis]) => `    ${axis}: [${at[axis]}]`),
    ];
    const file = "config/my-cell.yaml";
    const tables = ["runs", "curves", "layers"].map((name) => `results/my-cell/tables/${name}.csv`);
    return {
      file,
      yaml: lines.join("\n") + "\n",
      command: `snakemake ${tables.join(" ")} --cores all --configfile ${file}`,
    };
  }

  // ---- Colour: bright is good, as in the figures ----

  const VIRIDIS = [
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
  ];
  const byError = (accuracy) => -Math.log10(100.1 - accuracy);
  const ticksFrom = (low) => [
    low,
    ...[5000, 8000, 9000, 9500, 9800, 9900].filter((tick) => tick > low + 1500),
  ];
  // By measure; accuracies, in hundredths of %, from a guess on. chance: in %, by data set.
  const scales = (chance) => ({
    accuracy: {
      stops: VIRIDIS,
      place: (v) => byError(v / 100),
      low: 100 * Math.min(...chance),
      high: 9900,
      ticks: ticksFrom(100 * Math.min(...chance)),
      said: (v) => String(Math.round(v / 100)),
    },
    diverged: {
      stops: ["#dfe8ea", "#e6b59c", "#b8442a"],
      place: (v) => v,
      low: 0,
      high: 1,
      ticks: [0, 0.5, 1],
      said: (v) => ["none", "half", "all"][2 * v],
    },
    loss: {
      stops: VIRIDIS,
      place: (v) => -Math.log10(v),
      low: 10,
      high: 0.05,
      ticks: [10, 3, 1, 0.3, 0.1, 0.05],
      said: String,
    },
    gradient: {
      stops: ["#1b4f8a", "#7fa6cf", "#ecebe6", "#dd9873", "#a13d2d"],
      place: Math.log10,
      low: 1e-4,
      high: 1e4,
      ticks: [1e-4, 1e-2, 1, 1e2, 1e4],
      said: (v) => (v === 1 ? "1" : "10" + superscript(Math.round(Math.log10(v)))),
    },
    dead: {
      stops: [...VIRIDIS].reverse(),
      place: (v) => v,
      low: 0,
      high: 100,
      ticks: [0, 25, 50, 75, 100],
      said: String,
    },
  });

  function share(scale, value) {
    const [low, high] = [scale.place(scale.low), scale.place(scale.high)];
    return Math.min(1, Math.max(0, (scale.place(value) - low) / (high - low)));
  }

  // The colour of a value on a scale as [red, green, blue], and black or white, whichever reads
  // better on it.
  function colour(scale, value) {
    const along = share(scale, value) * (scale.stops.length - 1);
    const i = Math.min(Math.floor(along), scale.stops.length - 2);
    const [a, b] = [scale.stops[i], scale.stops[i + 1]].map((hex) =>
      [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16)),
    );
    return a.map((from, k) => Math.round(from + (along - i) * (b[k] - from)));
  }
  function luminance(rgb) {
    const [r, g, b] = rgb.map((channel) => {
      const c = channel / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  const ink = (rgb) => (luminance(rgb) > 0.179 ? "#000000" : "#ffffff");

  return {
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
    luminance,
    ink,
  };
})();
