// Choosing pictures: button, drop, paste, camera; and showing one with boxes.
import { h, toast } from "./page.js";
import { t } from "./text.js";

const COLORS = { same: "#19a35b", different: "#d8443a", review: "#c08a14", plain: "#2f7de1" };

export class Picker {
  constructor(label, { many = false, onchange = () => {} } = {}) {
    this.label = label; this.many = many; this.onchange = onchange; this.files = [];
    const id = `file-${Math.random().toString(36).slice(2)}`;
    this.input = h("input", { type: "file", accept: "image/*", multiple: many, id, className: "visually-hidden", "aria-label": `${label}: ${t(many ? "choose_many" : "choose")}`, onchange: () => this.take([...this.input.files]) });
    this.canvas = h("canvas", { role: "img", "aria-label": label, hidden: true });
    this.video = h("video", { muted: true, playsInline: true, hidden: true, "aria-label": t("camera") });
    this.strip = h("div", { className: "strip", hidden: true });
    this.list = h("p", { className: "hint" }, many ? t("drop_many") : t("drop"));
    this.shoot = h("button", { type: "button", hidden: true, onclick: () => this.snap() }, t("shoot"));
    this.cameraButton = h("button", { type: "button", className: "quiet", onclick: () => this.camera() }, t("camera"));
    this.node = h("section", { className: "pick", "aria-label": label }, h("h2", {}, label), this.canvas, this.video, this.strip, this.list,
      h("div", { className: "row" }, this.input, h("label", { className: "button quiet", for: id }, many ? t("choose_many") : t("choose")), this.cameraButton, this.shoot));
    this.node.addEventListener("dragover", (event) => { event.preventDefault(); this.node.classList.add("over"); });
    this.node.addEventListener("dragleave", () => this.node.classList.remove("over"));
    this.node.addEventListener("drop", (event) => { event.preventDefault(); this.node.classList.remove("over"); this.take([...event.dataTransfer.files]); });
  }

  get empty() { return this.files.length === 0; }

  take(files) {
    const pictures = files.filter((file) => file.type.startsWith("image/") || /\.(hei[cf]|avif|tiff?|p[gp]m)$/i.test(file.name));
    if (!pictures.length) return;
    this.files = this.many ? pictures : pictures.slice(0, 1);
    this.list.textContent = this.files.map((file) => file.name).join(", ");
    if (this.files.length > 1) this.thumbnails(); else { this.strip.hidden = true; this.show([], "plain"); }
    this.onchange();
  }

  // Several pictures: a small one of each.
  async thumbnails() {
    this.canvas.hidden = true;
    const files = [...this.files];
    const shown = await Promise.all(files.map(async (file) => {
      const canvas = h("canvas", { role: "img", "aria-label": file.name });
      try {
        const bitmap = await createImageBitmap(file, { resizeHeight: 160, resizeQuality: "medium" });
        canvas.width = bitmap.width; canvas.height = bitmap.height;
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
      } catch { return h("span", { className: "small" }, file.name); } // a kind that the browser cannot show; the service may read it
      return canvas;
    }));
    if (files[0] !== this.files[0]) return;
    this.strip.replaceChildren(...shown);
    this.strip.hidden = false;
  }

  async show(faces, kind = "plain", labels = []) {
    let bitmap;
    try { bitmap = await createImageBitmap(this.files[0]); } catch { this.canvas.hidden = true; return; }
    const { canvas } = this;
    canvas.width = bitmap.width; canvas.height = bitmap.height; canvas.hidden = false;
    canvas.setAttribute("aria-label", `${this.label}: ${this.files[0].name}`);
    const pen = canvas.getContext("2d");
    pen.drawImage(bitmap, 0, 0);
    const width = Math.max(2, Math.round(bitmap.width / 160));
    pen.lineWidth = width; pen.strokeStyle = COLORS[kind]; pen.fillStyle = COLORS[kind]; pen.font = `${Math.max(12, 6 * width)}px system-ui, sans-serif`;
    faces.forEach((face, index) => {
      const [x1, y1, x2, y2] = face.box;
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      for (const [x, y] of face.landmarks ?? []) { pen.beginPath(); pen.arc(x, y, width * 0.9, 0, 7); pen.fill(); }
      if (labels[index]) {
        const size = Math.max(12, 6 * width);
        const top = Math.max(0, y1 - size * 1.3);
        pen.fillRect(x1, top, pen.measureText(labels[index]).width + size * 0.6, size * 1.3);
        pen.fillStyle = "#fff";
        pen.fillText(labels[index], x1 + size * 0.3, top + size);
        pen.fillStyle = COLORS[kind];
      }
    });
  }

  async camera() {
    if (this.stream) { this.stop(); return; }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch (error) {
      toast(t("no_camera", { why: error.message ?? String(error) }));
      return;
    }
    this.video.srcObject = this.stream;
    this.video.hidden = this.shoot.hidden = false; this.canvas.hidden = true;
    this.cameraButton.textContent = t("stop");
    await this.video.play();
    this.shoot.focus();
  }

  snap() {
    const still = h("canvas", { width: this.video.videoWidth, height: this.video.videoHeight });
    still.getContext("2d").drawImage(this.video, 0, 0);
    this.stop();
    still.toBlob((blob) => this.take([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.95);
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.hidden = this.shoot.hidden = true;
    this.cameraButton.textContent = t("camera");
  }
}

// Pasting goes to the first picker that is empty, else to the last.
export function pasteInto(pickers) {
  const listener = (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) (pickers.find((picker) => picker.empty) ?? pickers[pickers.length - 1]).take(files);
  };
  document.addEventListener("paste", listener);
  return () => { document.removeEventListener("paste", listener); pickers.forEach((picker) => picker.stop()); };
}
