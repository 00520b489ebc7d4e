// Search, filters, and links that open what they point at. The page says everything without it.
(function () {
  "use strict";
  const form = document.getElementById("filter");
  const search = document.getElementById("search");
  const where = document.getElementById("where");
  const boxes = Array.from(form.querySelectorAll("input[type=checkbox]"));
  const claims = Array.from(document.querySelectorAll(".claim")).map((element) => ({
    element,
    section: element.closest("section").id,
    verdict: element.dataset.verdict,
    text: (element.id + " " + element.textContent).toLowerCase().replace(/\s+/g, " "),
  }));
  const rolls = Array.from(document.querySelectorAll(".roll"));

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const active = words.length > 0 || where.value !== "" || verdicts.size < boxes.length;
    let count = 0;
    for (const claim of claims) {
      const match =
        verdicts.has(claim.verdict) &&
        (where.value === "" || claim.section === where.value) &&
        words.every((word) => claim.text.includes(word));
      claim.element.hidden = !match;
      count += match;
    }
    document.body.classList.toggle("filtering", active);
    for (const section of document.querySelectorAll(".part:not(.back)")) {
      section.classList.toggle("empty", active && !section.querySelector(".claim:not([hidden])"));
    }
    for (const roll of rolls) {
      const left = roll.querySelector(".claim:not([hidden])");
      roll.classList.toggle("empty", active && !left);
      if (active && left) roll.open = true;
    }
    document.getElementById("matches").textContent = active
      ? count + " of " + claims.length + " claims"
      : "";
  }

  // A link to #C058 shows the card with its details open, even if a filter hides it.
  function open() {
    let target = null;
    try {
      target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch (error) {
      return;
    }
    if (!target) return;
    if (target.classList.contains("claim") && target.hidden) {
      form.reset();
      apply();
    }
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    for (const details of target.querySelectorAll(".how, .many")) details.open = true;
    target.scrollIntoView();
  }

  // Paper has no triangles to click; only the longest lists stay folded.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = Array.from(document.querySelectorAll("details:not([open], .all)"));
    for (const details of closed) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", open);
  apply();
  open();
})();
