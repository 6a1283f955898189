// One file and the pages that were read so far.
//
// Documents are read page by page: the first page appears soon, progress is visible, and a long
// document does not exceed the deadline of one request.

import { Problem } from "./api.js";

const MOST_UPLOAD = 256 * 2 ** 20; // bytes; a document that needs more is read on demand
const PREVIEWS_KEPT = 6;
const RETRIES = 4;

export class Reading extends EventTarget {
  #api;
  #abort = new AbortController();
  #previews = new Map(); // page -> promise of an image
  #isRunning = false;
  #isClosed = false;

  constructor(api, file, limits) {
    super();
    this.#api = api;
    this.file = file;
    this.limits = limits;
    this.total = 1; // pages of the file
    this.page = 1; // the page on the screen
    this.isStopped = false; // by the user: only the page on the screen is read
    this.pages = new Map(); // page -> { document, elapsed } or { problem }
  }

  get isRunning() {
    return this.#isRunning;
  }

  /** The documents of the pages that were read, in order, as the service returned them. */
  get documents() {
    return [...this.pages].sort(([a], [b]) => a - b).flatMap(([, entry]) => entry.document ?? []);
  }

  /** Stop reading; a page that the user turns to is still read. */
  cancel() {
    this.isStopped = true;
    this.#abort.abort();
  }

  /** Stop for good, and free the memory of the previews. */
  close() {
    this.#isClosed = true;
    this.cancel();
    this.#previews.forEach((preview) => preview.then(release, () => {}));
    this.#previews.clear();
  }

  /** Read the pages that are missing. Rejects if the first page cannot be read. */
  async run() {
    if (this.#isRunning || this.#isClosed) {
      return;
    }
    this.#isRunning = true;
    this.#abort = new AbortController();
    try {
      for (let page = this.#nextPage(); page; page = this.#nextPage()) {
        await this.#readPage(page);
      }
    } catch (problem) {
      if (problem.code !== "canceled" || this.pages.size === 0) {
        throw problem;
      }
    } finally {
      this.#isRunning = false;
      this.dispatchEvent(new Event("change"));
    }
  }

  /** The page on the screen comes first, then the others if the uploads are not too large. */
  #nextPage() {
    if (!this.pages.has(this.page)) {
      return this.page;
    }
    if (this.isStopped) {
      return 0;
    }
    const most = Math.min(this.limits.pages ?? 50, Math.floor(MOST_UPLOAD / (this.file.size + 1)));
    for (let page = 1; page <= Math.min(this.total, most); page += 1) {
      if (!this.pages.has(page)) {
        return page;
      }
    }
    return 0;
  }

  async #readPage(page) {
    const start = performance.now();
    try {
      const blob = await this.#patiently(`/v1/ocr?page=${page}`, (detail) => this.#report(detail));
      const [document] = JSON.parse(await blob.text());
      this.total = document.pages ?? this.total;
      this.pages.set(page, { document, elapsed: (performance.now() - start) / 1000 });
    } catch (problem) {
      if (this.pages.size === 0 || problem.code === "canceled") {
        throw problem;
      }
      this.pages.set(page, { problem });
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Post the file; wait and try again while the service is overloaded. */
  async #patiently(path, report = () => {}) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#api.post(path, this.file, {
          signal: this.#abort.signal,
          onUpload: (share) => report({ share }),
        });
      } catch (problem) {
        if (problem.status !== 503 || problem.code === "stopping" || attempt > RETRIES) {
          throw problem;
        }
        const seconds = Math.min(problem.retryAfter || 1, 10);
        report({ wait: seconds });
        await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
        if (this.#abort.signal.aborted) {
          throw new Problem("canceled", "You canceled the request.");
        }
      }
    }
  }

  #report(detail) {
    this.dispatchEvent(new CustomEvent("progress", { detail }));
  }

  /**
   * Return an image of a page: the file itself if the browser shows it as the service reads it, else
   * from the service. Rejects if only the service can decode the page and it has not been read.
   */
  preview(page) {
    if (!this.#previews.has(page)) {
      const preview = this.#load(page);
      preview.catch(() => this.#previews.delete(page));
      this.#previews.set(page, preview);
      this.#forgetOldest(page);
    }
    return this.#previews.get(page);
  }

  #forgetOldest(kept) {
    for (const [page, preview] of this.#previews) {
      if (this.#previews.size > PREVIEWS_KEPT && page !== kept) {
        this.#previews.delete(page);
        preview.then(release, () => {});
      }
    }
  }

  async #load(page) {
    if (page === 1 && this.total === 1 && (await isShownAlike(this.file))) {
      const own = await decoded(this.file).catch(() => null);
      const document = this.pages.get(1)?.document;
      if (own && (!document || sameShape(own, document))) {
        return own;
      }
    }
    if (!this.pages.has(page)) {
      throw new Problem("not_read", "The page has not been read yet.");
    }
    return decoded(await this.#patiently(`/v1/preview?page=${page}`));
  }

  /** Return whether an image has the size that a document states; if not, forget the image. */
  fits(page, image) {
    const document = this.pages.get(page)?.document;
    const fits = !document?.width || sameShape(image, document);
    if (!fits) {
      this.#previews.delete(page);
    }
    return fits;
  }
}

/**
 * Return whether a browser shows a file as the service reads it. Chromium ignores the orientation of
 * WebP files, and browsers play animations, of which the service reads one frame.
 */
async function isShownAlike(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isJpeg = first === 0xff && second === 0xd8;
  const isPng = first === 0x89 && second === 0x50;
  const isBmp = first === 0x42 && second === 0x4d;
  return isJpeg || isPng || isBmp;
}

/** Previews may be scaled down, so only the proportions are compared; rounding changes them. */
function sameShape(image, document) {
  const scale = Math.max(image.naturalWidth, image.naturalHeight) / Math.max(document.width, document.height);
  return Math.abs(image.naturalWidth - scale * document.width) <= 1
    && Math.abs(image.naturalHeight - scale * document.height) <= 1;
}

async function decoded(blob) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } catch (error) {
    release(image);
    throw error;
  }
  return image;
}

function release(image) {
  URL.revokeObjectURL(image.src);
}
