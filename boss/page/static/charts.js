// The charts of the last hours: uPlot on what /history.json tells, drawn again when something is new or the colours change.
"use strict";
(function () {
  const made = new Map();
  const SERIES = {
    tasks: [[1, "running", "--busy"], [2, "ready", "--next"], [3, "waiting", "--idle"]],
    cores: [[4, "in use", "--busy"], [5, "there", "--good"], [6, "wanted", "--warn"]],
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let columns = null;
  function draw(again) {
    if (!columns || !columns.length) return;
    for (const place of document.querySelectorAll("[data-chart]")) {
      const chosen = SERIES[place.dataset.chart], data = [columns[0], ...chosen.map(([index]) => columns[index])];
      const old = made.get(place);
      if (old && !again) { old.setData(data); continue; }
      if (old) old.destroy();
      const axis = { stroke: colour("--mute"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      made.set(place, new uPlot({
        width: place.clientWidth, height: 190, cursor: { y: false, points: { size: 6 } }, legend: { live: true },
        scales: { x: { range: (chart, low, high) => [Math.min(low, high - 60), high] }, y: { range: (chart, low, high) => [0, Math.max(1, high * 1.1)] } },
        axes: [axis, { ...axis, size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000, 1000000] }],
        series: [{ label: "time" }, ...chosen.map(([, label, name], number) => ({ label, stroke: colour(name), width: 1.8, dash: [[], [6, 3], [2, 3]][number], fill: number === 0 ? colour(name) + "22" : undefined, points: { show: data[0].length < 3 } }))],
      }, data, place));
    }
  }
  let last = 0;
  async function load() {
    if (Date.now() - last < 9000) return;
    last = Date.now();
    const answer = await fetch("/history.json", { credentials: "same-origin", headers: { "HX-Request": "true" } });
    if (answer.ok) { columns = await answer.json(); draw(false); }
  }
  load();
  document.addEventListener("ecloud:fresh", load);
  document.addEventListener("ecloud:colours", () => draw(true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  window.addEventListener("resize", () => { for (const [place, chart] of made) chart.setSize({ width: place.clientWidth, height: 190 }); });
})();
