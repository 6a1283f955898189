// The page of the service: from a file to boxes and text.

import { Api, Problem } from "./api.js";
import { checkReadable, listenForFiles, showSamples } from "./intake.js";
import { element, showProblem } from "./problems.js";
import { Reading } from "./reading.js";
import { ResultView } from "./result_view.js";
import { bytes, plural, shownName } from "./text.js";

const find = (id) => document.getElementById(id);
const api = new Api();
const START_TITLE = document.title;
let limits = {};
let reading = null;
const view = new ResultView(find, () => reading);

/** Show the start or the result, and let a screen reader begin at its title. */
function showSection(isResult) {
  find("start").hidden = isResult;
  find("result").hidden = !isResult;
}

function fail(problem, { file = null } = {}) {
  const onRetry = file ? () => open(file) : null;
  if (problem.code === "unauthorized") {
    askForToken(api.token ? "The token is wrong." : "");
  }
  const isShown = problem.code !== "canceled" && problem.code !== "unauthorized";
  showProblem(find("problem"), isShown ? problem : null, { fileName: file ? shownName(file.name) : "", onRetry });
}

/** Read a file and show what was found. */
async function open(file, files = 1) {
  reading?.close();
  const own = new Reading(api, file, limits);
  reading = own;
  showProblem(find("problem"), null);
  showSection(true);
  view.begin(own, files > 1 ? [`Only the first of ${files} files is read. POST /v1/ocr/batch reads several.`] : []);
  find("result-title").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  try {
    await checkReadable(file);
    if (file.size > (limits.body_bytes ?? Infinity)) {
      // The service closes the connection before it has read such a body, which a browser reports
      // without the answer.
      throw new Problem("body_too_large", `The file has ${bytes(file.size)}; ${bytes(limits.body_bytes)} are allowed.`, { status: 413 });
    }
    await own.run();
  } catch (problem) {
    if (reading === own) {
      restart();
      fail(known(problem), { file });
      (find("problem").querySelector("button") ?? find(find("token-form").hidden ? "start-title" : "token")).focus();
    }
  }
}

function known(error) {
  return error instanceof Problem ? error : new Problem("unexpected", `The page has a defect: ${error.message}`);
}

/** Go back to the start. */
function restart() {
  reading?.close();
  reading = null;
  document.title = START_TITLE;
  showSection(false);
}

function askForToken(message) {
  find("token-form").hidden = false;
  find("token-error").textContent = message;
  find("token").focus();
}

/** Ask the service what it runs and accepts; also finds out whether it requires a token. */
async function connect() {
  try {
    const info = await (await api.get("/v1/info")).json();
    limits = info.limits;
    find("token-form").hidden = true;
    find("limits").textContent = `JPEG, PNG, WebP, TIFF, HEIC, PDF and others; up to ${bytes(limits.body_bytes)} and ${plural(limits.pages, "page")}`;
    showAbout(info);
    await showSamples(api, { section: find("samples"), list: find("sample-list"), more: find("more-samples") }, open, fail);
  } catch (problem) {
    fail(known(problem));
  }
}

function showAbout({ version, bundles }) {
  const parts = Object.values(bundles).filter(Boolean).map(({ name, target, precision }) => `${name} (${target}, ${precision})`);
  const about = find("about");
  about.replaceChildren(element("span", `ocr-trt ${version}`), ...parts.map((part) => element("span", part)));
}

find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = find("token").value.trim();
  if (!/^[!-~]+$/.test(token)) {
    askForToken("A token has only letters, digits and ASCII punctuation.");
    return;
  }
  api.token = token;
  find("token").value = "";
  connect().then(() => find("token-form").hidden && find("start-title").focus());
});
find("new").addEventListener("click", () => {
  restart();
  showProblem(find("problem"), null);
  find("start-title").focus();
});
listenForFiles({ input: find("file"), overlay: find("dropping") }, open, fail);
connect();
