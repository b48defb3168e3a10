// Small parts of the page: elements without markup strings (what people type is never parsed as HTML), requests, messages, lines about models.
import { getLanguage, known, t } from "./text.js";

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name === "className" ? "class" : name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const session = { role: "read", csrf: "", name: "", keyless: false, signedIn: false };
export const may = (role) => ["read", "enroll", "admin"].indexOf(session.role) >= ["read", "enroll", "admin"].indexOf(role);

export class RequestFailed extends Error {
  constructor(status, detail, type = "") {
    const key = `p_${type.replace(/^urn:faceworks:problem:/, "").replaceAll("-", "_")}`;
    // what the service says is English and names the particular; in another language the kind of error is said first
    super(known(key) && getLanguage() !== "en" ? `${t(key)} (${detail})` : detail);
    this.status = status;
  }
}

export async function ask(method, path, { json, form, quiet = false } = {}) {
  const headers = {};
  if (session.csrf) headers["X-CSRF-Token"] = session.csrf;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && !path.endsWith("/session")) headers["Idempotency-Key"] = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  let answer;
  for (let attempt = 0; ; attempt += 1) {
    try {
      answer = await fetch(path, { method, headers, body: json !== undefined ? JSON.stringify(json) : form, credentials: "same-origin" });
    } catch {
      throw new RequestFailed(0, t("offline"));
    }
    const wait = Number(answer.headers.get("Retry-After"));
    if (![429, 503].includes(answer.status) || attempt === 2 || !(wait > 0 && wait < 10) || quiet) break;
    await new Promise((go) => { setTimeout(go, wait * 1000); });
  }
  if (answer.status === 204) return null;
  const content = (answer.headers.get("Content-Type") ?? "").includes("json") ? await answer.json() : await answer.text();
  if (!answer.ok) {
    if (answer.status === 401 && session.signedIn && !quiet) dispatchEvent(new Event("signed-out"));
    throw new RequestFailed(answer.status, content.detail ?? String(answer.status), content.type);
  }
  return content;
}

export function say(text) { document.getElementById("status").textContent = text; }

export function toast(text, label, action) {
  const close = () => node.remove();
  const node = h("div", { className: "toast" }, h("span", {}, text), h("button", { type: "button", onclick: () => { close(); action?.(); } }, label ?? t("close")));
  document.getElementById("toasts").append(node);
  say(text);
  setTimeout(close, action ? 60000 : 12000);
}

// Run what a button begins: the button rests meanwhile, an error is said.
export async function working(button, work, place) {
  button.disabled = true;
  say(t("busy"));
  place?.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RequestFailed)) throw error;
    if (place) place.replaceChildren(h("p", { className: "error", role: "alert" }, error.message));
    else toast(error.message);
    return undefined;
  } finally {
    button.disabled = false;
    place?.removeAttribute("aria-busy");
  }
}

let catalog = null;
export async function modelLines(models) {
  catalog ??= Object.fromEntries((await ask("GET", "/v1/models")).items.map((item) => [item.name, item]));
  const lines = [];
  for (const [role, value] of Object.entries(models)) {
    const card = catalog[value.split("@")[0]];
    if (card) lines.push(h("li", {}, h("b", {}, card.name), ` (${t(role) === role ? role : t(role)}) — ${t("license")}: ${card.license.weights === "none" ? t("no_weights") : card.license.weights}, `, card.license.commercial_use ? t("commercial") : t("no_commercial")));
  }
  return h("div", {}, h("h3", {}, t("models")), h("ul", { className: "small" }, lines), h("p", { className: "hint" }, t("caution")));
}

// A file to be chosen: the browser's own control would speak the browser's language, not the page's.
export function filePick(label, accept, onchange) {
  const name = h("span", { className: "small" }, t("no_file"));
  const input = h("input", { type: "file", accept, className: "visually-hidden", "aria-label": `${label}: ${t("choose_file")}`, onchange: () => {
    name.textContent = input.files[0]?.name ?? t("no_file");
    onchange?.();
  } });
  return { input, node: h("div", { className: "field" }, h("span", { className: "title" }, label), h("label", { className: "filepick" }, input, h("span", { className: "button quiet" }, t("choose_file")), name)) };
}

export const facts = (rows) => h("dl", { className: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export function ask_first(text, label, action) {
  const dialog = h("dialog", { "aria-label": text }, h("p", {}, text), h("div", { className: "row" },
    h("button", { type: "button", className: "quiet", onclick: () => dialog.close() }, t("cancel")),
    h("button", { type: "button", className: "danger", onclick: () => { dialog.close(); action(); } }, label)));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
