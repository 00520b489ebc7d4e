// Search, filters, links that open what they point at, and the guessing game. The page says
// everything without it. The state of both search and game is the link: #find?..., #predict?...
(function () {
  "use strict";

  // ---- Words, links, decks: nothing here needs a page --------------------------------------------

  // The words of a text: letters and digits; x² is x2, 97.82 is one word, 10,000 is 10000, and
  // initialization is spelt as the page spells it.
  function tokens(text) {
    const plain = text
      .normalize("NFKC")
      .toLowerCase()
      .replace(/(\d),(?=\d{3}(?!\d))/g, "$1")
      .replace(/ization/g, "isation");
    return plain.match(/\d+(?:\.\d+)+|[\p{L}\p{M}\p{N}]+/gu) || [];
  }

  // What search knows of a claim: the words of what is claimed, of what was found, and all others.
  function entry(id, claimed, found, rest) {
    return { id: id.toLowerCase(), texts: [id + " " + claimed, found, rest].map((text) => new Set(tokens(text))) };
  }

  // How well an entry has a word: its id, a whole word, the beginning of one, in the first, second or
  // third of its texts; 0 for not at all. A word of one or two letters is no beginning.
  function strength(one, word) {
    if (one.id === word) return 7;
    const whole = one.texts.findIndex((text) => text.has(word));
    if (whole >= 0) return 6 - whole;
    if (word.length < 3) return 0;
    const begun = one.texts.findIndex((text) => Array.from(text).some((other) => other.startsWith(word)));
    return begun >= 0 ? 3 - begun : 0;
  }

  // The entries that have every word of a query, or if none has, as many of them as any: their
  // places, best first. The weakest word decides, then all of them, then the entries' own order.
  // `have` of the query's `words` are in each.
  function rank(entries, query) {
    const words = tokens(query);
    const scored = entries.map((one, place) => {
      const each = words.map((word) => strength(one, word)).filter(Boolean);
      const sum = each.reduce((a, b) => a + b, 0);
      return { place, have: each.length, weakest: Math.min(Infinity, ...each), sum };
    });
    const have = Math.max(0, ...scored.map((one) => one.have));
    const found = have || !words.length ? scored.filter((one) => one.have === have) : [];
    found.sort((a, b) => b.weakest - a.weakest || b.sum - a.sum || a.place - b.place);
    return { places: found.map((one) => one.place), have, words: words.length };
  }

  // A link's state: #find?q=he&verdict=undecided is {name: "find", values: {q: "he", ...}}.
  function parse(hash) {
    const [name, query] = hash.replace(/^#/, "").split("?", 2);
    return { name, values: Object.fromEntries(new URLSearchParams(query || "")) };
  }

  function link(name, values) {
    const given = Object.entries(values).filter((pair) => pair[1] !== "");
    const query = new URLSearchParams(given).toString().replaceAll("%2C", ",");
    return "#" + name + (query ? "?" + query : "");
  }

  // Whether a claim passes the filters; verdict is a list, whoever names none means all.
  function passes(claim, values) {
    return (
      (!values.verdict || values.verdict.split(",").includes(claim.verdict)) &&
      (!values.section || claim.section === values.section) &&
      (!values.kind || claim.kind === values.kind) &&
      (!values.data || claim.data.includes(values.data)) &&
      (!values.fragile || claim.fragile)
    );
  }

  // The same numbers from 0 to 1 for the same seed (mulberry32, T. Ettinger 2017).
  function random(seed) {
    let state = seed >>> 0;
    return function () {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  // Ten claims that a number deals: the same to everybody who has the same page.
  const GUESSED = ["reproduced", "reproduced-under-conditions", "not-reproduced"];
  const DEALT = 10;

  function deal(index, values) {
    const fit = (id) => index[id] && !index[id].own && GUESSED.includes(index[id].verdict);
    if (values.cards) {
      return Array.from(new Set(values.cards.toUpperCase().split(","))).filter(fit);
    }
    const ids = Object.keys(index).filter(fit).sort();
    const next = random(Number(values.deck) || 0);
    for (let last = ids.length - 1; last > 0; last--) {
      const other = Math.floor(next() * (last + 1));
      [ids[last], ids[other]] = [ids[other], ids[last]];
    }
    return ids.slice(0, DEALT);
  }

  function score(index, deck, guesses) {
    const right = deck.filter((id, place) => index[id].verdict === guesses[place]).length;
    const trusting = deck.filter((id) => index[id].verdict === "reproduced").length;
    return { right, trusting, of: deck.length };
  }

  if (typeof module !== "undefined") {
    module.exports = { tokens, entry, strength, rank, parse, link, passes, deal, score };
    return;
  }

  // ---- The page ----------------------------------------------------------------------------------

  const $ = (id) => document.getElementById(id);
  const index = JSON.parse($("index").textContent);
  const ids = Object.keys(index);
  const form = $("filter");

  // An element that is shown elsewhere for a while leaves a mark where it belongs.
  const away = new Map();

  function lend(element, to) {
    if (!away.has(element)) {
      const mark = document.createComment("");
      element.before(mark);
      away.set(element, mark);
    }
    to.append(element);
  }

  function giveBack() {
    for (const [element, mark] of away) mark.replaceWith(element);
    away.clear();
  }

  // A link that leads nowhere else: the page's state changes, its history does not.
  function settle(hash) {
    try {
      history.replaceState(null, "", hash || location.pathname + location.search);
    } catch (error) {
      // Some servers lock a page in; then its link stays as it is.
    }
  }

  // ---- Search and filters ------------------------------------------------------------------------

  let entries = null;

  function searched() {
    if (!entries) {
      entries = ids.map((id) => {
        const one = index[id];
        // the body of a card that was never opened is still markup (cards.js)
        return entry(id, one.says, one.headline, $(id).textContent.replace(/<[^>]*>/g, " "));
      });
    }
    return entries;
  }

  function asked() {
    const boxes = Array.from(form.querySelectorAll("[name=verdict]"));
    const checked = boxes.filter((box) => box.checked);
    const value = (name) => (form.elements[name] ? form.elements[name].value : "");
    return {
      q: value("q").trim(),
      section: value("section"),
      kind: value("kind"),
      data: value("data"),
      verdict: checked.length < boxes.length ? checked.map((box) => box.value).join(",") || "none" : "",
      fragile: form.elements.fragile.checked ? "1" : "",
    };
  }

  function ask(values) {
    for (const name of ["q", "section", "kind", "data"]) {
      if (form.elements[name]) form.elements[name].value = values[name] || "";
    }
    const verdicts = values.verdict ? values.verdict.split(",") : null;
    for (const box of form.querySelectorAll("[name=verdict]")) {
      box.checked = !verdicts || verdicts.includes(box.value);
    }
    form.elements.fragile.checked = Boolean(values.fragile);
    if (Object.entries(values).some(([name, value]) => name !== "q" && value)) {
      $("filters").open = true;
    }
  }

  function find(values) {
    giveBack();
    const active = Object.values(values).some(Boolean);
    document.body.classList.toggle("finding", active);
    $("found").hidden = $("clear").hidden = !active;
    if (!active) {
      $("matches").textContent = "";
      return;
    }
    const ranked = rank(searched(), values.q || "");
    const found = ranked.places.map((place) => ids[place]).filter((id) => passes(index[id], values));
    for (const id of found) lend($(id), $("found-claims"));
    const part = ranked.have < ranked.words ? ", with " + ranked.have + " of these " + ranked.words + " words" : "";
    $("matches").textContent = found.length
      ? found.length + " of " + ids.length + " claims" + part + (values.q ? ", best match first" : "")
      : "Nothing matches. A word matches whole words and, from three letters on, their beginnings.";
    $("found-title").textContent = found.length ? "Found" : "Nothing matches";
    $("found-elsewhere").hidden = !values.q && found.length > 0;
  }

  function search() {
    const values = asked();
    settle(Object.values(values).some(Boolean) ? link("find", values) : "");
    find(values);
  }

  // ---- The guessing game -------------------------------------------------------------------------

  let game = null;

  // What would give a verdict away: everything but the title and the game.
  function rest() {
    const main = Array.from(document.querySelectorAll(".page > *:not(.answer):not(#predict):not(script)"));
    const first = Array.from(document.querySelectorAll(".answer > *:not(h1):not(.eyebrow)"));
    return [document.querySelector(".skip"), ...first, ...main];
  }

  function play(values) {
    if (!values.deck && !values.cards) {
      values = { deck: String(1 + Math.floor(Math.random() * 9999)) };
      settle(link("predict", values));
    }
    const hash = link("predict", values);
    if (!game || game.hash !== hash) game = { hash, deck: deal(index, values), guesses: [], told: false };
    for (const element of rest()) element.hidden = true;
    $("predict").hidden = false;
    turn();
  }

  function leave() {
    if ($("predict").hidden) return;
    giveBack();
    for (const element of rest()) element.hidden = false;
    $("predict").hidden = true;
    if (!location.hash) $("start").querySelector("a").focus();
  }

  // The next claim to guess, the answer to the last guess, or the score.
  function turn() {
    giveBack();
    const { deck, guesses, told } = game;
    const over = guesses.length === deck.length && !told;
    $("predict-ask").hidden = over || told;
    $("predict-tell").hidden = !told;
    $("predict-end").hidden = !over;
    if (told) tell(deck[guesses.length - 1], guesses[guesses.length - 1]);
    else if (over) end();
    else {
      const id = deck[guesses.length];
      $("predict-status").textContent = "Claim " + (guesses.length + 1) + " of " + deck.length;
      $("predict-says").textContent = index[id].says;
      $("predict-section").textContent = form.querySelector(
        "option[value=" + index[id].section + "]",
      ).textContent;
    }
    $("predict-title").focus();
    $("predict").scrollIntoView();
  }

  const words = (slug) => slug.replaceAll("-", " ");

  function tell(id, guess) {
    const verdict = index[id].verdict;
    $("predict-status").textContent =
      (verdict === guess ? "Right: " : "You guessed " + words(guess) + ". It is: ") +
      words(verdict) + ". " + index[id].headline;
    const card = $(id);
    lend(card, $("predict-card"));
    if (card.tagName === "DETAILS") card.open = true;
    $("predict-next").textContent =
      game.guesses.length === game.deck.length ? "Your score" : "Next claim";
  }

  function end() {
    const { right, trusting, of } = score(index, game.deck, game.guesses);
    $("predict-status").textContent = of
      ? "You foresaw " + right + " of " + of + ". Believing the chapter every time: " + trusting + "."
      : "None of these claims has a verdict in this report.";
    const list = $("predict-list");
    list.replaceChildren();
    game.deck.forEach((id, place) => {
      const item = document.createElement("li");
      const anchor = document.createElement("a");
      anchor.href = "#" + id;
      anchor.textContent = index[id].headline;
      const said = words(index[id].verdict) + "; you guessed " + words(game.guesses[place]);
      item.append(anchor, " (" + said + ")");
      list.append(item);
    });
    $("predict-deck").href = game.hash;
  }

  function guess(verdict) {
    game.guesses.push(verdict);
    game.told = true;
    turn();
  }

  // ---- Where a link leads ------------------------------------------------------------------------

  // A link to #C058 shows the card opened, and whatever else folds around its target.
  function show(id) {
    let target = null;
    try {
      target = id && $(decodeURIComponent(id));
    } catch (error) {
      return;
    }
    if (!target) return;
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    target.scrollIntoView();
  }

  // Links that begin with #explore are the explorer's, wherever they come from.
  function follow() {
    const { name, values } = parse(location.hash);
    if (name === "predict") {
      ask({});
      find({});
      play(values);
      return;
    }
    leave();
    const wanted = name === "find" ? values : {};
    ask(wanted);
    find(wanted);
    if (name !== "find" && !name.startsWith("explore")) show(name);
  }

  // ---- Paper -------------------------------------------------------------------------------------

  // Cards are printed as they stand, rows that are closed as rows; who wants all of them says so.
  let unfolded = [];
  window.addEventListener("beforeprint", () => {
    if (!$("print-all").checked) return;
    unfolded = Array.from(document.querySelectorAll("details:not([open]):not(.all)"));
    for (const details of unfolded) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false;
    unfolded = [];
  });

  // ---- Drawings ----------------------------------------------------------------------------------

  // One that is not laid out yet (style.css) keeps the place that it will take, so that a link leads
  // where it should. All are read before the first is written to.
  const WIDTH = 33 * parseFloat(getComputedStyle(document.documentElement).fontSize); // at least
  const heights = Array.from(document.querySelectorAll(".drawing"), (drawing) => {
    const [, , width, height] = drawing.querySelector("svg").getAttribute("viewBox").split(" ");
    const wide = Math.max(WIDTH, drawing.getBoundingClientRect().width);
    return [drawing, (wide * height) / width];
  });
  for (const [drawing, height] of heights) {
    drawing.style.containIntrinsicHeight = "auto " + height + "px";
  }

  // ---- Start -------------------------------------------------------------------------------------

  form.hidden = false;
  $("start").hidden = deal(index, {}).length === 0;
  form.addEventListener("input", (event) => {
    if (event.target.name) search();
  });
  form.addEventListener("focusin", searched); // so that the first letter need not wait
  form.addEventListener("reset", () => setTimeout(search));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".guesses button")) {
    button.addEventListener("click", () => guess(button.value));
  }
  $("predict-next").addEventListener("click", () => {
    game.told = false;
    turn();
  });
  $("predict-again").addEventListener("click", () => {
    game = null;
    play({});
  });
  const back = () => (location.hash = "");
  $("predict-leave").addEventListener("click", back);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !$("predict").hidden) back();
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
