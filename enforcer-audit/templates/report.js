"use strict";
// Sorting and filtering. Without scripts the page is whole, and this is all that it lacks.
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.textContent.trim().toLowerCase();
  };
  const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        // Figures are asked for from the largest.
        const first = header.classList.contains("figure") ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const order = header.getAttribute("aria-sort") === first ? second : first;
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
        rows.sort((one, other) => sign * compare(one[0], other[0]));
        table.tBodies[0].append(...rows.map((pair) => pair[1]));
      });
    });
  }

  const clear = [];
  for (const controls of document.querySelectorAll(".controls")) {
    const rows = [...document.getElementById(controls.dataset.for).tBodies[0].rows];
    const words = rows.map((row) => row.textContent.toLowerCase());
    const search = controls.querySelector("input[type=search]");
    const boxes = [...controls.querySelectorAll("input[type=checkbox]")];
    const output = controls.querySelector("output");
    const filter = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      let shown = 0;
      rows.forEach((row, index) => {
        const verdict = boxes.length === 0 || verdicts.has(row.dataset.verdict);
        row.hidden = !(verdict && wanted.every((word) => words[index].includes(word)));
        shown += row.hidden ? 0 : 1;
      });
      output.textContent = `${shown} of ${rows.length} rows`;
    };
    controls.addEventListener("input", filter);
    controls.hidden = false;
    filter();
    clear.push(() => {
      search.value = "";
      boxes.forEach((box) => { box.checked = true; });
      filter();
    });
  }

  // A link leads to a row that a filter hides: the filters go.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target === null) return;
    if (target.hidden) {
      clear.forEach((one) => one());
      target.scrollIntoView();
    }
    if (target.tabIndex === -1 && target.hasAttribute("tabindex")) target.focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
