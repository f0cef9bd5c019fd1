
"use strict";
for (const [column, button] of document.querySelectorAll("#models thead button").entries()) {
  button.disabled = false;
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = document.querySelector("#models tbody");
    const key = (row) => row.children[column].dataset.sort ?? row.children[column].textContent.trim();
    const compare = (a, b) => key(a).localeCompare(key(b), "en", { numeric: true });
    const number = (row) => Number(key(row));
    const numeric = heading.classList.contains("number");
    const rows = [...body.rows].sort((a, b) => (numeric ? number(a) - number(b) : compare(a, b)));
    body.append(...(down ? rows.reverse() : rows));
  });
}
