// What a card shows when it is opened: its body, the map of its conditions, and the margin, which the
// reader may move. The card says what was found without it.
(function () {
  "use strict";

  // ---- The verdict's arithmetic, as in evidence/rules.py: nothing here needs a page --------------

  // States of a condition, as maps.STATES; the last does not count.
  const STATES = ["holds", "fails", "behind", "undecided", "dropped"];
  const [HOLDS, FAILS, BEHIND, UNDECIDED, DROPPED] = STATES.keys();
  const REPRODUCED = "reproduced";
  const UNDER_CONDITIONS = "reproduced under conditions";
  const NOT_REPRODUCED = "not reproduced";
  const OPEN = "undecided";

  // The values that count as reproduced, [low, high], ends excluded; as plots.Axis.zone.
  function zone(rule, margin, number) {
    if (rule === "value" || rule === "scaling" || rule === "equivalence") {
      return [number - margin, number + margin];
    }
    if (rule === "ordering" || rule === "sometimes") return [margin, Infinity];
    if (rule === "trend") return [0, Infinity];
    if (rule === "noninferiority") return [-margin, Infinity];
    return rule === "existence" ? [0.5, Infinity] : null;
  }

  // What an interval says: it lies within the zone, outside of it, or on both sides of an end.
  function decide(rule, low, high, margin, number) {
    if (rule === "value" || rule === "scaling" || rule === "equivalence") {
      const [from, to] = [low - number, high - number];
      if (-margin < from && to < margin) return HOLDS;
      return from > margin || to < -margin ? FAILS : UNDECIDED;
    }
    const limit = rule === "noninferiority" ? -margin : margin;
    if (low > limit) return HOLDS;
    if (!(high < limit)) return UNDECIDED;
    return rule === "ordering" && high < -margin ? BEHIND : FAILS;
  }

  const need = (conditions) => (conditions < 5 ? 1 : Math.max(2, Math.ceil(conditions / 10)));

  // How the conditions of a part fall out, and what they combine to (rules.combine_conditions).
  function combineConditions(states) {
    const left = states.filter((state) => state !== DROPPED);
    const hold = left.filter((state) => state === HOLDS).length;
    const fail = left.filter((state) => state === FAILS || state === BEHIND).length;
    const total = left.length;
    const enough = need(total);
    let verdict = OPEN;
    if (total > 0) {
      if (hold >= enough && fail >= enough) verdict = UNDER_CONDITIONS;
      else if (3 * hold >= 2 * total) verdict = REPRODUCED;
      else if (3 * fail >= 2 * total) verdict = NOT_REPRODUCED;
    }
    return { verdict, total, hold, fail, undecided: total - hold - fail };
  }

  // From the verdicts of a claim's parts to its own (rules.combine_parts).
  function combineParts(verdicts) {
    const count = (verdict) => verdicts.filter((one) => one === verdict).length;
    const [holding, mixed, refuted] = [REPRODUCED, UNDER_CONDITIONS, NOT_REPRODUCED].map(count);
    if (verdicts.length > 0 && holding === verdicts.length) return REPRODUCED;
    const enough = need(verdicts.length);
    if (holding + mixed >= enough) return mixed || refuted ? UNDER_CONDITIONS : OPEN;
    return refuted >= enough ? NOT_REPRODUCED : OPEN;
  }

  // A condition's state at a margin. Without an interval nothing moves; an end that is missing lies
  // beyond all numbers.
  function stateAt(rule, part, row, margin) {
    const [, state, , low, high] = row;
    if (state === DROPPED || (low === null && high === null)) return state;
    const ends = [low === null ? -Infinity : low, high === null ? Infinity : high];
    return decide(rule, ...ends, margin, part.number || 0);
  }

  // A claim with all its margins multiplied by `factor`: {verdict, parts: [{margin, states, ...}]}.
  function judge(claim, factor) {
    const parts = claim.parts.map((part) => {
      const margin = (part.margin || 0) * factor;
      const states = part.rows.map((row) => stateAt(claim.rule, part, row, margin));
      return { margin, states, ...combineConditions(states) };
    });
    return { parts, verdict: combineParts(parts.map((part) => part.verdict)) };
  }

  // A number to so many significant digits, as the page writes numbers.
  function significant(value, digits) {
    const [mantissa, exponent] = Number(value.toPrecision(digits)).toString().split("e");
    const apart = Number(mantissa).toLocaleString("en", { maximumFractionDigits: 20 });
    return (apart + (exponent ? "·10^" + exponent : "")).replaceAll("-", "−");
  }

  if (typeof module !== "undefined") {
    module.exports = { STATES, zone, decide, need, combineConditions, combineParts, judge, significant };
    return;
  }

  // ---- Elements ----------------------------------------------------------------------------------

  const WORDS = ["holds", "does not hold", "the opposite holds", "undecided", "neither of the two trains"];
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function shape(name, attributes, ...children) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function icon(name) {
    const size = { class: "icon c-" + name, width: "1em", height: "1em", "aria-hidden": "true" };
    return shape("svg", size, shape("use", { href: "#i-" + name }));
  }

  const hidden = (text) => element("span", { class: "vh" }, text);
  const slug = (verdict) => verdict.replaceAll(" ", "-");

  // ---- Numbers at another margin -----------------------------------------------------------------

  const WIDTH = 240; // of a plot, in its own units, as in plots.py
  const PAD = 10;

  function place(axis, value) {
    if (!Number.isFinite(value)) return value > 0 ? WIDTH : 0;
    const share = Math.min(Math.max((value - axis[0]) / (axis[1] - axis[0]), 0), 1);
    return Math.round(10 * (PAD + share * (WIDTH - 2 * PAD))) / 10;
  }

  function moveZone(row, claim, part, margin) {
    const drawn = row.querySelector(".zone");
    if (!drawn) return;
    const axis = row.closest("table").dataset.axis.split(" ").map(Number);
    const [from, to] = zone(claim.rule, margin, part.number || 0).map((end) => place(axis, end));
    drawn.setAttribute("x", from);
    drawn.setAttribute("width", Math.max(Math.round(10 * (to - from)) / 10, 1));
  }

  // Zones and verdicts beside the numbers of a card whose margins were moved.
  function moveNumbers(card, claim, judged) {
    for (const row of card.querySelectorAll("tr[data-at]")) {
      const [part, number] = row.dataset.at.split(".").map(Number);
      const found = judged.parts[part];
      moveZone(row, claim, claim.parts[part], found.margin);
      const cell = row.querySelector(".verdict");
      if (!cell) continue;
      const verdict = number === undefined ? found.verdict : verdictOf(found.states[number]);
      const shown = verdict === WORDS[DROPPED] ? "dropped" : slug(verdict);
      cell.replaceChildren(icon(shown), short(verdict));
    }
  }

  const short = (verdict) => verdict.replace("reproduced under", "under");

  function verdictOf(state) {
    return [REPRODUCED, NOT_REPRODUCED, NOT_REPRODUCED, OPEN, WORDS[DROPPED]][state];
  }

  // ---- Maps of conditions ------------------------------------------------------------------------

  // A bar of conditions by state, as long as they are many.
  function bar(states, most) {
    const rects = [];
    let start = 0;
    STATES.forEach((name, state) => {
      const width = (100 * states.filter((one) => one === state).length) / most;
      if (!width) return;
      const at = { x: start + "%", width: width + "%", height: "100%" };
      rects.push(shape("rect", { class: "f-" + name, ...at }));
      start += width;
    });
    return shape("svg", { class: "bar thin", "aria-hidden": "true" }, ...rects);
  }

  // Conditions along the axes that decide most; the bars share one scale.
  function topMap(part, states) {
    const [down, across] = part.top.length > 1 ? part.top : [part.top[0], null];
    const columns = across === null ? ["conditions"] : part.axes[across][1];
    const cells = part.axes[down][1].map(() => columns.map(() => []));
    part.rows.forEach((row, i) => {
      cells[row[0][down]][across === null ? 0 : row[0][across]].push(states[i]);
    });
    const most = Math.max(...cells.flat().map((own) => own.length));
    const first = element("tr", {}, element("th", { scope: "col" }, part.axes[down][0]));
    for (const [i, name] of columns.entries()) {
      const lead = across !== null && i === 0 ? part.axes[across][0] + " " : "";
      first.append(element("th", { scope: "col" }, lead + name));
    }
    const body = element("tbody");
    part.axes[down][1].forEach((name, i) => {
      const line = element("tr", {}, element("th", { scope: "row" }, name));
      for (const own of cells[i]) line.append(count(own, most));
      body.append(line);
    });
    return element("table", { class: "top" }, element("thead", {}, first), body);
  }

  function count(states, most) {
    if (!states.length) return element("td", { class: "none" }, "·", hidden("none"));
    const left = states.filter((state) => state !== DROPPED);
    const hold = left.filter((state) => state === HOLDS).length;
    const said = left.length ? hold + " of " + left.length : WORDS[DROPPED];
    return element("td", {}, bar(states, most), said, hidden(left.length ? " hold" : ""));
  }

  // Every condition: one axis as columns, the others as heads of the rows.
  function wholeMap(part, states) {
    const down = part.axes.map((_, axis) => axis).filter((axis) => axis !== part.across);
    const [name, columns] = part.axes[part.across];
    const rows = new Map();
    part.rows.forEach((row, i) => {
      const key = down.map((axis) => row[0][axis]);
      const id = key.join(" ");
      if (!rows.has(id)) rows.set(id, { key, cells: columns.map(() => null) });
      rows.get(id).cells[row[0][part.across]] = i;
    });
    const group = element("tr");
    for (const axis of down) {
      group.append(element("th", { scope: "col", rowspan: "2" }, part.axes[axis][0]));
    }
    group.append(element("th", { scope: "colgroup", class: "group", colspan: columns.length }, name));
    const heads = columns.map((column) => element("th", { scope: "col" }, column));
    const body = element("tbody");
    const sorted = Array.from(rows.values()).sort((a, b) => {
      const i = a.key.findIndex((level, at) => level !== b.key[at]);
      return i < 0 ? 0 : a.key[i] - b.key[i];
    });
    for (const { key, cells } of sorted) {
      const line = element("tr");
      key.forEach((level, i) => {
        line.append(element("th", { scope: "row" }, part.axes[down[i]][1][level]));
      });
      line.append(...cells.map((i) => conditionCell(part, states, i)));
      body.append(line);
    }
    const head = element("thead", {}, group, element("tr", {}, ...heads));
    return element("table", { class: "map" }, head, body);
  }

  function conditionCell(part, states, i) {
    if (i === null) return element("td", { class: "none" }, "·", hidden("not in the grid"));
    const name = STATES[states[i]];
    const said = hidden(" " + WORDS[states[i]]);
    return element("td", { class: "t-" + name }, icon(name), part.rows[i][2], said);
  }

  function key(states) {
    const line = element("p", { class: "key-line" });
    STATES.forEach((name, state) => {
      if (!states.includes(state)) return;
      const sample = bar([state], 1); // as the map draws it; the icon, as the list of all does
      sample.setAttribute("class", "bar sample");
      line.append(element("span", { class: "state" }, sample, icon(name), WORDS[state]), " ");
    });
    return line;
  }

  function scrolling(name) {
    return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": name });
  }

  // The maps of a part, below its counts; all conditions are put there when they are asked for.
  function addMap(text, part) {
    const top = scrolling("Conditions that hold, scrolls sideways");
    const all = element("details", { class: "all" });
    const summary = element("summary", {}, "All " + part.rows.length + " conditions");
    const whole = scrolling("All conditions, scrolls sideways");
    const legend = element("div");
    all.append(summary, whole);
    text.after(top, legend, all);
    let states = [];
    const fill = () => {
      if (all.open) whole.replaceChildren(wholeMap(part, states));
    };
    all.addEventListener("toggle", fill);
    return (now) => {
      states = now;
      top.replaceChildren(topMap(part, states));
      legend.replaceChildren(key(states));
      fill();
    };
  }

  // ---- The margin --------------------------------------------------------------------------------

  const STEPS = 20; // to a tenth of the margin and to ten times as much, in steps of an eighth

  function margins(claim, judged, digits) {
    const own = claim.parts.map((part, i) => [judged.parts[i].margin, part.unit]);
    const texts = own.map(([margin, unit]) => (significant(margin, digits) + " " + unit).trim());
    return Array.from(new Set(texts));
  }

  function outcome(claim, judged, moved) {
    const several = judged.parts.filter((part) => part.total > 1);
    const texts = several.map((part, i) => {
      const name = several.length > 1 ? claim.parts[judged.parts.indexOf(part)].name + ": " : "";
      return name + part.hold + " of " + part.total + " hold, " + part.fail + " do not";
    });
    const tally = texts.length ? texts.join("; ") + ". " : "";
    const would = moved ? "The verdict would be: " : "The verdict: ";
    return tally + would + judged.verdict + ".";
  }

  function addMargin(card, claim, draw) {
    const id = card.id + "-margin";
    const marks = element("datalist", { id: id + "-marks" }, element("option", { value: "0" }));
    const range = { type: "range", id, min: -STEPS, max: STEPS, step: 1, list: id + "-marks" };
    const slider = element("input", range);
    slider.value = 0;
    const said = element("output", { for: id });
    const reset = element("button", { type: "button" }, "Back to the margin of the rule");
    const label = element("label", { for: id }, "Move the margin");
    const box = element("div", { class: "margin" }, label, slider, marks, said, reset);

    function move() {
      const step = Number(slider.value);
      const judged = judge(claim, 10 ** (step / STEPS));
      const now = margins(claim, judged, step ? 2 : 6);
      const listed = now.length > 3
        ? significant(10 ** (step / STEPS), 2) + " times the rule’s margins"
        : now.join(", ");
      const text = listed + (step ? "" : ", as the rule says");
      slider.setAttribute("aria-valuetext", text);
      reset.disabled = step === 0;
      const badge = icon(slug(judged.verdict));
      said.replaceChildren(text + ". ", badge, outcome(claim, judged, step !== 0));
      draw(judged);
    }

    slider.addEventListener("input", move);
    reset.addEventListener("click", () => {
      slider.value = 0;
      move();
      slider.focus();
    });
    card.querySelector("dl.how").before(box);
    move();
  }

  // ---- Opening a card ----------------------------------------------------------------------------

  const source = document.getElementById("conditions-data");
  const folded = new Map(); // the bodies of open cards, as text, by their card
  let claims = null; // of conditions-data, kept while a card is open

  // Where scripts run, the parser has left the body of a card as text.
  function unfold(card) {
    const text = card.querySelector("noscript");
    const body = document.createElement("template");
    body.innerHTML = text.textContent;
    text.replaceWith(body.content);
    folded.set(card, text);
  }

  // A closed card is what it was before it was opened, so that a long visit costs no more than a
  // short one.
  function fold(card) {
    if (!folded.has(card)) return;
    card.replaceChildren(card.querySelector("summary"), folded.get(card));
    folded.delete(card);
    if (!folded.size) claims = null;
  }

  function build(card) {
    if (folded.has(card)) return;
    unfold(card);
    claims = claims || JSON.parse(source.textContent);
    const claim = claims[card.id];
    if (!claim) return;
    const maps = Array.from(card.querySelectorAll(".counted"), (text) => {
      const part = Number(text.dataset.part);
      const draw = addMap(text, claim.parts[part]);
      draw(claim.parts[part].rows.map((row) => row[1]));
      return (judged) => draw(judged.parts[part].states);
    });
    if (!claim.moves) return;
    addMargin(card, claim, (judged) => {
      moveNumbers(card, claim, judged);
      for (const move of maps) move(judged);
    });
  }

  // `toggle` does not bubble, but it can be caught on its way down.
  document.addEventListener(
    "toggle",
    (event) => {
      if (!event.target.matches("details.card")) return;
      if (event.target.open) build(event.target);
      else fold(event.target);
    },
    true,
  );
  const buildOpen = () => document.querySelectorAll("details.card[open]").forEach(build);
  window.addEventListener("beforeprint", buildOpen);
  buildOpen();
})();
