// The image of a page with its boxes, and the line below it that shows one of them enlarged.

import { element } from "./problems.js";
import { Roving } from "./roving.js";
import { describe, percent } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const ZOOMS = [1, 1.5, 2, 3, 4, 6];
const LARGEST_FIT = 3; // a small image is enlarged at most this much to fit
const MANY_LINES = 60; // thinner boxes hide less of small text
const CROP_HEIGHT = 44; // CSS pixels

export class Viewer {
  #image = null;
  #document = null;
  #zoom = 0;

  /** on: { hover(index or -1), select(index), cross(index) } */
  constructor({ stage, callout, zoomIn, zoomOut, zoomText }, on) {
    Object.assign(this, { stage, callout, zoomIn, zoomOut, zoomText, on });
    this.boxes = [];
    this.sheet = element("div", "", "sheet");
    this.svg = svgElement("svg", { preserveAspectRatio: "none", role: "group" });
    stage.append(this.sheet);
    this.roving = new Roving(this.sheet, () => this.boxes);
    zoomIn.addEventListener("click", () => this.#setZoom(this.#zoom + 1));
    zoomOut.addEventListener("click", () => this.#setZoom(this.#zoom - 1));
    new ResizeObserver(() => this.#layOut()).observe(stage.parentElement);
    this.#listen();
  }

  #listen() {
    const index = (event) => this.boxes.indexOf(event.target);
    // On the sheet: Chromium adds an <svg> that listens for the focus to the tab order.
    this.sheet.addEventListener("pointerover", (event) => this.on.hover(index(event)));
    this.sheet.addEventListener("pointerleave", () => this.on.hover(-1));
    this.sheet.addEventListener("focusin", (event) => this.on.select(index(event)));
    this.sheet.addEventListener("click", (event) => index(event) >= 0 && this.on.select(index(event)));
    this.sheet.addEventListener("keydown", (event) => {
      if (index(event) >= 0 && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        this.on.cross(index(event));
      }
    });
  }

  /** Show an image; null: none yet. */
  showImage(image, label) {
    this.#image = image;
    this.sheet.replaceChildren();
    if (image) {
      image.alt = label;
      image.draggable = false;
      this.sheet.append(image, this.svg);
      this.#layOut();
    }
  }

  /** Show the boxes of a page; null: none. */
  showBoxes(document) {
    this.#document = document;
    const lines = document?.lines ?? [];
    this.svg.replaceChildren();
    this.boxes = lines.map((line, index) => box(line, index));
    if (document) {
      this.svg.setAttribute("viewBox", `0 0 ${document.width} ${document.height}`);
      const halo = svgElement("path", { class: "halo", d: lines.map(outline).join("") });
      this.svg.append(halo, ...this.boxes);
    }
    this.svg.setAttribute("aria-label", `Boxes of ${lines.length} lines`);
    this.svg.classList.toggle("dense", lines.length > MANY_LINES);
    this.roving.makeStop(0);
    this.#layOut();
  }

  /** Emphasize one line, and show it below the image; -1: none. */
  highlight(index, { scrolls }) {
    this.boxes.forEach((each, number) => each.classList.toggle("active", number === index));
    this.callout.replaceChildren();
    const line = this.#document?.lines?.[index];
    if (!line) {
      return;
    }
    this.roving.makeStop(index);
    if (scrolls && this.#zoom > 0) {
      center(this.stage, this.boxes[index]);
    }
    const words = element("p", line.text || "(no characters)", "callout-text");
    words.dir = "auto";
    const scores = `Text ${percent(line.text_score)} · box ${percent(line.box_score)}`;
    this.callout.append(...this.#crop(line), words, element("p", scores, "muted"));
  }

  /** Cut a line out of the image, turned upright. */
  #crop({ quad }) {
    const [topLeft, topRight, , bottomLeft] = quad;
    const [across, down] = [minus(topRight, topLeft), minus(bottomLeft, topLeft)];
    const [width, height] = [Math.hypot(...across), Math.hypot(...down)];
    if (!this.#image || width < 1 || height < 1) {
      return [];
    }
    const ratio = window.devicePixelRatio || 1;
    const shown = Math.min(CROP_HEIGHT, (CROP_HEIGHT * 12 * height) / width);
    const canvas = element("canvas", "", "crop");
    canvas.setAttribute("aria-hidden", "true");
    canvas.height = Math.max(1, Math.round(shown * ratio));
    canvas.width = Math.max(1, Math.round((shown * ratio * width) / height));
    canvas.style.setProperty("height", `${shown}px`);
    // The matrix maps the unit square to the quad; its inverse maps the quad to the canvas.
    const preview = this.#image.naturalWidth / this.#document.width;
    const matrix = new DOMMatrix([...across, ...down, ...topLeft]).inverse();
    const context = canvas.getContext("2d");
    context.setTransform(new DOMMatrix().scale(canvas.width, canvas.height).multiply(matrix));
    context.scale(1 / preview, 1 / preview);
    context.drawImage(this.#image, 0, 0);
    return [canvas];
  }

  resetZoom() {
    this.#setZoom(0);
  }

  #setZoom(zoom) {
    this.#zoom = Math.min(Math.max(zoom, 0), ZOOMS.length - 1);
    const isLargest = this.#zoom === ZOOMS.length - 1;
    // aria-disabled keeps the focus on the button, which disabled would lose.
    this.zoomOut.setAttribute("aria-disabled", String(this.#zoom === 0));
    this.zoomIn.setAttribute("aria-disabled", String(isLargest));
    this.zoomText.textContent = this.#zoom === 0 ? "Fit" : `${ZOOMS[this.#zoom]}×`;
    // A region that scrolls must be reachable by keyboard.
    this.stage.tabIndex = this.#zoom === 0 ? -1 : 0;
    this.#layOut();
  }

  /** Give the sheet its size: all of the image fits into the stage, times the zoom. */
  #layOut() {
    const image = this.#image;
    if (!image || !image.naturalWidth || !this.stage.clientWidth) {
      return;
    }
    const style = getComputedStyle(this.stage);
    const highest = parseFloat(style.maxHeight) || 600;
    const wide = this.stage.clientWidth;
    const fit = Math.min(wide / image.naturalWidth, highest / image.naturalHeight, LARGEST_FIT);
    const scale = fit * ZOOMS[this.#zoom];
    this.sheet.style.setProperty("width", `${image.naturalWidth * scale}px`);
    this.sheet.style.setProperty("height", `${image.naturalHeight * scale}px`);
    this.stage.classList.toggle("zoomed", this.#zoom > 0);
  }
}

function box(line, index) {
  const shape = svgElement("polygon", {
    points: shapeOf(line).map((corner) => corner.join(",")).join(" "),
    class: "box",
    role: "button",
    tabindex: "-1",
    "aria-label": describe(line, index),
  });
  return shape;
}

/** The polygon of a line, or its quad if the detector returns no polygons. */
function shapeOf(line) {
  return line.polygon ?? line.quad;
}

function outline(line) {
  return `M${shapeOf(line).map((corner) => corner.join(" ")).join("L")}Z`;
}

function svgElement(tag, attributes) {
  const created = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    created.setAttribute(name, value);
  }
  return created;
}

function minus([x, y], [fromX, fromY]) {
  return [x - fromX, y - fromY];
}

/** Scroll only inside the container. */
function center(container, target) {
  const [outer, inner] = [container.getBoundingClientRect(), target.getBoundingClientRect()];
  container.scrollBy({
    left: (inner.left + inner.right - outer.left - outer.right) / 2,
    top: (inner.top + inner.bottom - outer.top - outer.bottom) / 2,
  });
}
