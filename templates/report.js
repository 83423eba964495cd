"use strict";
// The findings table: filters, search, rows that open. Everything is put into the page as text, never as HTML.
(() => {
  const all = JSON.parse(document.getElementById("data").textContent);
  const controls = JSON.parse(document.getElementById("controls").textContent);
  const initials = JSON.parse(document.getElementById("initials").textContent);
  const PAGE = 150;
  const SEVERITIES = ["critical", "high", "medium", "unknown", "low", "info"];
  const rows = document.getElementById("rows");
  const more = document.getElementById("more");
  const text = document.getElementById("text");
  const count = document.getElementById("count");
  const chips = document.getElementById("chips");
  const views = document.querySelector(".views"); // only where the tools are compared
  const byId = new Map(all.map((finding) => [finding.id, finding]));
  const state = { severity: new Set(), tool: new Set(), kind: "", control: "", namespace: "", bundle: "", status: "", text: "", view: document.body.dataset.view };
  let found = all;
  let shown = 0;

  // one string a finding, made once, so that a key stroke costs no more than 10,000 substring searches
  for (const f of all) {
    const said = f.said.map((s) => `${s.tool} ${s.rule} ${s.message}`).join(" ");
    f.hay = [f.control, f.title, f.kind, f.namespace, f.name, f.container, f.what, f.path, f.id, said].join(" ").toLowerCase();
  }

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  }

  const badge = (severity) => make("span", { class: `badge ${severity}` }, severity);
  const where = (f) => f.path + (f.line === null ? "" : `:${f.line}`);

  function matches(f) {
    if (state.severity.size && !state.severity.has(f.severity)) return false;
    if (state.tool.size && ![...state.tool].every((tool) => f.tools.includes(tool))) return false;
    if (state.status === "gate" && !f.gated) return false;
    if (state.status === "outside" && f.gated) return false;
    if (state.status === "one tool" && !(f.gated && f.tools.length === 1)) return false;
    for (const key of ["kind", "control", "namespace"]) if (state[key] && f[key] !== state[key]) return false;
    if (state.bundle && !f.bundles.includes(state.bundle)) return false;
    return state.text.split(/\s+/).every((word) => f.hay.includes(word));
  }

  function refresh() {
    found = all.filter(matches);
    rows.replaceChildren();
    shown = 0;
    page();
    const of = found.length === all.length ? "" : ` of ${all.length.toLocaleString("en")}`;
    count.textContent = `${found.length.toLocaleString("en")}${of} findings, worst first`;
    remember();
  }

  function page() {
    const next = document.createDocumentFragment();
    for (const finding of found.slice(shown, shown + PAGE)) next.append(row(finding));
    rows.append(next);
    shown = Math.min(shown + PAGE, found.length);
    more.hidden = shown >= found.length;
    more.textContent = `Show more (${(found.length - shown).toLocaleString("en")} left)`;
  }

  function row(f) {
    const button = make("button", { type: "button", class: "open-row", "aria-expanded": "false" }, f.title);
    const place = make("code", {}, where(f));
    const element = make("tr", { class: f.gated ? "row" : "row outside", id: `f-${f.id}` },
      make("td", {}, badge(f.severity)),
      make("td", {}, button, f.what ? make("span", { class: "what" }, ` ${f.what}`) : "",
        f.gated ? "" : make("small", {}, " outside the gate")),
      make("td", {}, `${f.kind} ${f.namespace ? `${f.namespace}/` : ""}${f.name}`,
        f.container ? make("span", { class: "what" }, ` / ${f.container}`) : ""),
      make("td", {}, place, f.precision === "exact" ? "" : make("small", {}, ` ~${f.precision}`),
        f.also.length ? make("small", {}, ` +${f.also.length}`) : ""),
      make("td", {}, ...f.tools.map((tool) => make("span", { class: "mark", title: tool }, initials[tool]))));
    element.addEventListener("click", (event) => {
      if (!event.target.closest("a") && !window.getSelection().toString()) toggle(f, element, button);
    });
    return element;
  }

  function toggle(f, element, button) {
    const open = element.classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
    if (open) element.after(detail(f));
    else element.nextElementSibling.remove();
  }

  function detail(f) {
    return make("tr", { class: "detail" }, make("td", { colspan: "5" },
      make("h3", {}, "What the tools say"),
      make("ul", { class: "said" }, ...f.said.map(said)),
      ...seats(f),
      ...excerpt(f),
      ...advice(controls[f.control] || {}, f),
      ...(f.fix ? [make("h3", {}, "Field"), make("code", {}, f.fix)] : []),
      ...references(f),
      ...related(f),
      make("div", { class: "actions" }, copy("Copy place", where(f)), copy("Copy fingerprint", f.id),
        make("button", { type: "button", onclick: () => only("control", f.control) }, `All ${f.control}`))));
  }

  function said(s) {
    const rule = s.url ? make("a", { href: s.url, rel: "noreferrer noopener" }, s.rule) : make("code", {}, s.rule);
    return make("li", {}, make("b", {}, s.tool), " ", rule, s.severity ? ` ${s.severity.toLowerCase()}` : "",
      make("span", { class: "message" }, s.message),
      make("small", {}, [s.object ? `on ${s.object}` : "", s.why].filter(Boolean).join("; ")));
  }

  // the same source in other bundles, and the values that a template reads
  function seats(f) {
    const lines = [
      ...f.also.map((place) => `also in ${place.bundle}: ${place.object}, ${place.where}`),
      ...f.absent.map((item) => (item.silenced ? `silenced by an annotation in ${item.bundle}` : item.by ? `cured in ${item.bundle} by ${item.by}` : `not in ${item.bundle}`)),
      ...(f.values.length ? [`the template reads ${f.values.map((value) => `.Values.${value}`).join(", ")}`] : []),
    ];
    return lines.length ? [make("h3", {}, "Where it comes from"), make("ul", {}, ...lines.map((line) => make("li", {}, line)))] : [];
  }

  function excerpt(f) {
    if (!f.excerpt) return [];
    const length = f.precision === "exact" && !f.excerpt.rendered ? f.end - f.line : 0;
    const lines = f.excerpt.lines.map((line, index) => {
      const number = f.excerpt.line + index;
      const fault = number >= f.excerpt.at && number <= f.excerpt.at + length;
      return make("span", fault ? { class: "fault" } : {}, make("i", {}, String(number)), line);
    });
    return [make("h3", {}, f.excerpt.rendered ? `${f.kind} ${f.name}, as rendered` : where(f)), make("pre", { class: "excerpt" }, ...lines)];
  }

  function advice(control, f) {
    return [
      ...(control.harm ? [make("h3", {}, "What can go wrong"), make("p", {}, control.harm)] : []),
      ...(control.because ? [make("p", {}, `Severity ${f.severity}: ${control.because.replace(/\.$/, "")}.`)] : []),
      ...(control.remediation ? [make("h3", {}, "What to do"), make("p", {}, control.remediation)] : []),
      ...(control.example ? [make("pre", { class: "example" }, control.example.trimEnd())] : []),
    ];
  }

  function references(f) {
    if (!f.references.length) return [];
    const links = f.references.flatMap((r) => [r.url ? make("a", { href: r.url, rel: "noreferrer noopener" }, r.name) : r.name, ", "]);
    return [make("h3", {}, "References"), make("p", {}, ...links.slice(0, -1))];
  }

  function related(f) {
    const others = f.related.map((id) => byId.get(id)).filter(Boolean);
    if (!others.length) return [];
    return [make("h3", {}, "Related"), make("p", {}, others.map((o) => `${o.title} (${o.control})`).join(", "))];
  }

  function copy(label, value) {
    const button = make("button", { type: "button", title: value }, label);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(value);
        button.textContent = "Copied";
      } catch {
        button.textContent = value; // a file:// page may not write to the clipboard: show it for copying by hand
      }
    });
    return button;
  }

  // -- filters --------------------------------------------------------------------------------------------------------

  function tally(key) {
    const counts = new Map();
    for (const f of all) for (const value of key === "bundle" ? new Set(f.bundles) : [f[key]]) counts.set(value, (counts.get(value) || 0) + 1);
    return counts;
  }

  function chip(group, value, label, first) {
    return make("button", { type: "button", class: first ? "chip gap" : "chip", "aria-pressed": String(state[group].has(value)),
      "data-group": group, "data-value": value, onclick: (event) => {
        if (!state[group].delete(value)) state[group].add(value);
        event.currentTarget.setAttribute("aria-pressed", String(state[group].has(value)));
        refresh();
      } }, label);
  }

  function choose(key, label) {
    const counts = [...tally(key)].filter(([value]) => value !== "").sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (counts.length < 2) return "";
    const select = make("select", { "aria-label": label, "data-key": key }, make("option", { value: "" }, `${label}: all`),
      ...counts.map(([value, n]) => make("option", { value }, `${value} (${n})`)));
    select.addEventListener("change", () => { state[key] = select.value; refresh(); });
    return select;
  }

  function only(key, value) {
    show("findings");
    state[key] = value;
    const select = chips.querySelector(`[data-key="${key}"]`);
    if (select) select.value = value;
    refresh();
    document.getElementById("filters").scrollIntoView();
  }

  function drawFilters() {
    const severities = tally("severity");
    const tools = [...new Set(all.flatMap((f) => f.tools))].sort();
    const status = make("select", { "aria-label": "Status", "data-key": "status" }, make("option", { value: "" }, "status: all"),
      make("option", { value: "gate" }, "in the gate"), make("option", { value: "outside" }, "outside the gate"),
      make("option", { value: "one tool" }, "one tool alone"));
    status.addEventListener("change", () => { state.status = status.value; refresh(); });
    chips.replaceChildren(
      ...SEVERITIES.filter((s) => severities.has(s)).map((s) => chip("severity", s, `${s} ${severities.get(s)}`)),
      ...tools.map((tool, index) => chip("tool", tool, tool, index === 0)),
      ...[choose("control", "control"), choose("kind", "kind"), choose("namespace", "namespace"), choose("bundle", "bundle")].filter(Boolean),
      status);
    for (const key of ["control", "kind", "namespace", "bundle", "status"]) {
      const select = chips.querySelector(`[data-key="${key}"]`);
      if (select) select.value = state[key];
    }
    text.value = state.text;
  }

  // -- findings, or which tool finds what -----------------------------------------------------------------------------------

  function show(view) {
    state.view = view;
    if (!views) return;
    for (const button of views.querySelectorAll("button")) {
      const here = button.dataset.view === view;
      button.setAttribute("aria-pressed", String(here));
      document.getElementById(button.dataset.view).hidden = !here;
    }
  }

  // an example of what a tool missed: its row, opened
  function open(id) {
    const element = document.getElementById(`f-${id}`);
    if (!element) return;
    element.querySelector(".open-row").click();
    element.scrollIntoView({ block: "center" });
    element.querySelector(".open-row").focus({ preventScroll: true });
  }

  // -- the address shows what is seen, so that it can be sent to somebody -------------------------------------------------

  function remember() {
    const query = new URLSearchParams();
    for (const key of ["severity", "tool"]) if (state[key].size) query.set(key, [...state[key]].join(","));
    for (const key of ["kind", "control", "namespace", "bundle", "status", "text"]) if (state[key]) query.set(key, state[key]);
    const usual = query.toString() ? "findings" : document.body.dataset.view;
    if (state.view !== usual) query.set("view", state.view);
    const hash = query.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  function recall() {
    const query = new URLSearchParams(location.hash.slice(1));
    for (const key of ["severity", "tool"]) state[key] = new Set((query.get(key) || "").split(",").filter(Boolean));
    for (const key of ["kind", "control", "namespace", "bundle", "status", "text"]) state[key] = query.get(key) || "";
    const asked = [...query.keys()].some((key) => key !== "view");
    const usual = asked ? "findings" : document.body.dataset.view;
    show(["findings", "coverage"].includes(query.get("view")) ? query.get("view") : usual);
    if (query.get("open")) state.text = query.get("open");
    state.text = state.text.trim().toLowerCase();
    drawFilters();
    refresh();
    if (query.get("open")) open(query.get("open"));
  }

  text.addEventListener("input", () => { state.text = text.value.trim().toLowerCase(); refresh(); });
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", page);
  window.addEventListener("hashchange", recall);
  for (const button of document.querySelectorAll("button[data-control]")) {
    button.addEventListener("click", () => only("control", button.dataset.control));
  }
  if (views) {
    views.hidden = false;
    views.addEventListener("click", (event) => {
      if (event.target.dataset.view) { show(event.target.dataset.view); remember(); }
    });
  }
  recall();
})();
