"use strict";
// Sorting by click or keyboard, values beside the marks of a plot, and everything unfolded in print. Nothing is fetched, nothing is stored.
(() => {
  const said = document.getElementById("said");

  // Tables: a button in every head cell; numbers are sorted by their exact value, rows without one stay at the end.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    // In a narrow window a row is a card, and every cell says what it is.
    for (const row of table.tBodies[0].rows)
      for (const [place, cell] of [...row.cells].entries()) cell.dataset.label = heads[place].textContent;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        const sign = rising ? 1 : -1;
        const numeric = head.classList.contains("n");
        const value = (row) => row.cells[column].dataset.value;
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((one, other) => {
          const a = value(one), b = value(other);
          if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
          return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
        });
        body.append(...rows);
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        said.textContent = `Sorted by ${button.textContent}, ${rising ? "ascending" : "descending"}`;
      });
    });
  }

  // Plots: one stop for the Tab key each, arrow keys from mark to mark.
  const tip = document.getElementById("tip");
  const show = (lines, x, y) => {
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 18}px`;
  };
  const hide = () => { tip.hidden = true; };
  for (const plot of document.querySelectorAll("svg[role=group]")) {
    const marks = [...plot.querySelectorAll(".mark")];
    if (!marks.length) continue;
    marks[0].setAttribute("tabindex", "0");
    plot.addEventListener("mousemove", (event) => {
      const under = document.elementsFromPoint(event.clientX, event.clientY).map((part) => part.closest(".mark"));
      const lines = [...new Set(under.filter(Boolean))].map((mark) => mark.getAttribute("aria-label"));
      if (lines.length) show(lines, event.clientX, event.clientY); else hide();
    });
    plot.addEventListener("mouseleave", hide);
    plot.addEventListener("focusin", (event) => {
      const mark = event.target.closest(".mark");
      if (!mark) return;
      const box = mark.getBoundingClientRect();
      show([mark.getAttribute("aria-label")], box.right, box.top);
    });
    plot.addEventListener("focusout", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = marks.indexOf(document.activeElement);
      if (event.key === "Escape") hide();
      if (!step || at < 0) return;
      event.preventDefault();
      const next = marks[(at + step + marks.length) % marks.length];
      marks[at].setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }

  // Print: everything unfolded, and the tables after the story.
  let opened = [], moved = [];
  const appendix = document.getElementById("appendix");
  addEventListener("beforeprint", () => {
    if (!appendix.hidden) return;
    opened = [...document.querySelectorAll("details:not([open], .more)")];
    for (const part of opened) part.open = true;
    moved = [...document.querySelectorAll("details.numbers")].map((part) => {
      const place = document.createComment("");
      part.replaceWith(place);
      appendix.append(part);
      return [part, place];
    });
    appendix.hidden = false;
  });
  addEventListener("afterprint", () => {
    for (const [part, place] of moved) place.replaceWith(part);
    for (const part of opened) part.open = false;
    opened = moved = [];
    appendix.hidden = true;
  });
})();
