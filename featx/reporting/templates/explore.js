"use strict";
(function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var count = data.names.length, sheet = document.getElementById("sheet");
  var canvas = document.getElementById("map"), pen = canvas.getContext("2d");
  var hover = document.getElementById("hover"), chosenBox = document.getElementById("chosen");
  var color = document.getElementById("color"), find = document.getElementById("find");
  var view = { scale: 1, x: 0, y: 0 }, chosen = -1, shownNear = [], wanted = null;
  var issues = {};
  data.issues.forEach(function (i) { issues[i] = true; });

  function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function make(tag, text, parent) {
    var element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.appendChild(element);
    return element;
  }

  // Each way to color gives every image a group: its color, its name, and how many there are.
  function grouped(groupOf, names) {
    var sizes = names.map(function () { return 0; });
    for (var i = 0; i < count; i++) if (groupOf(i) >= 0) sizes[groupOf(i)]++;
    var order = names.map(function (_, k) { return k; });
    var few = names.length <= 6;
    if (!few) order.sort(function (a, b) { return sizes[b] - sizes[a]; });
    var kept = order.slice(0, few ? 6 : 5), rank = {};
    kept.forEach(function (k, place) { rank[k] = place; });
    var entries = kept.map(function (k, place) {
      return { name: names[k] || "no split", size: sizes[k], color: "--k" + place };
    });
    var others = count - kept.reduce(function (sum, k) { return sum + sizes[k]; }, 0);
    if (others) entries.push({ name: "others", size: others, color: "--rule" });
    return { entries: entries, of: function (i) {
      var place = rank[groupOf(i)];
      return place === undefined ? entries.length - 1 : place;
    } };
  }
  function score(i) {
    var row = data.probabilities[i];
    return row[0] === null ? null : row[row.length - 1];
  }
  var SCORES = ["below 0.1", "0.1 to 0.3", "0.3 to 0.7", "0.7 to 0.9", "0.9 and above", "none"];
  function scoreGroup(i) {
    var p = score(i);
    return p === null ? 5 : p < 0.1 ? 0 : p < 0.3 ? 1 : p < 0.7 ? 2 : p < 0.9 ? 3 : 4;
  }
  var ways = {
    "class": function () { return grouped(function (i) { return data.labels[i]; }, data.classes); },
    split: function () { return grouped(function (i) { return data.split[i]; }, data.splits); },
    patient: function () { return grouped(function (i) { return data.patient[i]; }, data.patients); },
    issue: function () {
      return grouped(function (i) { return issues[i] ? 1 : 0; }, ["no label issue", "label issue"]);
    },
    score: function () {
      var way = grouped(scoreGroup, SCORES);
      // From one class to the other through gray, readable for the color-blind.
      ["--k0", "--k0", "--rule", "--k1", "--k1", "--soft"].forEach(function (name, k) {
        way.entries[k].color = name;
        way.entries[k].faint = k === 1 || k === 3;
      });
      way.title = "Probability of " + data.classes[data.classes.length - 1];
      return way;
    }
  };
  var way = ways["class"]();

  function place(i) {
    var side = Math.min(canvas.clientWidth, canvas.clientHeight * 4 / 3) * 0.92 * view.scale;
    return [canvas.clientWidth / 2 + (data.x[i] + view.x) * side,
            canvas.clientHeight / 2 - (data.y[i] + view.y) * side];
  }
  // Shapes show the class, whatever colors show.
  function shape(to, kind, x, y, r) {
    to.beginPath();
    if (kind === 0) to.arc(x, y, r, 0, 7);
    else if (kind === 1) to.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
    else if (kind === 2) { to.moveTo(x, y - r * 1.2); to.lineTo(x + r * 1.1, y + r * 0.9); to.lineTo(x - r * 1.1, y + r * 0.9); to.closePath(); }
    else { to.moveTo(x, y - r * 1.3); to.lineTo(x + r * 1.3, y); to.lineTo(x, y + r * 1.3); to.lineTo(x - r * 1.3, y); to.closePath(); }
  }
  function kind(i) { return data.labels[i] < 0 ? 3 : Math.min(data.labels[i], 3); }
  function ring(i, r, name) {
    var at = place(i);
    pen.globalAlpha = 1; pen.lineWidth = 2; pen.strokeStyle = style(name);
    pen.beginPath(); pen.arc(at[0], at[1], r, 0, 7); pen.stroke();
  }
  function draw() {
    var dense = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * dense; canvas.height = canvas.clientHeight * dense;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    var r = Math.max(1.6, Math.min(5, 90 / Math.sqrt(count))) * Math.min(2, Math.sqrt(view.scale));
    var colors = way.entries.map(function (entry) { return style(entry.color); });
    var drawn = way.entries.map(function (_, k) { return k; }).reverse();
    drawn.forEach(function (k) {
      pen.fillStyle = colors[k];
      for (var i = 0; i < count; i++) {
        if (way.of(i) !== k) continue;
        var at = place(i);
        pen.globalAlpha = wanted && !wanted(i) ? 0.08 : way.entries[k].faint ? 0.4 : 0.75;
        shape(pen, kind(i), at[0], at[1], r); pen.fill();
      }
    });
    pen.globalAlpha = 1;
    if (chosen < 0) return;
    for (var i = 0; i < count; i++) if (data.patient[i] === data.patient[chosen]) ring(i, r + 2, "--soft");
    shownNear.forEach(function (i) { ring(i, r + 4, "--ink"); });
    ring(chosen, r + 7, "--alarm");
  }
  function writeLegend() {
    var list = document.getElementById("legend");
    list.textContent = "";
    if (way.title) make("li", way.title + ":", list);
    way.entries.forEach(function (entry) {
      if (!entry.size) return;
      var item = make("li", undefined, list), mark = make("canvas", undefined, item);
      mark.className = "mark"; mark.width = mark.height = 24;
      var brush = mark.getContext("2d");
      brush.fillStyle = style(entry.color); brush.globalAlpha = entry.faint ? 0.4 : 1;
      var number = color.value === "class" ? data.classes.indexOf(entry.name) : 0;
      shape(brush, Math.min(number < 0 ? 3 : number, 3), 12, 12, 8); brush.fill();
      item.appendChild(document.createTextNode(entry.name + " "));
      make("small", entry.size.toLocaleString("en"), item);
    });
    document.getElementById("axes").textContent = "Across: " + data.axes[0] + ". Up: " + data.axes[1] + ".";
  }

  function picture(i, side, parent) {
    if (!data.tile) return;
    var own = make("canvas", undefined, parent);
    own.width = own.height = data.tile; own.style.width = own.style.height = side + "px";
    own.setAttribute("role", "img"); own.setAttribute("aria-label", data.names[i]);
    var left = (i % data.columns) * data.tile, top = Math.floor(i / data.columns) * data.tile;
    own.getContext("2d").drawImage(sheet, left, top, data.tile, data.tile, 0, 0, data.tile, data.tile);
  }
  function label(i) { return data.labels[i] < 0 ? "no label" : data.classes[data.labels[i]]; }
  function facts(i) {
    var found = [["class", label(i)]];
    if (data.patients.length) found.push(["patient", data.patients[data.patient[i]]]);
    if (data.splits[data.split[i]]) found.push(["split", data.splits[data.split[i]]]);
    data.classes.forEach(function (name, k) {
      var p = data.probabilities[i][k];
      if (p !== null) found.push(["P(" + name + ")", p.toFixed(3)]);
    });
    return found;
  }
  function choose(i) {
    chosen = i; shownNear = data.neighbors[i];
    chosenBox.textContent = "";
    picture(i, 168, chosenBox);
    make("p", data.names[i], chosenBox).className = "path";
    var list = make("dl", undefined, chosenBox);
    facts(i).forEach(function (fact) { make("dt", fact[0], list); make("dd", fact[1], list); });
    make("h4", "Nearest neighbors", chosenBox);
    var near = make("div", undefined, chosenBox);
    near.className = "near";
    shownNear.forEach(function (other, rank) {
      var button = make("button", undefined, near);
      button.type = "button"; button.title = data.names[other];
      picture(other, 56, button);
      make("div", label(other), button);
      make("div", "at " + data.distances[i][rank].toFixed(1), button);
      if (!data.tile) make("div", data.names[other], button).className = "path";
      button.addEventListener("click", function () { choose(other); });
    });
    draw();
  }
  function offer(i, list) {
    var button = make("button", data.names[i], list);
    button.type = "button"; button.className = "path pick";
    button.addEventListener("click", function () { choose(i); });
  }
  function nearest(x, y) {
    var best = -1, least = 14 * 14;
    for (var i = 0; i < count; i++) {
      if (wanted && !wanted(i)) continue;
      var at = place(i), d = (at[0] - x) * (at[0] - x) + (at[1] - y) * (at[1] - y);
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function zoom(factor, x, y) {
    var side = Math.min(canvas.clientWidth, canvas.clientHeight * 4 / 3) * 0.92;
    var dx = (x === undefined ? 0 : x - canvas.clientWidth / 2) / side;
    var dy = (y === undefined ? 0 : canvas.clientHeight / 2 - y) / side;
    var scale = Math.max(1, Math.min(64, view.scale * factor));
    view.x += dx / scale - dx / view.scale; view.y += dy / scale - dy / view.scale;
    view.scale = scale;
    if (scale === 1) view.x = view.y = 0;
    draw();
  }
  function move(dx, dy) {
    var side = Math.min(canvas.clientWidth, canvas.clientHeight * 4 / 3) * 0.92 * view.scale;
    view.x += dx / side; view.y -= dy / side; draw();
  }

  var from = null, moved = false;
  canvas.addEventListener("pointerdown", function (event) {
    from = [event.offsetX, event.offsetY]; moved = false; canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", function (event) {
    if (from && event.buttons) {
      var dx = event.offsetX - from[0], dy = event.offsetY - from[1];
      if (moved || Math.abs(dx) + Math.abs(dy) > 4) {
        moved = true; from = [event.offsetX, event.offsetY]; hover.hidden = true; move(dx, dy);
      }
      return;
    }
    var i = nearest(event.offsetX, event.offsetY);
    hover.hidden = i < 0;
    if (i < 0) return;
    hover.textContent = "";
    picture(i, 112, hover);
    make("div", data.names[i], hover).className = "path";
    make("div", facts(i).map(function (fact) { return fact[1]; }).slice(0, 2).join(", "), hover);
    var right = event.offsetX > canvas.clientWidth / 2, low = event.offsetY > canvas.clientHeight / 2;
    hover.style.left = right ? "auto" : event.offsetX + 14 + "px";
    hover.style.right = right ? canvas.clientWidth - event.offsetX + 14 + "px" : "auto";
    hover.style.top = (low ? event.offsetY - hover.offsetHeight - 8 : event.offsetY + 8) + "px";
  });
  canvas.addEventListener("pointerup", function (event) {
    from = null;
    var i = moved ? -1 : nearest(event.offsetX, event.offsetY);
    if (i >= 0) choose(i);
  });
  canvas.addEventListener("pointerleave", function () { hover.hidden = true; });
  canvas.addEventListener("wheel", function (event) {
    event.preventDefault(); zoom(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", function (event) {
    var step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (step) move(step[0], step[1]);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else return;
    event.preventDefault();
  });
  document.getElementById("closer").addEventListener("click", function () { zoom(1.5); });
  document.getElementById("further").addEventListener("click", function () { zoom(1 / 1.5); });
  document.getElementById("whole").addEventListener("click", function () { view = { scale: 1, x: 0, y: 0 }; draw(); });
  color.addEventListener("change", function () { way = ways[color.value](); writeLegend(); draw(); });
  find.addEventListener("input", function () {
    var text = find.value.toLowerCase();
    wanted = text ? function (i) { return data.names[i].toLowerCase().indexOf(text) >= 0; } : null;
    draw();
    var list = document.getElementById("matches");
    list.textContent = "";
    for (var i = 0; wanted && i < count && list.children.length < 12; i++) if (wanted(i)) offer(i, list);
  });
  document.querySelectorAll(".pick").forEach(function (button) {
    button.addEventListener("click", function () {
      choose(Number(button.dataset.image));
      canvas.scrollIntoView({ block: "center" });
    });
  });
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { writeLegend(); draw(); });
  color.value = "class"; find.value = "";
  if (!data.probabilities.some(function (row) { return row[0] !== null; })) {
    color.querySelector('[value="score"]').remove();
  }
  writeLegend();
  if (sheet && !sheet.complete) sheet.addEventListener("load", draw);
  draw();
})();
