// Evaluations: upload, watch, read the report.
import { ask, h, may, say, toast, working } from "./page.js";
import { number, t } from "./text.js";

const KINDS = { scores: "scores", attributes: "attributes_csv", pad: "pad", folder: "folder", pairs: "pairs" };
const SHOWN = ["accuracy", "auc", "eer", "rank1", "macro_f1", "kappa", "mae", "rmse", "pearson", "ccc"];

export function evaluationsView(main) {
  const sources = new Set();
  const list = h("div", {});
  const kind = h("select", {}, Object.entries(KINDS).map(([value, key]) => h("option", { value }, t(key))));
  const file = h("input", { type: "file", accept: ".csv,.zip", onchange: () => { go.disabled = !file.files.length; } });
  const dataset = h("input", { maxLength: 200 });
  const go = h("button", { type: "button", disabled: true, onclick: () => working(go, async () => {
    const form = new FormData();
    form.append("kind", kind.value);
    form.append("dataset", dataset.value);
    form.append("file", file.files[0]);
    await ask("POST", "/v1/evaluations", { form });
    await refresh();
  }) }, t("begin"));

  async function refresh() {
    const { items } = await ask("GET", "/v1/evaluations?limit=50");
    list.replaceChildren(...(items.length ? items.map((job) => jobCard(job, sources)) : [h("p", {}, t("no_evals"))]));
  }

  main.append(h("h1", {}, t("eval_title")), h("p", { className: "hint" }, t("eval_hint")),
    may("admin") ? h("div", { className: "card" }, h("div", { className: "row" }, h("label", {}, t("kind"), kind), h("label", {}, t("file"), file), h("label", {}, t("dataset"), dataset), go))
      : h("p", { className: "hint" }, t("needs_role", { role: "admin" })), list);
  refresh().catch((error) => toast(error.message));
  return () => sources.forEach((source) => source.close());
}

// A job with its progress; `finished(job)` gives what is shown when it is done (default: the evaluation's figures and files).
export function jobCard(first, sources, { title: given, finished = figures } = {}) {
  const title = given ?? `${first.parameters.dataset || first.parameters.file} · ${t(KINDS[first.parameters.kind] ?? first.kind)}`;
  const state = h("p", { "aria-live": "polite" });
  const bar = h("progress", { max: 1, "aria-label": title });
  const stop = h("button", { type: "button", className: "quiet", onclick: () => working(stop, () => ask("POST", `/v1/jobs/${first.id}/cancel`)) }, t("stop_job"));
  const result = h("div", {});
  const node = h("article", { className: "card" }, h("h2", {}, title), state, bar, may("admin") ? stop : null, result);

  async function show(job) {
    state.textContent = job.problem ? `${t(job.state)}: ${job.problem.detail}` : t(job.state) + (job.total && job.state === "running" ? ` — ${t("progress", { d: job.done, n: job.total })}` : "");
    state.className = job.state === "failed" ? "error" : "";
    const ended = !["queued", "running"].includes(job.state);
    bar.hidden = stop.hidden = ended;
    if (job.total) bar.value = job.done / job.total; else bar.removeAttribute("value");
    if (job.state === "done") {
      result.replaceChildren(await finished(job));
      say(`${title}: ${t("done")}`);
    }
  }

  show(first);
  if (["queued", "running"].includes(first.state)) {
    const source = new EventSource(`/v1/jobs/${first.id}/events`);
    sources.add(source);
    source.addEventListener("job", (event) => {
      const job = JSON.parse(event.data);
      show(job);
      if (!["queued", "running"].includes(job.state)) source.close();
    });
  }
  return node;
}

async function figures(job) {
  const found = await ask("GET", `/v1/evaluations/${job.id}`);
  return h("div", {}, summary(found.report), h("div", { className: "row" }, found.files.map((name) => h("a", { href: `/v1/evaluations/${job.id}/${name}`, target: "_blank", rel: "noopener" }, name))));
}

function summary(report) {
  const rows = SHOWN.filter((name) => report[name] !== undefined && report[name] !== null).map((name) => {
    const value = report[name];
    const text = typeof value === "object" ? `${number(value.mean, 4)}${value.stderr === undefined ? "" : ` ± ${number(value.stderr, 4)}`}` : number(value, 4);
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, text));
  });
  return h("table", {}, h("caption", { className: "visually-hidden" }, t("report")), h("tbody", {}, rows));
}
