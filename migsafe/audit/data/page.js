"use strict";
const rows = Array.from(document.querySelectorAll("tr[data-rule]"));
const map = Array.from(document.querySelectorAll("tr[data-map]"));
const fields = ["rule", "severity", "host", "search"].map((name) => document.getElementById(name));
function show() {
  const [rule, severity, host, search] = fields.map((field) => field.value);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  const volumes = new Set();
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const hidden = (rule && row.dataset.rule !== rule)
      || (severity && row.dataset.severity !== severity)
      || (host && !row.dataset.hosts.split("\n").includes(host))
      || !words.every((word) => text.includes(word));
    row.hidden = hidden;
    if (!hidden) {
      volumes.add(row.dataset.volume);
    }
    count += hidden ? 0 : 1;
  }
  for (const row of map) {
    row.hidden = !volumes.has(row.dataset.map);
  }
  document.getElementById("count").textContent = count + " of " + rows.length + " findings";
}
for (const field of fields) {
  field.addEventListener("input", show);
}
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
show();
