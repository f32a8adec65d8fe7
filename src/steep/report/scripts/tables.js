// Sort a table by the column whose heading is clicked: numbers by value, text by language.
const isNumber = (cell) => cell.dataset.value !== undefined;

function compare(one, other) {
  if (isNumber(one) && isNumber(other)) return Number(one.dataset.value) - Number(other.dataset.value);
  if (isNumber(one) !== isNumber(other)) return isNumber(one) ? -1 : 1;
  return one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
}

function sort(table, column, heading) {
  const descending = heading.getAttribute("aria-sort") === "descending";
  for (const each of heading.parentElement.cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => compare(one.cells[column], other.cells[column]) * (descending ? 1 : -1));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, column, heading));
    heading.append(button);
  });
}
