// The result of one file: progress, pages, the image with its boxes, and the text.

import { LineList, notesOf, showTimes } from "./line_list.js";
import { element, showProblem } from "./problems.js";
import { copyText, downloadJson, duration, plainText, plural, shownName } from "./text.js";
import { Viewer } from "./viewer.js";

export class ResultView {
  #selected = -1;
  #hovered = -1;
  #notes = [];
  #shown = null; // the entry of the page on the screen

  /** find: id -> element; current: returns the reading on the screen. */
  constructor(find, current) {
    this.find = find;
    this.current = current;
    this.viewer = new Viewer(
      {
        stage: find("stage"), callout: find("callout"),
        zoomIn: find("zoom-in"), zoomOut: find("zoom-out"), zoomText: find("zoom"),
      },
      this.#links(() => this.lines.buttons, "box"),
    );
    this.lines = new LineList(
      { list: find("lines"), scroller: find("text-body") },
      this.#links(() => this.viewer.boxes, "line"),
    );
    this.#listen();
  }

  /** Connect a line in the list with its box, in both directions. */
  #links(partners, from) {
    return {
      hover: (index) => {
        this.#hovered = index;
        this.#highlight(from);
      },
      select: (index) => {
        this.#selected = index;
        this.#highlight(from);
      },
      cross: (index) => partners()[index]?.focus(),
    };
  }

  #highlight(from) {
    const index = this.#hovered >= 0 ? this.#hovered : this.#selected;
    this.viewer.highlight(index, { scrolls: from !== "box" });
    this.lines.highlight(index, { scrolls: from !== "line" });
  }

  #listen() {
    const { find } = this;
    find("copy").addEventListener("click", async () => {
      const { documents } = this.current();
      const count = documents.reduce((sum, { lines }) => sum + (lines?.length ?? 0), 0);
      const isCopied = await copyText(plainText(documents));
      this.#say(isCopied ? `Copied ${plural(count, "line")}` : "The browser does not allow copying; select the plain text instead");
    });
    find("download").addEventListener("click", () => {
      downloadJson(this.current().documents, this.current().file.name);
    });
    find("cancel").addEventListener("click", () => this.current()?.cancel());
    find("previous").addEventListener("click", () => this.#turnTo(this.current().page - 1));
    find("next").addEventListener("click", () => this.#turnTo(this.current().page + 1));
    find("page").addEventListener("change", () => this.#turnTo(Number(find("page").value)));
  }

  /** Show a file that is being read. */
  begin(reading, notes) {
    this.#notes = notes;
    document.title = `${shownName(reading.file.name)} · ocr-trt`;
    this.find("result-title").replaceChildren(element("bdi", shownName(reading.file.name)));
    reading.addEventListener("change", () => this.current() === reading && this.#update(reading));
    reading.addEventListener("progress", (event) => this.current() === reading && this.#progress(event.detail));
    this.#showPage(reading);
    this.#progress({ share: 0 });
    this.find("cancel").hidden = false;
  }

  #say(text) {
    this.find("status").textContent = text;
  }

  #progress({ share, wait }) {
    const bar = this.find("progress");
    const { page, total, pages } = this.current();
    bar.hidden = false;
    if (wait) {
      this.#say(`The service is busy; trying again in ${plural(wait, "second")}`);
    } else if (pages.size > 0) {
      bar.value = pages.size / total;
    } else if (share < 1) {
      bar.value = share;
      this.#say("Uploading");
    } else {
      bar.removeAttribute("value"); // how long reading takes is not known
      this.#say(total > 1 ? `Reading page ${page}` : "Reading");
    }
  }

  #update(reading) {
    this.find("progress").hidden = !reading.isRunning;
    this.find("cancel").hidden = !reading.isRunning;
    this.#showPages(reading);
    const isUnread = !reading.isRunning && !this.#shown;
    if (isUnread || reading.pages.get(reading.page) !== this.#shown) {
      this.#showPage(reading);
    }
    this.#say(summary(reading));
  }

  #showPages({ page, pages, total }) {
    const { find } = this;
    find("pages").hidden = total === 1;
    const select = find("page");
    if (select.length !== total) {
      select.replaceChildren(...Array.from({ length: total }, (_, index) => new Option(`Page ${index + 1} of ${total}`, index + 1)));
    }
    select.value = page;
    find("previous").setAttribute("aria-disabled", String(page === 1));
    find("next").setAttribute("aria-disabled", String(page === total));
  }

  #turnTo(page) {
    const reading = this.current();
    if (page < 1 || page > reading.total) {
      return;
    }
    reading.page = page;
    this.#showPages(reading);
    this.#showPage(reading);
    this.#say(summary(reading));
    // A page that is not read yet comes next; problems are kept with their page.
    reading.run().catch(() => {});
  }

  #showPage(reading) {
    const { find } = this;
    const entry = reading.pages.get(reading.page);
    const document = entry?.document?.lines ? entry.document : null;
    const lines = document?.lines ?? [];
    const isBusy = !entry && !(reading.isStopped && !reading.isRunning);
    this.#shown = entry;
    // The first line is selected, which shows what selecting does.
    this.#selected = lines.length > 0 ? 0 : -1;
    this.#hovered = -1;
    find("result").setAttribute("aria-busy", String(isBusy));
    find("result").classList.toggle("busy", isBusy);
    for (const id of ["copy", "download"]) {
      find(id).disabled = reading.documents.length === 0;
    }
    this.#showImage(reading);
    this.viewer.showBoxes(document);
    if (isBusy) {
      this.lines.showSkeleton();
    } else {
      this.lines.show(lines);
    }
    this.#showEmpty(entry, lines);
    this.#showDetails(entry, document);
    this.#highlight("");
  }

  #showEmpty(entry, lines) {
    const empty = this.find("no-lines");
    empty.hidden = !entry || lines.length > 0;
    const error = entry?.problem ?? entry?.document?.error;
    if (error) {
      // An error of one page: its text stays with the page.
      showProblem(empty, { code: error.code ?? error.type, message: error.message });
    } else {
      empty.textContent = "No text was found. Small or faint text needs an image with a higher resolution.";
    }
  }

  #showDetails(entry, document) {
    const { find } = this;
    find("size").textContent = document ? `${document.width} × ${document.height} px` : "";
    find("plain-part").hidden = !document?.lines.length;
    find("plain").textContent = document ? plainText([document]) : "";
    find("time-part").hidden = !document;
    if (document) {
      const total = showTimes(find("times"), document.seconds);
      find("time-total").textContent = `${duration(total)}; ${duration(entry.elapsed)} with upload and waiting`;
    }
    const notes = [...this.#notes, ...(document ? notesOf(document) : [])];
    find("notes").replaceChildren(...notes.map((note) => element("li", note)));
    find("notes").hidden = notes.length === 0;
  }

  async #showImage(reading) {
    const { page } = reading;
    const name = shownName(reading.file.name);
    const label = reading.total > 1 ? `Page ${page} of ${name}` : name;
    const isCurrent = () => this.current() === reading && reading.page === page;
    // Before page 1 is read, only an image that the browser can decode itself is shown.
    const known = reading.pages.get(page)?.document;
    if (this.preview?.reading !== reading || this.preview.page !== page) {
      this.preview = { reading, page, image: null };
      this.viewer.resetZoom();
      this.viewer.showImage(null);
    }
    try {
      let image = this.preview.image ?? (await reading.preview(page));
      if (known && !reading.fits(page, image)) {
        image = await reading.preview(page);
      }
      if (isCurrent()) {
        this.preview.image = image;
        this.viewer.showImage(image, label);
        this.#highlight("");
      }
    } catch {
      if (isCurrent() && known) {
        this.find("notes").append(element("li", "The image cannot be shown here; the text was read."));
        this.find("notes").hidden = false;
      }
    }
  }
}

/** Return the text of the status line for a reading. */
function summary({ page, pages, total, isRunning, isStopped }) {
  const { document } = pages.get(page) ?? {};
  const parts = [];
  if (document?.lines) {
    parts.push(`${plural(document.lines.length, "line")} in ${duration(Object.values(document.seconds).reduce((a, b) => a + b, 0))}`);
  } else if (pages.has(page)) {
    parts.push("This page was not read");
  } else if (isStopped && !isRunning) {
    parts.push("This page was not read, because you canceled");
  }
  if (total > 1) {
    parts.push(pages.size < total && !isRunning ? `${pages.size} of ${plural(total, "page")} read` : "");
    parts.push(isRunning ? `reading: ${pages.size} of ${plural(total, "page")} done` : "");
  }
  return parts.filter(Boolean).join(" · ");
}
