// Words about results, and text that leaves the page: the clipboard and files.

/** Return a score of 0..1 as a whole percentage that never rounds up to 100. */
export function percent(score) {
  return `${Math.floor(100 * score)}%`;
}

/** Return the text that a screen reader speaks for a line. */
export function describe(line, index) {
  return `Line ${index + 1}: ${line.text || "no characters"}, text score ${percent(line.text_score)}`;
}

export function plural(count, word) {
  return `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  return seconds < 1 ? `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(2)} s`;
}

export function bytes(count) {
  const mebibytes = count / 2 ** 20;
  return mebibytes >= 1 ? `${Number(mebibytes.toFixed(1))} MiB` : `${Math.ceil(count / 1024)} KiB`;
}

/** Return a file name to show: characters that are invisible or reorder others are replaced. */
export function shownName(name) {
  return name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd").slice(0, 200) || "unnamed";
}

/** Return the name for a download that belongs to a file. */
export function jsonName(name) {
  const base = name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "_").replace(/^[._]+/, "");
  return `${[...base].slice(0, 80).join("") || "result"}.json`;
}

/** Return the text of documents; an empty line is between pages. */
export function plainText(documents) {
  const pages = documents.filter((each) => each.lines).map((each) => each.lines.map((line) => line.text));
  return pages.map((lines) => lines.join("\n")).join("\n\n");
}

/** Copy text; returns whether that worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromElement(text); // navigator.clipboard exists on https and localhost only
  }
}

function copyFromElement(text) {
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return isCopied;
}

/** Save documents as the JSON that the service returned. */
export function downloadJson(documents, fileName) {
  const content = `${JSON.stringify(documents, null, 2)}\n`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = jsonName(fileName);
  link.click();
  // The download has begun when the next task runs in all browsers but a slow Safari.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
