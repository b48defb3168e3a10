// Studies: upload one zip, watch, open the report, rate faces, bring ratings back.
import { ask, filePick, h, may, toast, working } from "./page.js";
import { jobCard, leaveJobs } from "./evaluations.js";
import { getLanguage, t } from "./text.js";

export function studiesView(main) {
  const sources = new Set();
  const list = h("div", {});
  const { input: file, node: choice } = filePick(t("file"), ".zip", () => { go.disabled = !file.files.length; });
  const name = h("input", { maxLength: 200 });
  const go = h("button", { type: "button", disabled: true, onclick: () => working(go, async () => {
    const form = new FormData();
    form.append("name", name.value);
    form.append("language", getLanguage());
    form.append("file", file.files[0]);
    await ask("POST", "/v1/studies", { form });
    await refresh();
  }) }, t("begin"));

  async function refresh() {
    const { items } = await ask("GET", "/v1/studies?limit=50");
    list.replaceChildren(...(items.length ? items.map((job) => jobCard(job, sources, { title: job.parameters.name || job.parameters.file, finished: results })) : [h("p", {}, t("no_studies"))]));
  }

  async function results(job) {
    const found = await ask("GET", `/v1/studies/${job.id}`);
    const link = (path, text) => h("a", { className: "button quiet", href: `/v1/studies/${job.id}/${path}`, target: "_blank", rel: "noopener" }, text);
    const { input: ratings, node: choose } = filePick(t("ratings"), ".csv,.json", () => { add.disabled = !ratings.files.length; });
    const add = h("button", { type: "button", className: "quiet", disabled: true, onclick: () => working(add, async () => {
      const form = new FormData();
      form.append("file", ratings.files[0]);
      const begun = await ask("POST", `/v1/studies/${job.id}/ratings`, { form });
      watch.replaceChildren(jobCard(begun, sources, { title: t("ratings"), finished: async () => link("report.html", t("report")) }));
    }) }, t("add_ratings"));
    const watch = h("div", {});
    return h("div", {}, h("div", { className: "row" }, found.files.includes("report.html") ? link("report.html", t("report")) : null, found.files.includes("rating.html") ? link("rating.html", t("rate")) : null),
      may("enroll") ? h("div", { className: "row tight" }, choose, add) : null, watch,
      h("details", {}, h("summary", {}, t("files")), h("ul", { className: "small" }, found.files.map((path) => h("li", {}, h("a", { href: `/v1/studies/${job.id}/${path}`, target: "_blank", rel: "noopener" }, path))))));
  }

  main.append(h("h1", {}, t("study_title")), h("p", { className: "hint" }, t("study_hint")),
    may("admin") ? h("div", { className: "card" }, h("div", { className: "row" }, choice, h("label", {}, t("study_name"), name), go)) : h("p", { className: "hint" }, t("needs_role", { role: "admin" })), list);
  refresh().catch((error) => toast(error.message));
  return () => leaveJobs(sources);
}
