// What faces show: bars for distributions, numbers with their spread.
import { ask, h, modelLines, say, working } from "./page.js";
import { Picker, pasteInto } from "./picture.js";
import { number, percent, t } from "./text.js";

const CHOICES = ["emotion", "age", "gender", "valence", "arousal", "quality", "pose", "liveness"];
const USUAL = ["emotion", "age", "gender"];

export function analyzeView(main) {
  const picker = new Picker(t("picture"), { onchange: () => { go.disabled = picker.empty; } });
  const result = h("section", { "aria-live": "polite", "aria-label": t("analyze_go") });
  const boxes = CHOICES.map((name) => h("input", { type: "checkbox", value: name, checked: USUAL.includes(name), id: `a-${name}` }));
  const go = h("button", { type: "button", disabled: true, onclick: () => working(go, analyze, result) }, t("analyze_go"));

  async function analyze() {
    const form = new FormData();
    form.append("pictures", picker.files[0]);
    const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
    if (wanted.length) form.append("attributes", wanted.join(","));
    const answer = await ask("POST", "/v1/analyze", { form });
    const { faces } = answer.results[0];
    await picker.show(faces, "plain", faces.map((_, index) => String(index + 1)));
    result.replaceChildren(...(faces.length ? faces.map(face) : [h("p", { className: "card" }, t("no_face"))]), await modelLines(answer.models));
    say(faces.length ? faces.map((_, index) => t("face_n", { n: index + 1 })).join(", ") : t("no_face"));
  }

  main.append(h("h1", {}, t("analyze_title")), h("p", { className: "hint" }, t("analyze_hint")), picker.node,
    h("div", { className: "card" }, h("fieldset", {}, h("legend", {}, t("attributes")), h("div", { className: "row" },
      boxes.map((box) => h("label", { for: box.id, className: "choice" }, box, ` ${t(box.value)}`)))), go), result);
  return pasteInto([picker]);
}

function face(found, index) {
  return h("article", { className: "card" }, h("h2", {}, t("face_n", { n: index + 1 })), Object.entries(found.attributes).map(([name, value]) => [
    h("h3", {}, t(name)), "probabilities" in value ? bars(value) : h("p", {}, scalar(value)),
  ]));
}

function scalar(value) {
  const unit = value.unit === "1" ? "" : t(value.unit);
  const shown = number(value.value, value.unit === "years" ? 0 : 2);
  if (value.spread) return t("spread", { v: shown, u: unit, s: number(value.spread, 1) });
  const [a, b] = value.range;
  return value.unit === "1" && a !== null && b !== null ? t("in_range", { v: shown, u: unit, a: number(a, 0), b: number(b, 0) }) : t("plain", { v: shown, u: unit });
}

export function bars(value) {
  const rows = Object.entries(value.probabilities).sort((x, y) => y[1] - x[1]);
  return h("div", {}, rows.map(([label, p]) => {
    const fill = h("span", {});
    fill.style.width = `${p * 100}%`;
    return h("div", { className: "bar" }, h("span", {}, label === value.label ? h("b", {}, t(label)) : t(label)), h("span", { className: "track", "aria-hidden": "true" }, fill), h("span", { className: "number" }, percent(p)));
  }), h("p", { className: "hint" }, t("doubt", { p: percent(value.entropy / Math.log(rows.length)), e: number(value.entropy, 2), m: number(Math.log(rows.length), 2) })));
}
