// Shows an error: the message of the service, and what the user can do.

const ADVICE = {
  body_too_large: "Scale the image down, save it as JPEG, or split the document into parts.",
  broken_image: "Open the file in another program and save it again. Remove the password of an encrypted document.",
  canceled: "",
  deadline_exceeded: "Try again in a moment, or choose a smaller image.",
  image_too_large: "Scale the image down, or split the document into parts.",
  internal: "Try another file. If it happens again, send the request ID to the person who runs the service.",
  invalid_body: "Choose another file; this one is empty.",
  network: "Check that the service is running and that you are connected to it. Then try again.",
  not_a_file: "Save the image to a file first, then drop or choose that file. The service does not open addresses.",
  out_of_memory: "Try again in a moment, or scale the image down.",
  overloaded: "Other images are being read. Try again in a moment.",
  request_timeout: "The upload took too long. Choose a smaller file, or use a faster connection.",
  starting: "The service is still starting. Try again in a few seconds.",
  stopping: "The service is shutting down. Try again when it is running again.",
  unauthorized: "Enter the access token above.",
  unreadable_file: "Folders cannot be read. If it is a file, check that it still exists and that you may open it.",
  unsupported_format: "Choose an image (JPEG, PNG, WebP, TIFF, HEIC, BMP or GIF) or a PDF document.",
};
const TEMPORARY = new Set([
  "deadline_exceeded", "internal", "network", "out_of_memory", "overloaded", "request_timeout",
  "starting", "stopping", "unexpected",
]);

/** Fill the alert with a problem; null empties it. onRetry is offered where a retry can help. */
export function showProblem(place, problem, { fileName = "", onRetry = null } = {}) {
  if (problem === null) {
    place.replaceChildren();
    return;
  }
  const title = element("h2", fileName ? "This file was not read: " : "This did not work");
  if (fileName) {
    title.append(element("bdi", fileName));
  }
  const card = element("div", "", "card problem");
  card.append(title, element("p", sentence(problem.message)));
  const advice = ADVICE[problem.code] ?? "Try again, or choose another file.";
  if (advice) {
    card.append(element("p", advice));
  }
  const facts = element("p", "", "muted facts");
  facts.append("Code ", element("code", problem.code));
  if (problem.status) {
    facts.append(` · HTTP status ${problem.status}`);
  }
  if (problem.requestId) {
    facts.append(" · request ID ", element("code", problem.requestId));
  }
  card.append(facts);
  if (onRetry && TEMPORARY.has(problem.code)) {
    const retry = element("button", "Try again", "button");
    retry.type = "button";
    retry.addEventListener("click", onRetry);
    card.append(retry);
  }
  place.replaceChildren(card);
}

/** Create an element with text, which is never parsed as HTML. */
export function element(tag, text = "", className = "") {
  const created = document.createElement(tag);
  created.textContent = text;
  if (className) {
    created.className = className;
  }
  return created;
}

/** Return text with a capital at its start and a full stop at its end. */
export function sentence(text) {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
