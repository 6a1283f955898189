// One tab stop for many elements: the arrow keys move the focus between them.

const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };

export class Roving {
  /** items: a function that returns the elements, in order. */
  constructor(container, items) {
    this.items = items;
    container.addEventListener("keydown", (event) => this.#onKey(event));
    container.addEventListener("focusin", (event) => this.makeStop(items().indexOf(event.target)));
  }

  #onKey(event) {
    const items = this.items();
    const index = items.indexOf(event.target);
    if (index < 0 || event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    const last = items.length - 1;
    const next = { Home: 0, End: last }[event.key] ?? index + (STEPS[event.key] ?? NaN);
    if (Number.isNaN(next)) {
      return;
    }
    event.preventDefault();
    items[Math.min(Math.max(next, 0), last)].focus();
  }

  /** Let the Tab key reach this element; others keep their place in reading order. */
  makeStop(index) {
    if (index < 0) {
      return;
    }
    this.items().forEach((item, number) => item.setAttribute("tabindex", number === index ? "0" : "-1"));
  }
}
