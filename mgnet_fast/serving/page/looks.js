// Sends an image to the service in the Open Inference Protocol and draws where the network looked.

const model = JSON.parse(document.getElementById("model").textContent);
const COLOURS = ["#d81b60", "#1e88e5", "#ffb300", "#00897b", "#8e24aa", "#f4511e", "#6d4c41", "#7cb342"];
const LONGEST_SIDE = 480; // of the drawing, in CSS pixels
const OUTPUTS = ["label", "glimpses", "regions", "glimpse_of_region", "logits_after_each"];
const BAR_WIDTH = 60;

const byId = (id) => document.getElementById(id);
let newest = 0; // answers to earlier images are not shown any more

byId("name").textContent = model.name;

function colourOf(glimpse) {
  return COLOURS[(glimpse - 1) % COLOURS.length];
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((each) => Math.exp(each - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((each) => each / sum);
}

/** The box of a region (s, x, y) or (s_x, s_y, x, y) in an image of the given size, in pixels. */
function boxOf(region, width, height) {
  const [x, y] = region.slice(-2);
  const scaleX = region[0];
  const scaleY = region.length === 4 ? region[1] : region[0];
  return {
    left: ((x - scaleX + 1) / 2) * width,
    top: ((y - scaleY + 1) / 2) * height,
    width: scaleX * width,
    height: scaleY * height,
  };
}

function nameOf(label) {
  return model.classes ? model.classes[label] : `class ${label}`;
}

/** Rows of a flat tensor [1, n, k]. */
function rowsOf(tensor) {
  const width = tensor.shape[2];
  return Array.from({ length: tensor.shape[1] }, (_, n) => tensor.data.slice(n * width, (n + 1) * width));
}

/** What the response says: one entry per glimpse. */
function looksOf(response) {
  const tensors = Object.fromEntries(response.outputs.map((each) => [each.name, each]));
  const regions = rowsOf(tensors.regions);
  const of = tensors.glimpse_of_region.data;
  return rowsOf(tensors.logits_after_each).map((logits, n) => {
    const probabilities = softmax(logits);
    const label = probabilities.indexOf(Math.max(...probabilities));
    return {
      glimpse: n + 1,
      regions: regions.filter((_, look) => of[look] === n + 1),
      label,
      confidence: probabilities[label],
    };
  });
}

async function ask(file) {
  const header = new TextEncoder().encode(JSON.stringify({
    inputs: [{
      name: "files", datatype: "BYTES", shape: [1],
      parameters: { binary_data_size: file.size + 4 },
    }],
    outputs: OUTPUTS.map((name) => ({ name })),
  }));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, file.size, true);
  const response = await fetch(`/v2/models/${model.name}/infer`, {
    method: "POST",
    headers: {
      "Content-Type": "application/octet-stream",
      "Inference-Header-Content-Length": String(header.length),
    },
    body: new Blob([header, length, file]),
  });
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  return looksOf(answer);
}

function draw(image, looks) {
  const canvas = byId("canvas");
  const shrink = LONGEST_SIDE / Math.max(image.width, image.height);
  const sharpness = window.devicePixelRatio || 1;
  const [width, height] = [image.width * shrink, image.height * shrink].map((side) => Math.max(1, Math.round(side)));
  canvas.width = width * sharpness;
  canvas.height = height * sharpness;
  canvas.style.width = `${width}px`;
  const pen = canvas.getContext("2d");
  pen.scale(sharpness, sharpness);
  pen.imageSmoothingEnabled = shrink < 1;
  pen.drawImage(image, 0, 0, width, height);
  pen.lineWidth = 3;
  pen.font = "bold 14px system-ui, sans-serif";
  pen.textBaseline = "top";
  for (const look of looks) {
    pen.strokeStyle = pen.fillStyle = colourOf(look.glimpse);
    for (const region of look.regions) {
      const box = boxOf(region, width, height);
      // Boxes at the border are drawn inside, so that their lines are seen.
      const left = Math.max(1.5, box.left), top = Math.max(1.5, box.top);
      const right = Math.min(width - 1.5, box.left + box.width), bottom = Math.min(height - 1.5, box.top + box.height);
      pen.strokeRect(left, top, right - left, bottom - top);
      pen.fillRect(left - 1.5, top - 1.5, 20, 20);
      pen.fillStyle = "#fff";
      pen.fillText(String(look.glimpse), left + 4, top + 2);
      pen.fillStyle = pen.strokeStyle;
    }
  }
}

function cell(...content) {
  const made = document.createElement("td");
  made.append(...content);
  return made;
}

function span(name, style) {
  const made = document.createElement("span");
  made.className = name;
  Object.assign(made.style, style);
  return made;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function list(looks) {
  byId("looks").replaceChildren(...looks.map((look) => {
    const box = boxOf(look.regions[0], 1, 1);
    const row = document.createElement("tr");
    row.append(
      cell(span("swatch", { background: colourOf(look.glimpse) })),
      cell(String(look.glimpse)),
      cell(look.regions.length > 1 ? `${look.regions.length} places` : percent(box.width * box.height)),
      cell(nameOf(look.label)),
      cell(span("bar", { width: `${BAR_WIDTH * look.confidence}px` }), percent(look.confidence)),
    );
    return row;
  }));
  const last = looks[looks.length - 1];
  const count = looks.length === 1 ? "1 glimpse" : `${looks.length} glimpses`;
  byId("answer").textContent = `${nameOf(last.label)} (${percent(last.confidence)}) after ${count}`;
}

function say(text, isError = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", isError);
}

async function show(file) {
  const mine = ++newest;
  say("looking ...");
  try {
    const [looks, image] = await Promise.all([
      ask(file),
      createImageBitmap(file).catch(() => null), // the server reads formats that browsers do not
    ]);
    if (mine !== newest) return;
    byId("result").hidden = false;
    byId("canvas").hidden = image === null;
    if (image !== null) draw(image, looks);
    list(looks);
    say(file.name || "");
  } catch (error) {
    if (mine !== newest) return;
    byId("result").hidden = true;
    say(error.message, true);
  }
}

const drop = byId("drop");
byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) show(event.target.files[0]);
  event.target.value = "";
});
// Anywhere on the page: a browser would open a file that is dropped beside the field.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) show(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) show(event.clipboardData.files[0]);
});
