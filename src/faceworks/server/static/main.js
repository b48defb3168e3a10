// The frame: views by the hash, language, theme, sign-in.
import { analyzeView } from "./analyze.js";
import { compareView } from "./compare.js";
import { evaluationsView } from "./evaluations.js";
import { galleriesView } from "./galleries.js";
import { ask, h, session, toast, working } from "./page.js";
import { studiesView } from "./studies.js";
import { getLanguage, setLanguage, t } from "./text.js";

const VIEWS = { compare: compareView, analyze: analyzeView, galleries: galleriesView, evaluations: evaluationsView, studies: studiesView };
const main = document.getElementById("main");
const language = document.getElementById("language");
const theme = document.getElementById("theme");
let leave = () => {};

const kept = (name, usual) => { try { return localStorage.getItem(name) ?? usual; } catch { return usual; } };
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private window: nothing is kept */ } };
const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function frame() {
  const [view] = place();
  document.querySelectorAll("[data-t]").forEach((node) => { node.textContent = t(node.dataset.t); });
  document.querySelectorAll("[data-label]").forEach((node) => { node.setAttribute("aria-label", t(node.dataset.label)); });
  document.getElementById("nav").replaceChildren(...Object.keys(VIEWS).map((name) => h("a", { href: `#${name}`, "aria-current": name === view && session.signedIn ? "page" : null }, t(name))));
  theme.textContent = dark() ? t("theme_light") : t("theme_dark");
  const out = h("button", { type: "button", className: "quiet", onclick: () => working(out, async () => { await ask("DELETE", "/v1/session"); dispatchEvent(new Event("signed-out")); }) }, t("sign_out"));
  const name = session.keyless ? t("local") : `${session.name} (${t(`role_${session.role}`)})`;
  document.getElementById("who").replaceChildren(...(session.signedIn ? [h("span", { className: "small" }, name), session.keyless ? "" : out] : []));
}

function place() {
  const [view, ...rest] = location.hash.slice(1).split("/");
  return [VIEWS[view] ? view : "compare", rest.join("/")];
}

function show(focus = true) {
  leave();
  leave = () => {};
  main.replaceChildren();
  frame();
  if (session.signedIn) {
    const [view, rest] = place();
    document.title = `${t(view)} · faceworks`;
    leave = VIEWS[view](main, rest) ?? (() => {});
  } else signIn();
  if (focus) main.focus();
}

function signIn() {
  document.title = `${t("sign_in")} · faceworks`;
  const key = h("input", { type: "password", autocomplete: "current-password", id: "key" });
  const go = h("button", { type: "submit" }, t("sign_in"));
  const wrong = h("div", {});
  main.append(h("h1", {}, t("sign_in")), h("form", { className: "card", onsubmit: (event) => {
    event.preventDefault();
    working(go, async () => {
      Object.assign(session, await ask("POST", "/v1/session", { json: { key: key.value.trim() } }), { signedIn: true });
      show();
    }, wrong);
  } }, h("div", { className: "row" }, h("label", {}, t("key"), key), go), h("p", { className: "hint" }, t("key_hint")), wrong));
}

language.addEventListener("change", () => { setLanguage(language.value); keep("language", language.value); show(false); });
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; keep("theme", document.documentElement.dataset.theme); frame(); });
addEventListener("hashchange", () => { if (location.hash !== "#main") show(); });
addEventListener("signed-out", () => { Object.assign(session, { signedIn: false, csrf: "", role: "read" }); show(); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());
addEventListener("unhandledrejection", (event) => toast(event.reason?.message ?? String(event.reason)));

setLanguage(kept("language", navigator.language.startsWith("ko") ? "ko" : "en"));
language.value = getLanguage();
const chosen = kept("theme", "");
if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
try {
  Object.assign(session, await ask("GET", "/v1/session", { quiet: true }), { signedIn: true });
} catch (error) {
  if (error.status !== 401) toast(error.message);
}
show(false);
