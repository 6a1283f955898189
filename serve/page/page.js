// Reads the file that the user chooses, and shows the lines of its pages.
const state = document.querySelector("#state");
const lines = document.querySelector("#lines");

async function read(file) {
  state.textContent = "Reading…";
  lines.replaceChildren();
  const type = file.type || "application/octet-stream";
  const response = await fetch("/v1/ocr", { method: "POST", body: file, headers: { "Content-Type": type } });
  const data = await response.json();
  if (!response.ok) {
    state.textContent = data.error.message;
    return;
  }
  const all = data.flatMap((page) => page.lines ?? []);
  state.textContent = `${all.length} lines`;
  for (const line of all) {
    const item = document.createElement("li");
    item.textContent = line.text; // textContent: text is never HTML
    lines.append(item);
  }
}

document.querySelector("#file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) {
    read(file).catch((error) => { state.textContent = `The service does not answer: ${error.message}`; });
  }
});
