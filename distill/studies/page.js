// Tables that sort by a click on a heading: numbers by `data-sort`, words by their letters, blanks last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
      sortRows(table.tBodies[0], column, rising ? 1 : -1);
    });
  });
}

function sortRows(body, column, direction) {
  const keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
  keyed.sort(([left], [right]) => {
    if (left === null || right === null) return (left === null) - (right === null);
    if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
    const order = typeof left === "number" ? left - right : left.localeCompare(right);
    return direction * order;
  });
  body.append(...keyed.map(([, row]) => row));
}

function keyOf(cell) {
  if (cell.dataset.sort !== undefined && cell.dataset.sort !== "") return Number(cell.dataset.sort);
  return cell.textContent.trim() || null;
}
