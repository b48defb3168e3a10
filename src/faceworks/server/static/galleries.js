// Galleries: people as a grid, enroll by drop, identify, remove with undo, the log.
import { ask, ask_first, h, may, modelLines, say, toast, working } from "./page.js";
import { Picker, pasteInto } from "./picture.js";
import { known, moment, number, percent, t } from "./text.js";

export function galleriesView(main, name) {
  let leave = () => {};
  const top = h("div", { className: "card" });
  const body = h("div", {});
  main.append(h("h1", {}, t("galleries")), top, body);

  async function begin() {
    const { items } = await ask("GET", "/v1/galleries?limit=200");
    const chosen = items.find((item) => item.name === name) ?? items[0];
    const choice = h("select", { onchange: () => { location.hash = `#galleries/${choice.value}`; } }, items.map((item) => h("option", { value: item.name, selected: item === chosen }, item.name)));
    const fresh = h("input", { pattern: "[a-z0-9][a-z0-9_-]*", maxLength: 64, autocomplete: "off" });
    const make = h("button", { type: "button", onclick: () => working(make, async () => {
      const made = await ask("POST", "/v1/galleries", { json: { name: fresh.value.trim() } });
      if (location.hash === `#galleries/${made.name}`) dispatchEvent(new Event("hashchange")); else location.hash = `#galleries/${made.name}`;
    }) }, t("create"));
    top.replaceChildren(h("div", { className: "row" }, items.length ? h("label", {}, t("gallery"), choice) : h("p", {}, t("none_yet")),
      may("admin") ? h("label", {}, `${t("new_gallery")} (${t("name_rule")})`, fresh) : null, may("admin") ? make : null));
    if (chosen) leave = gallery(body, chosen);
  }

  begin().catch((error) => top.replaceChildren(h("p", { className: "error", role: "alert" }, error.message)));
  return () => leave();
}

function gallery(body, info) {
  const base = `/v1/galleries/${info.name}`;
  const summary = h("p", { className: "hint" });
  const grid = h("ul", { className: "grid" });
  const more = h("button", { type: "button", className: "quiet", hidden: true }, t("more"));
  const search = h("input", { type: "search", onchange: () => people(true) });
  let next = null;

  async function refresh() {
    const now = await ask("GET", base);
    summary.textContent = t("people_n", { p: now.people, s: now.samples, m: now.model ? now.model.split("@")[0] : t("no_model") });
    await people(true);
  }

  async function people(afresh) {
    const query = new URLSearchParams({ limit: "24" });
    if (search.value.trim()) query.set("q", search.value.trim());
    if (!afresh && next) query.set("cursor", next);
    const page = await ask("GET", `${base}/people?${query}`);
    next = page.next;
    more.hidden = !next;
    if (afresh) grid.replaceChildren();
    grid.append(...page.items.map(card));
    if (!grid.children.length) grid.append(h("li", {}, t("nobody")));
  }

  function card(person) {
    const initials = [...person.name].filter((letter) => /\S/.test(letter)).slice(0, 2).join("");
    const remove = h("button", { type: "button", className: "danger", "aria-label": `${t("remove")}: ${person.name}`, onclick: () => working(remove, async () => {
      await ask("DELETE", `${base}/people/${encodeURIComponent(person.id)}`);
      await refresh();
      toast(t("removed", { name: person.name }), t("undo"), async () => {
        await ask("POST", `${base}/people/${encodeURIComponent(person.id)}/restore`);
        await refresh();
        say(t("restored", { name: person.name }));
      });
    }) }, t("remove"));
    return h("li", {}, h("article", { className: "person" }, h("span", { className: "initials", "aria-hidden": "true" }, initials), h("b", {}, person.name),
      h("span", { className: "small" }, t("samples_n", { n: person.samples }), person.quality === null ? "" : ` · ${t("quality")} ${number(person.quality, 0)}`),
      h("div", { className: "row" }, h("button", { type: "button", className: "quiet", "aria-label": `${t("details")}: ${person.name}`, onclick: () => details(person) }, t("details")), may("enroll") ? remove : null)));
  }

  async function details(person) {
    const found = await ask("GET", `${base}/people/${encodeURIComponent(person.id)}`);
    const name = h("input", { value: found.name });
    const rename = h("button", { type: "button", onclick: () => working(rename, async () => {
      await ask("PATCH", `${base}/people/${encodeURIComponent(person.id)}`, { json: { name: name.value } });
      dialog.close();
      await refresh();
    }) }, t("rename"));
    const rows = found.samples.map((item) => h("tr", {}, h("td", {}, item.time ? moment(item.time) : ""), h("td", {}, item.quality === null ? "" : number(item.quality, 0)), h("td", {}, item.consent), h("td", {}, item.expires ? moment(item.expires) : t("never"))));
    const head = [t("time"), t("quality"), t("consent"), t("expires")].map((word) => h("th", { scope: "col" }, word));
    const forget = h("button", { type: "button", className: "danger", onclick: () => working(forget, async () => {
      await ask("DELETE", `${base}/people/${encodeURIComponent(person.id)}?forget=true`);
      dialog.close();
      await refresh();
    }) }, t("forget"));
    const dialog = h("dialog", { "aria-label": found.name }, h("h2", {}, found.name), h("p", { className: "small" }, `id ${found.id}`),
      may("enroll") ? h("div", { className: "row" }, h("label", {}, t("person_name"), name), rename) : null,
      h("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": t("sample") }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))),
      h("div", { className: "row" }, h("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, t("close")), may("admin") ? forget : null));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  // enroll
  const person = h("input", { autocomplete: "off" });
  const consent = h("input", { autocomplete: "off" });
  const outcome = h("div", { "aria-live": "polite" });
  const pictures = new Picker(t("enroll"), { many: true, onchange: () => { add.disabled = pictures.empty; } });
  const add = h("button", { type: "button", disabled: true, onclick: () => working(add, async () => {
    const form = new FormData();
    form.append("name", person.value);
    if (consent.value) form.append("consent", consent.value);
    pictures.files.forEach((file) => form.append("pictures", file));
    const answer = await ask("POST", `${base}/people`, { form });
    const taken = answer.pictures.filter((item) => item.sample !== null).length;
    const notes = answer.pictures.flatMap((item) => [...item.warnings, ...(item.error ? [item.error] : [])].map((text) => h("li", {}, `${item.source}: ${text}`)));
    const text = t("enrolled", { name: answer.person.name, n: taken, m: answer.pictures.length });
    outcome.replaceChildren(h("p", { className: "same" }, text), h("ul", { className: "small" }, notes));
    say(text);
    await refresh();
  }, outcome) }, t("enroll_go"));

  // identify
  const who = new Picker(t("identify"), { onchange: () => { look.disabled = who.empty; } });
  const answer = h("div", { "aria-live": "polite" });
  const look = h("button", { type: "button", disabled: true, onclick: () => working(look, async () => {
    const form = new FormData();
    form.append("pictures", who.files[0]);
    form.append("k", "3");
    const found = await ask("POST", `${base}/identify`, { form });
    const { faces } = found.results[0];
    await who.show(faces.map((item) => item.face), "plain", faces.map((item, index) => item.person ?? String(index + 1)));
    answer.replaceChildren(...(faces.length ? faces.map(named) : [h("p", {}, t("no_face"))]), await modelLines(found.models));
    say(faces.map((item) => item.person ?? t("stranger")).join(", "));
  }, answer) }, t("identify_go"));

  // the log
  const log = h("div", {});
  const audit = h("button", { type: "button", className: "quiet", onclick: () => working(audit, async () => {
    const { items, valid } = await ask("GET", `${base}/audit?limit=100`);
    const head = [t("time"), t("actor"), t("action"), t("count"), t("people")].map((word) => h("th", { scope: "col" }, word));
    log.replaceChildren(h("p", { className: valid ? "same" : "error" }, valid ? t("valid") : t("broken")),
      h("div", { className: "scroll", tabindex: "0", role: "region", "aria-label": t("audit") }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, items.map((line) =>
        h("tr", {}, h("td", {}, line.time ? moment(line.time) : ""), h("td", {}, line.actor), h("td", {}, done(line.action)), h("td", {}, String(line.count)), h("td", {}, line.people.join(", "))))))));
  }, log) }, t("show_log"));
  const destroy = h("button", { type: "button", className: "danger", onclick: () => ask_first(t("delete_sure", { name: info.name }), t("delete"), () => working(destroy, async () => {
    await ask("DELETE", base);
    if (location.hash === "#galleries") dispatchEvent(new Event("hashchange")); else location.hash = "#galleries";
  })) }, t("delete_gallery"));

  more.addEventListener("click", () => working(more, () => people(false)));
  body.replaceChildren(summary, h("div", { className: "two" },
    may("enroll") ? h("div", { className: "card" }, pictures.node, h("div", { className: "row" }, h("label", {}, t("person_name"), person), h("label", {}, t("consent"), consent), add), outcome) : null,
    h("div", { className: "card" }, who.node, h("div", { className: "row" }, look), answer)),
  h("div", { className: "card" }, h("h2", {}, t("people")), h("label", {}, t("search"), search), grid, more),
  may("admin") ? h("div", { className: "card" }, h("h2", {}, t("audit")), h("div", { className: "row" }, audit), log) : null,
  may("admin") ? h("div", { className: "card" }, h("h2", {}, t("danger")), h("p", { className: "hint" }, t("delete_hint")), destroy) : null);
  refresh().catch((error) => toast(error.message));
  return pasteInto(may("enroll") ? [who, pictures] : [who]);
}

const done = (action) => { const key = `did_${action.replaceAll(" ", "_")}`; return known(key) ? t(key) : action; };

function named(item) {
  const rows = item.candidates.map((match) => `${match.person} ${number(match.similarity)}${match.probability === null ? "" : ` (${percent(match.probability)})`}`);
  return h("p", {}, h("b", { className: item.person ? "same" : "different" }, item.person ?? t("stranger")), rows.length ? h("span", { className: "small" }, ` — ${t("candidates", { list: rows.join(", ") })}; ${t("threshold")} ${number(item.threshold)}`) : null);
}
