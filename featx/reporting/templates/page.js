"use strict";
(function () {
  // Columns: a press sorts, another reverses; rows without a value stay last.
  function compare(a, b, sign) {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
    var x = Number(a), y = Number(b);
    if (!isNaN(x) && !isNaN(y)) return sign * (x - y);
    return sign * a.localeCompare(b, "en", { numeric: true });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var headings = Array.from(table.tHead.rows[0].cells);
    headings.forEach(function (heading, column) {
      heading.setAttribute("aria-sort", "none");
      heading.querySelector("button").addEventListener("click", function () {
        var before = heading.getAttribute("aria-sort");
        var text = !heading.classList.contains("number") || column === 0;
        var order = before === "none" ? (text ? "ascending" : "descending")
          : before === "ascending" ? "descending" : "ascending";
        headings.forEach(function (other) { other.setAttribute("aria-sort", "none"); });
        heading.setAttribute("aria-sort", order);
        var sign = order === "ascending" ? 1 : -1;
        var body = table.tBodies[0];
        Array.from(body.rows).sort(function (one, other) {
          return compare(one.cells[column].dataset.order, other.cells[column].dataset.order, sign);
        }).forEach(function (row) { body.appendChild(row); });
      });
    });
  });
  // Tables wider than the window say so.
  function mark() {
    document.querySelectorAll(".scroll").forEach(function (part) {
      part.toggleAttribute("data-wide", part.scrollWidth > part.clientWidth + 1);
    });
  }
  mark();
  window.addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true);
  // Models drawn: one choice for all figures.
  var chooser = document.getElementById("chooser");
  if (chooser) {
    chooser.hidden = false;
    chooser.addEventListener("change", function (event) {
      document.querySelectorAll('main [data-row="' + Number(event.target.value) + '"]').forEach(
        function (part) { part.toggleAttribute("data-off", !event.target.checked); });
    });
    // Browsers keep ticks over a reload, but not their effect.
    chooser.querySelectorAll("input").forEach(function (box) { box.checked = box.defaultChecked; });
  }
  // On paper everything is open.
  var closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.from(document.querySelectorAll("details:not([open])"));
    closed.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (part) { part.open = false; });
  });
})();
