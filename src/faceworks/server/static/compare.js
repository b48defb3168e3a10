// Two pictures, one answer: the verdict, the similarity on a scale with its threshold, how sure, and who says so.
import { ask, facts, h, modelLines, say, working } from "./page.js";
import { Picker, pasteInto } from "./picture.js";
import { number, oneIn, percent, t } from "./text.js";

export function compareView(main) {
  const ready = () => { go.disabled = a.empty || b.empty; };
  const a = new Picker(t("picture_a"), { onchange: ready });
  const b = new Picker(t("picture_b"), { onchange: ready });
  const result = h("section", { className: "result", "aria-live": "polite", "aria-label": t("compare_go") });
  const fmr = h("select", {}, h("option", { value: "" }, t("fmr_default")), [1e-2, 1e-3, 1e-4, 1e-5].map((rate) => h("option", { value: String(rate) }, oneIn(rate))));
  const go = h("button", { type: "button", disabled: true, onclick: () => working(go, compare, result) }, t("compare_go"));

  async function compare() {
    const form = new FormData();
    form.append("a", a.files[0]);
    form.append("b", b.files[0]);
    if (fmr.value) form.append("fmr", fmr.value);
    const answer = await ask("POST", "/v1/verify", { form });
    const kind = { true: "same", false: "different", null: "review" }[String(answer.verified)];
    await Promise.all([a.show([answer.faces[0]], kind), b.show([answer.faces[1]], kind)]);
    result.replaceChildren(verdict(answer, kind), await modelLines(answer.models));
    say(t(kind));
  }

  main.append(h("h1", {}, t("compare_title")), h("p", { className: "hint" }, t("compare_hint")), h("div", { className: "two" }, a.node, b.node),
    h("div", { className: "row card" }, h("label", {}, t("fmr"), fmr), go), result);
  return pasteInto([a, b]);
}

export function scale(similarity, threshold, kind, chance) {
  const place = (value) => `${Math.min(100, Math.max(0, value * 100))}%`;
  const value = h("span", { className: `value ${kind}` });
  const tick = h("span", { className: "tick" });
  const over = h("span", { className: "over" }, `${t("similarity")} ${number(similarity)}`, chance ? h("span", { className: "small" }, ` · ${chance}`) : null);
  const under = h("span", { className: "under" }, `${t("threshold")} ${number(threshold)}`);
  value.style.width = place(similarity);
  tick.style.left = place(threshold);
  const half = chance ? "9.2rem" : "4.5rem"; // half of the longest label: it stays inside, and in the middle where there is no room
  over.style.left = `clamp(min(50%, ${half}), ${place(similarity)}, max(50%, calc(100% - ${half})))`;
  under.style.left = `clamp(4.5rem, ${place(threshold)}, calc(100% - 4.5rem))`;
  return h("div", { className: `scale ${kind}`, role: "img", "aria-label": t("scale", { s: number(similarity), t: number(threshold), f: chance }) }, value, tick, over, under);
}

function verdict(answer, kind) {
  const cosine = answer.metric === "cosine";
  const known = answer.fmr !== null && answer.probability !== null;
  const rate = known ? oneIn(answer.fmr) : "";
  return h("div", { className: "card" }, h("p", { className: `verdict ${kind}` }, t(kind)), cosine ? scale(answer.similarity, 1 - answer.threshold, kind, known ? t("chance", { f: rate }) : "") : null,
    facts([
      [t("how_sure"), known ? t("sure", { p: percent(answer.probability), f: rate }) : t("unsure")],
      [t("from"), linked(answer.threshold_source)],
    ]));
}

// A source's addresses as links; nothing is asked there until somebody follows one.
const linked = (text) => text.split(/(https?:\/\/[^\s)]+)/).map((part, index) => (index % 2 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part));
