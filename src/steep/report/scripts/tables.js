// Tables (class "sortable") are sorted by the column whose heading is pressed: first the larger
// numbers or the earlier words, then the other way around, then as they were. A cell with
// data-value is a number; in such a column, cells without a value stay at the end.
const words = new Intl.Collator("en", { numeric: true });

function sort(table, original, column, heading) {
  const cells = new Map(original.map((row) => [row, row.cells[column]]));
  const numeric = original.some((row) => cells.get(row).dataset.value !== undefined);
  const orders = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
  const order = orders[(orders.indexOf(heading.getAttribute("aria-sort")) + 1) % orders.length];
  for (const each of heading.parentElement.cells) each.removeAttribute("aria-sort");
  if (!order) return table.tBodies[0].append(...original);
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => Number(cells.get(row).dataset.value ?? NaN);
  const compare = numeric
    ? (one, other) => isNaN(value(one)) - isNaN(value(other)) || sign * (value(one) - value(other)) || 0
    : (one, other) => sign * words.compare(cells.get(one).textContent, cells.get(other).textContent);
  table.tBodies[0].append(...original.toSorted(compare));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const original = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    if (!heading.textContent) return; // a drawing of the next column
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, original, column, heading));
    heading.append(button);
  });
}

// A table that is wider than its box is scrolled by the arrow keys, too.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) {
      target.tabIndex = 0;
      target.setAttribute("role", "region");
      target.setAttribute("aria-label", "Table, wider than the page");
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
    }
  }
});
for (const box of document.querySelectorAll(".scroll")) boxes.observe(box);
