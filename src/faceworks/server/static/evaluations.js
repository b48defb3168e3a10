// Evaluations: upload, watch, read the report.
import { ask, filePick, h, may, say, toast, working } from "./page.js";
import { number, percent, t } from "./text.js";

const KINDS = { scores: "scores", attributes: "attributes_csv", pad: "pad", folder: "folder", pairs: "pairs" };
const SHOWN = ["accuracy", "auc", "eer", "rank1", "rank5", "macro_f1", "kappa", "mae", "rmse", "pearson", "ccc"];
const RATES = ["bpcer", "apcer", "acer"];

export function evaluationsView(main) {
  const sources = new Set();
  const list = h("div", {});
  const kind = h("select", {}, Object.entries(KINDS).map(([value, key]) => h("option", { value }, t(key))));
  const { input: file, node: choice } = filePick(t("file"), ".csv,.zip", () => { go.disabled = !file.files.length; });
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
    may("admin") ? h("div", { className: "card" }, h("div", { className: "row" }, h("label", {}, t("kind"), kind), choice, h("label", {}, t("dataset"), dataset), go))
      : h("p", { className: "hint" }, t("needs_role", { role: "admin" })), list);
  refresh().catch((error) => toast(error.message));
  return () => leaveJobs(sources);
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
  if (running(first)) watch(first.id, show, sources);
  return node;
}

const running = (job) => ["queued", "running"].includes(job.state);
const STREAMS = 3; // a browser opens six connections to a host: streams must leave some for everything else

// Tell `show` of every change of a job until it ends. A stream while one is free, else a look now and then.
function watch(id, show, sources) {
  if (sources.size >= STREAMS) {
    const timer = setTimeout(async () => {
      sources.late?.delete(timer);
      const job = await ask("GET", `/v1/jobs/${id}`).catch(() => null);
      if (job) show(job);
      if (!job || running(job)) watch(id, show, sources);
    }, 3000);
    (sources.late ??= new Set()).add(timer);
    return;
  }
  const source = new EventSource(`/v1/jobs/${id}/events`);
  sources.add(source);
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    show(job);
    if (!running(job)) {
      source.close();
      sources.delete(source);
    }
  });
}

export function leaveJobs(sources) {
  sources.forEach((source) => source.close());
  sources.late?.forEach(clearTimeout);
}

async function figures(job) {
  const found = await ask("GET", `/v1/evaluations/${job.id}`);
  return h("div", {}, summary(found.report), h("div", { className: "row" }, found.files.map((name) => h("a", { href: `/v1/evaluations/${job.id}/${name}`, target: "_blank", rel: "noopener" }, name))));
}

function summary(report) {
  const there = (value) => value !== undefined && value !== null;
  const row = (title, text) => h("tr", {}, h("th", { scope: "row" }, title), h("td", {}, text));
  const rows = SHOWN.filter((name) => there(report[name])).map((name) => {
    const value = report[name];
    const interval = report.intervals?.[name] ?? report[`${name}_interval`];
    const text = typeof value === "object" ? `${number(value.mean, 4)}${value.stderr === undefined ? "" : ` ± ${number(value.stderr, 4)}`}` : number(value, 4);
    return row(t(`m_${name}`), Array.isArray(interval) ? t("interval", { v: text, a: number(interval[0], 4), b: number(interval[1], 4) }) : text);
  });
  for (const [rate, point] of Object.entries(report.tar_at_fmr ?? {})) if (there(point?.tar)) rows.push(row(t("m_tar", { f: percent(Number(rate)) }), number(point.tar, 4)));
  for (const name of RATES) if (typeof report.bpcer_at_apcer?.[name] === "number") rows.push(row(t(`m_${name}`), number(report.bpcer_at_apcer[name], 4)));
  return h("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": t("report") }, h("table", {}, h("caption", { className: "visually-hidden" }, t("report")), h("tbody", {}, rows)));
}
