// Makes the drawings of figures hoverable and zoomable by dragging. The server draws them and sends their numbers beside them
// (data-lines); without script the drawing and its table stay as they are.
"use strict";
(() => {
  if (typeof uPlot !== "function") return;
  const $$ = (selector, scope = document) => [...scope.querySelectorAll(selector)];
  const living = new Map();

  // ---- Words, by the same rules as view::lines ------------------------------------------------------------------------------
  const commas = (number) => Math.round(number).toLocaleString("en-US");
  function seconds(v) {
    if (v <= 0) return "0 s";
    if (v < 0.00095) return "under 1 ms";
    if (v < 0.9995) return `${(v * 1e3).toFixed(0)} ms`;
    if (v < 10) return `${v.toFixed(1)} s`;
    if (v < 60) return `${v.toFixed(0)} s`;
    if (v < 600) return `${(v / 60).toFixed(1)} min`;
    if (v < 3600) return `${(v / 60).toFixed(0)} min`;
    if (v < 36000) return `${(v / 3600).toFixed(1)} h`;
    if (v < 172800) return `${(v / 3600).toFixed(0)} h`;
    return `${(v / 86400).toFixed(0)} d`;
  }
  function words(unit, v) {
    if (v === null || v === undefined) return "no sample";
    if (unit === "messages") return commas(v);
    if (unit === "seconds") return seconds(v);
    if (unit === "ratio") return `${(v * 100).toFixed(1)} %`;
    if (v === 0) return "0";
    if (v < 0.095) return v.toFixed(2);
    return v < 1000 ? v.toFixed(1) : commas(v);
  }
  // As few digits as tell a number from its neighbours on the axis: the same rule as view::axis.
  function plain(v) {
    if (v >= 1e6) return `${+(v / 1e6).toFixed(1)} M`;
    if (v >= 1e4) return `${+(v / 1e3).toFixed(1)} k`;
    return (+v.toFixed(v >= 1 ? 1 : 1 - Math.floor(Math.log10(v)))).toLocaleString("en-US", { maximumFractionDigits: 12 });
  }
  function axis(unit, v) {
    if (v <= 0) return "0";
    if (unit === "seconds") return seconds(v);
    return unit === "ratio" ? `${plain(v * 100)}%` : plain(v);
  }
  // Steps that are round in the unit: whole messages, whole minutes and hours.
  const decimals = (from, to) => {
    const all = [];
    for (let power = from; power <= to; power += 1) for (const step of [1, 2, 5]) all.push(+`${step}e${power}`);
    return all;
  };
  const STEPS = {
    messages: decimals(0, 12),
    seconds: [...decimals(-3, 0), 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, ...[1, 2, 5, 10, 20, 50, 100, 200].map((days) => days * 86400)],
    ratio: decimals(-6, 0),
    per_second: decimals(-6, 12),
    number: decimals(-6, 12),
  };
  function time(at, data) {
    const days = (data.times.at(-1) - data.times[0]) / 86400;
    const text = new Date(at * 1000).toISOString();
    if (days <= 2) return text.slice(11, 16);
    return days <= 7 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(5, 10);
  }
  const clock = (at) => new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ") + "Z";

  // ---- Colours of the page, as the canvas needs them ------------------------------------------------------------------------
  function colours(box) {
    const probe = document.createElement("span");
    box.append(probe);
    const of = (name) => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    const found = { lines: [1, 2, 3, 4, 5].map((n) => of(`--series-${n}`)), grid: of("--line"), text: of("--text-3"), bad: of("--bad"), mark: of("--bad-mark") };
    probe.remove();
    return found;
  }

  function zoom(from, to) {
    const address = new URL(location.href);
    address.searchParams.delete("range");
    for (const [name, at] of [["from", from], ["to", to]]) {
      address.searchParams.set(name, new Date(at * 1000).toISOString().slice(0, 16) + ":00Z");
    }
    location.href = address;
  }

  // The box without its padding: a wider drawing would lose its last label behind the edge.
  function room(box) {
    const style = getComputedStyle(box);
    return Math.max(0, box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)) || 300;
  }

  function draw(box) {
    const text = box.dataset.lines;
    const known = living.get(box);
    if (known && known.text === text && box.contains(known.plot.root)) return;
    known?.plot.destroy();
    const data = JSON.parse(text);
    const colour = colours(box);
    const newest = $$("[data-newest]", box.parentElement);
    const before = newest.map((cell) => cell.textContent);
    const still = box.querySelector("svg.plot");
    const marks = (u) => {
      const context = u.ctx;
      context.save();
      context.strokeStyle = colour.text;
      context.setLineDash([2 * devicePixelRatio, 2 * devicePixelRatio]);
      context.fillStyle = colour.text;
      context.textAlign = "center";
      context.font = `${11 * devicePixelRatio}px system-ui`;
      for (const [at, , number] of data.marks) {
        const x = u.valToPos(at, "x", true);
        if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
        context.beginPath();
        context.moveTo(x, u.bbox.top);
        context.lineTo(x, u.bbox.top + u.bbox.height);
        context.stroke();
        context.fillText(String(number), x, u.bbox.top - 2 * devicePixelRatio);
      }
      context.restore();
    };
    // When a rule fires, behind the lines, and its threshold across them: the same look as the still drawing.
    const fires = (u) => {
      const context = u.ctx;
      const { left, top, width, height } = u.bbox;
      context.save();
      context.fillStyle = colour.mark;
      for (const [from, to] of data.fires ?? []) {
        const begin = Math.max(left, u.valToPos(from, "x", true));
        const end = Math.min(left + width, u.valToPos(to, "x", true));
        if (begin > left + width || end < left) continue;
        const wide = Math.max(2 * devicePixelRatio, end - begin);
        context.globalAlpha = 0.13;
        context.fillRect(begin, top, wide, height);
        context.globalAlpha = 1;
        context.fillRect(begin, top, wide, 2 * devicePixelRatio);
      }
      // The rule as saved, at the foot.
      context.fillStyle = colour.text;
      for (const [from, to] of data.beside ?? []) {
        const begin = Math.max(left, u.valToPos(from, "x", true));
        const end = Math.min(left + width, u.valToPos(to, "x", true));
        if (begin > left + width || end < left) continue;
        const high = 6 * devicePixelRatio;
        context.fillRect(begin, top + height - high, Math.max(2 * devicePixelRatio, end - begin), high);
      }
      context.restore();
    };
    const limit = (u) => {
      if (data.limit === null || data.limit === undefined) return;
      const context = u.ctx;
      const { left, top, width } = u.bbox;
      const y = u.valToPos(data.limit, "y", true);
      context.save();
      context.strokeStyle = colour.bad;
      context.fillStyle = colour.bad;
      context.setLineDash([5 * devicePixelRatio, 3 * devicePixelRatio]);
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(left + width, y);
      context.stroke();
      context.font = `${11 * devicePixelRatio}px system-ui`;
      context.textAlign = "left";
      context.fillText(data.limit_words, left + 4 * devicePixelRatio, y - top < 16 * devicePixelRatio ? y + 12 * devicePixelRatio : y - 4 * devicePixelRatio);
      context.restore();
    };
    const options = {
      width: room(box),
      height: 148,
      padding: [data.marks.length > 0 ? 14 : 8, 18, 0, 0],
      cursor: { sync: { key: "page" }, drag: { x: data.zoom !== false, y: false, setScale: false }, points: { size: 6 } },
      legend: { show: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, data.limit ?? 0) > 0 ? Math.max(high ?? 0, data.limit ?? 0) * 1.08 : 1] } },
      series: [
        {},
        ...data.series.map((series, n) => ({
          label: series.label,
          stroke: colour.lines[n % 5],
          width: 1.5,
          dash: series.dashed ? [4, 3] : undefined,
          spanGaps: false,
          points: { show: (u, s, i0, i1) => i1 - i0 < 2 },
        })),
      ],
      axes: [
        { stroke: colour.text, grid: { show: false }, ticks: { stroke: colour.grid }, font: "11px system-ui", size: 26, values: (_, all) => all.map((at) => time(at, data)) },
        { stroke: colour.text, grid: { stroke: colour.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui", size: 52, incrs: STEPS[data.unit], values: (_, all) => all.map((v) => axis(data.unit, v)) },
      ],
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      hooks: {
        drawClear: [fires],
        draw: [limit, marks],
        setCursor: [(u) => {
          const at = u.cursor.idx;
          newest.forEach((cell, n) => { cell.textContent = at === null || at === undefined ? before[n] : words(data.unit, data.series[n]?.values[at]); });
          const near = data.marks.filter(([when]) => at !== null && at !== undefined && Math.abs(when - data.times[at]) <= data.step);
          box.title = at === null || at === undefined ? "" : [clock(data.times[at]), ...near.map(([, what]) => what)].join("\n");
        }],
        setSelect: [(u) => {
          if (u.select.width < 8 || data.zoom === false) return;
          const from = u.posToVal(u.select.left, "x");
          const to = u.posToVal(u.select.left + u.select.width, "x");
          if (to - from >= 60) zoom(from, to + data.step);
        }],
      },
    };
    if (still) still.classList.add("drawn-over");
    const plot = new uPlot(options, [data.times, ...data.series.map((series) => series.values)], box);
    living.set(box, { plot, text });
  }

  function all() {
    for (const [box, { plot }] of living) {
      if (!box.isConnected) {
        plot.destroy();
        living.delete(box);
      }
    }
    $$("[data-lines]").forEach(draw);
  }

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => living.forEach(({ plot }, box) => plot.setSize({ width: room(box), height: 148 })), 100);
  });
  document.addEventListener("htmx:afterSwap", all);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    living.forEach((known) => { known.text = ""; });
    all();
  });
  all();
})();
