// The ways in which a file arrives: chooser, drop, paste, and samples.

import { Problem } from "./api.js";
import { element } from "./problems.js";
import { shownName } from "./text.js";

const FIRST_SAMPLES = 6;

/** Call onFile(file, number of files) or onProblem(problem) for every file that a user gives. */
export function listenForFiles({ input, overlay }, onFile, onProblem) {
  const take = (files) => {
    if (files.length > 0) {
      onFile(files[0], files.length);
    } else {
      onProblem(new Problem("not_a_file", "There was no file in what you dropped or pasted."));
    }
  };
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length > 0) {
      take(files);
    }
  });
  listenForDrops(overlay, take);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    const isTyping = event.target instanceof HTMLInputElement;
    if (files.length > 0 || !isTyping) {
      event.preventDefault();
      take(files);
    }
  });
}

function listenForDrops(overlay, take) {
  let depth = 0; // dragenter and dragleave also fire for every child
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  const show = (by) => {
    depth = Math.max(0, depth + by);
    overlay.hidden = depth === 0;
  };
  document.addEventListener("dragenter", (event) => hasFiles(event) && show(1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // otherwise the browser leaves the page and opens the file
    show(-depth);
    const { files, types } = event.dataTransfer;
    // A part of this page's text that was dragged is neither a file nor an address.
    if (files.length > 0 || types.includes("text/uri-list")) {
      take([...files]);
    }
  });
}

/** Check that the browser can read a file; a folder that was dropped cannot be read. */
export async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Problem("unreadable_file", "The browser cannot read this file.");
  }
}

/** Show the samples of the service; onPick(file) for the one that the user clicks. */
export async function showSamples(api, { section, list, more }, onPick, onProblem) {
  const { samples } = await (await api.get("/v1/samples")).json();
  section.hidden = samples.length === 0;
  const show = (some) => list.append(...some.map((sample) => sampleItem(api, sample, onPick, onProblem)));
  list.replaceChildren();
  show(samples.slice(0, FIRST_SAMPLES));
  more.hidden = samples.length <= FIRST_SAMPLES;
  more.textContent = `Show all ${samples.length} samples`;
  more.onclick = () => {
    more.hidden = true;
    show(samples.slice(FIRST_SAMPLES));
    list.children[FIRST_SAMPLES].querySelector("button").focus();
  };
}

function sampleItem(api, { name, url }, onPick, onProblem) {
  const button = element("button", "", "sample");
  button.type = "button";
  const image = element("img");
  image.alt = "";
  image.draggable = false;
  const label = element("span", shownName(name).replace(/\.[^.]*$/, "").replaceAll("_", " "));
  button.append(image, label);
  // Requested with the token, which <img src> would not send.
  const load = async () => (await api.get(url)).blob();
  load().then((blob) => {
    image.src = URL.createObjectURL(blob);
    image.onload = () => URL.revokeObjectURL(image.src);
  }, () => {});
  button.addEventListener("click", async () => {
    try {
      const blob = await load();
      onPick(new File([blob], name, { type: blob.type }));
    } catch (problem) {
      onProblem(problem);
    }
  });
  const item = element("li");
  item.append(button);
  return item;
}
