// The lines of a page as a list, its plain text, and the time that each stage took.

import { element, sentence } from "./problems.js";
import { Roving } from "./roving.js";
import { duration, percent } from "./text.js";

const LOW_SCORE = 0.6;
const STAGES = {
  load: "Decode the file",
  prepare: "Prepare the image",
  detect: "Detect text",
  boxes: "Find boxes",
  crop: "Cut out lines",
  direction: "Turn lines upright",
  fit: "Prepare lines",
  recognize: "Recognize text",
  text: "Decode characters",
};

export class LineList {
  /** on: { hover(index or -1), select(index), cross(index) } */
  constructor({ list, scroller }, on) {
    Object.assign(this, { list, scroller });
    this.buttons = [];
    this.roving = new Roving(list, () => this.buttons);
    const index = (event) => this.buttons.indexOf(event.target.closest?.("button"));
    list.addEventListener("pointerover", (event) => on.hover(index(event)));
    list.addEventListener("pointerleave", () => on.hover(-1));
    list.addEventListener("focusin", (event) => on.select(index(event)));
    list.addEventListener("click", (event) => {
      if (index(event) >= 0) {
        // detail is 0 for the Enter key, and the number of clicks for a mouse.
        (event.detail === 0 ? on.cross : on.select)(index(event));
      }
    });
  }

  show(lines) {
    const items = lines.map((line, index) => {
      const item = element("li");
      item.append(lineButton(line, index));
      return item;
    });
    this.buttons = items.map((item) => item.firstChild);
    this.list.replaceChildren(...items);
    this.roving.makeStop(0);
    this.scroller.scrollTop = 0;
  }

  /** Show gray bars while the text is not known. */
  showSkeleton() {
    this.buttons = [];
    this.list.replaceChildren(...Array.from({ length: 6 }, () => element("li", "", "skeleton")));
  }

  highlight(index, { scrolls }) {
    this.buttons.forEach((button, number) => {
      button.classList.toggle("active", number === index);
    });
    const button = this.buttons[index];
    if (!button) {
      return;
    }
    this.roving.makeStop(index);
    if (scrolls) {
      reveal(this.scroller, button);
    }
  }
}

function lineButton(line, index) {
  const button = element("button", "", "line");
  button.type = "button";
  button.tabIndex = -1;
  const number = element("span", String(index + 1), "line-number");
  const words = element("span", line.text || "(no characters)", line.text ? "line-text" : "line-text empty");
  words.dir = "auto";
  const score = element("span", percent(line.text_score), "score");
  score.title = `Text score ${line.text_score.toFixed(3)}, box score ${line.box_score.toFixed(3)}`;
  if (line.text_score < LOW_SCORE) {
    score.classList.add("low");
    score.prepend(element("span", "low ", "score-word"));
  }
  button.append(number, words, element("span", ", text score ", "visually-hidden"), score);
  return button;
}

/** Scroll the container so far that the target is visible, and nothing else. */
function reveal(container, target) {
  const [outer, inner] = [container.getBoundingClientRect(), target.getBoundingClientRect()];
  if (inner.top < outer.top) {
    container.scrollTop -= outer.top - inner.top + 8;
  } else if (inner.bottom > outer.bottom) {
    container.scrollTop += inner.bottom - outer.bottom + 8;
  }
}

/** Fill the table of stages, and return the sum of their seconds. */
export function showTimes(table, seconds) {
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const longest = Math.max(...Object.values(seconds), 1e-9);
  const rows = Object.entries(seconds).map(([stage, value]) => {
    const name = element("th", STAGES[stage] ?? stage);
    name.scope = "row";
    const place = element("td", "", "bar-place");
    const bar = element("span", "", "bar-of-time");
    bar.style.setProperty("width", `${(100 * value) / longest}%`);
    place.append(bar);
    place.setAttribute("aria-hidden", "true");
    const row = element("tr");
    row.append(name, place, element("td", duration(value), "number"));
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  return total;
}

/** Return what the reader of a page should know: the service's warnings, and doubtful lines. */
export function notesOf({ lines, warnings = [] }) {
  const low = lines.filter((line) => line.text_score < LOW_SCORE).length;
  const what = low === 1 ? "1 line has a text score" : `${low} lines have a text score`;
  const about = `${what} below ${percent(LOW_SCORE)}; compare with the image.`;
  return low > 0 ? [...warnings.map(sentence), about] : warnings.map(sentence);
}
