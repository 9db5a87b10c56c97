"use strict";
const rows = Array.from(document.querySelectorAll("tr[data-rule]"));
const fields = ["rule", "severity", "host", "search"].map((name) => document.getElementById(name));
function show() {
  const [rule, severity, host, search] = fields.map((field) => field.value);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const hidden = (rule && row.dataset.rule !== rule)
      || (severity && row.dataset.severity !== severity)
      || (host && !row.dataset.hosts.split("\n").includes(host))
      || !words.every((word) => text.includes(word));
    row.hidden = hidden;
    count += hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = count + " of " + rows.length + " findings";
}
for (const field of fields) {
  field.addEventListener("input", show);
}
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
show();
