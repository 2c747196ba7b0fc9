// A page for any exported model: draw where it takes a picture, type numbers where it does not.
// ?model=NAME picks one. Nothing leaves the page. Where the package is installed from npm, the
// import is "nnlet-models".
import { load, models } from "../../browser.js";

const PEN = 0.115; // width of a stroke, as a part of the drawing
const FINE = 8; // each pixel of the model is the mean of so many squared
const SHOWN = 20; // values of an output without labels

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const ink = canvas.getContext("2d", { willReadFrequently: true });

const asked = new URLSearchParams(location.search).get("model");
let model;
let size; // of the picture that the model takes: { height, width }
let isClean = true;

try {
  show(await load(asked ?? (models.find(pictureOf) ?? models[0]).name));
} catch (error) {
  $("name").textContent = asked ?? "Models in this page";
  link(asked);
  fail(error);
}

function show(loaded) {
  model = loaded;
  size = pictureOf(model);
  document.title = `${model.name} in this page`;
  $("name").textContent = model.name;
  $("description").textContent = model.description;
  link(model.name);
  document.querySelector("main").hidden = false;
  $("drawing").hidden = !size;
  $("numbers").open = !size;
  $("form").addEventListener("submit", inferNumbers);
  if (size) prepareDrawing();
  if (Object.keys(model.example).length) showExample();
  $("about").textContent = about();
}

function link(current) {
  const names = [...new Set(models.map(({ name }) => name))];
  const links = names.map((name) => {
    const a = Object.assign(document.createElement("a"), { textContent: name, href: `?model=${name}` });
    if (name === current) a.ariaCurrent = "page";
    return a;
  });
  $("models").replaceChildren(...links);
}

/** Height and width, if the one input is a picture of one channel: [?, 1, h, w] or [?, h, w, 1]. */
function pictureOf({ inputs }) {
  const [, a, b, c] = inputs[0].shape;
  if (inputs.length > 1 || inputs[0].shape.length !== 4 || inputs[0].datatype !== "FP32") return null;
  const [height, width] = a === 1 ? [b, c] : c === 1 ? [a, b] : [];
  return height > 0 && width > 0 ? { height, width } : null;
}

// Drawing

function prepareDrawing() {
  Object.assign($("seen"), size);
  $("seen-size").textContent = `${size.height} × ${size.width}`;
  Object.assign(ink, { lineCap: "round", lineJoin: "round", lineWidth: PEN * canvas.width });
  let isWanted = false;
  let last = null;

  const stroke = (event) => {
    const scale = canvas.width / canvas.clientWidth;
    const point = [event.offsetX * scale, event.offsetY * scale];
    ink.beginPath();
    ink.moveTo(...(last ?? point));
    ink.lineTo(...point);
    ink.stroke();
    last = point;
    if (isWanted) return;
    isWanted = true; // one answer for each frame on the screen is enough
    requestAnimationFrame(() => {
      isWanted = false;
      inferPixels(pixels());
    });
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (isClean) wipe();
    isClean = false;
    canvas.setPointerCapture(event.pointerId);
    last = null;
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) stroke(event);
  });
  $("clear").addEventListener("click", () => {
    wipe();
    isClean = true;
    $("hint").hidden = false;
    $("summary").textContent = "";
    $("outputs").replaceChildren();
    paint(new Float32Array(size.height * size.width));
    forgive();
  });
  $("example").addEventListener("click", showExample);
  $("example").hidden = Object.keys(model.example).length === 0;
}

function wipe() {
  ink.clearRect(0, 0, canvas.width, canvas.height);
  $("hint").hidden = true;
}

/** The drawing as the model knows drawings: scaled to the frame, ink 1, paper 0. */
function pixels() {
  const [left, top, right, bottom] = bounds();
  const [width, height] = [size.width * FINE, size.height * FINE];
  const scale = Math.min(width / (right - left), height / (bottom - top));
  const fine = new OffscreenCanvas(width, height).getContext("2d");
  fine.translate(width / 2, height / 2);
  fine.scale(scale, scale);
  fine.drawImage(canvas, -(left + right) / 2, -(top + bottom) / 2);
  const alpha = fine.getImageData(0, 0, width, height).data;
  const found = new Float32Array(size.height * size.width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = Math.floor(y / FINE) * size.width + Math.floor(x / FINE);
      found[at] += alpha[4 * (y * width + x) + 3] / (255 * FINE * FINE);
    }
  }
  return found;
}

/** Left, top, right and bottom of what is drawn. */
function bounds() {
  const { width, height } = canvas;
  const { data } = ink.getImageData(0, 0, width, height);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[4 * (y * width + x) + 3] === 0) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    }
  }
  return [left, top, right, bottom];
}

/** Show the pixels that the model is given. */
function paint(values) {
  const seen = $("seen").getContext("2d");
  const image = seen.createImageData(size.width, size.height);
  values.forEach((value, index) => (image.data[4 * index + 3] = 255 * value));
  seen.putImageData(image, 0, 0);
}

// Inputs

function showExample() {
  if (size) {
    wipe();
    isClean = true; // the first stroke begins a drawing
    paint(Float32Array.from(Object.values(model.example)[0].flat(Infinity)));
    ink.imageSmoothingEnabled = false;
    ink.drawImage($("seen"), 0, 0, canvas.width, canvas.height);
  }
  write(model.example);
  infer(model.example);
}

function inferPixels(values) {
  paint(values);
  const inputs = { [model.inputs[0].name]: values };
  write(Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, rounded(data)])));
  infer(inputs);
}

function inferNumbers(event) {
  event.preventDefault();
  try {
    infer(JSON.parse($("values").value));
  } catch (error) {
    fail(error);
  }
}

function rounded(values) {
  return Array.from(values, (value) => Number(value.toFixed(3)));
}

function write(inputs) {
  $("values").value = JSON.stringify(inputs);
}

// Answers

function infer(inputs) {
  try {
    const start = performance.now();
    const outputs = model.infer(inputs);
    const milliseconds = performance.now() - start;
    forgive();
    $("outputs").replaceChildren(...Object.entries(outputs).map(draw));
    $("summary").textContent = summary(outputs, milliseconds);
  } catch (error) {
    fail(error);
  }
}

function summary(outputs, milliseconds) {
  const scores = Object.values(outputs).find(isScores);
  const time = `${milliseconds < 0.1 ? "less than 0.1" : milliseconds.toFixed(1)} ms`;
  if (!scores) return `Answered in ${time}`;
  const best = rows(scores).find(({ isBest }) => isBest);
  return best ? `${best.label} (${best.text}), in ${time}` : `No answer: the scores are no numbers`;
}

/** Whether an output is one row with a label for each value. */
function isScores({ data, labels }) {
  return labels !== undefined && labels.length === data.length;
}

/** One line for each value that is shown: its label, its text, its bar from 0 to 1. */
function rows(output) {
  const { data, labels } = output;
  const values = Array.from(data, Number).slice(0, isScores(output) ? data.length : SHOWN);
  const most = Math.max(...values.map(Math.abs));
  const best = isScores(output) ? values.indexOf(Math.max(...values)) : -1;
  const isProbability = labels !== undefined && values.every((value) => value >= 0 && value <= 1);
  return values.map((value, index) => ({
    label: labels?.[index % labels.length] ?? String(index),
    text: isProbability ? `${(100 * value).toFixed(1)} %` : String(Number(value.toPrecision(6))),
    part: isProbability ? value : most > 0 ? Math.abs(value) / most : 0,
    isBest: index === best,
  }));
}

function draw([name, output]) {
  const list = element("ol", "bars");
  list.ariaLabel = `${name}, ${output.datatype} [${output.shape.join(", ")}]`;
  const lines = rows(output);
  list.append(...lines.map(drawLine));
  const hidden = output.data.length - lines.length;
  if (hidden > 0) list.append(element("li", "", `… ${hidden} more`));
  return list;
}

function drawLine({ label, text, part, isBest }) {
  const bar = element("span", "bar");
  bar.style.inlineSize = `${100 * part}%`;
  const track = element("span", "track");
  track.ariaHidden = "true";
  track.append(bar);
  const line = element("li", isBest ? "best" : "");
  line.append(element("span", "label", label), track, element("span", "value", text));
  return line;
}

function element(tag, className, textContent = "") {
  return Object.assign(document.createElement(tag), { className, textContent });
}

/** Say what is wrong, in the place of an answer. */
function fail(error) {
  $("summary").textContent = "";
  $("outputs").replaceChildren();
  $("error").textContent = error.message;
  $("error").hidden = false;
}

function forgive() {
  $("error").hidden = true;
}

/** What was downloaded for this, by the browser's own count. */
function about() {
  const entries = performance.getEntriesByType("resource").filter(({ name }) => /\.(js|wasm)$/.test(name));
  const bytes = entries.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
  return `${model.name} version ${model.version} runs in this page, in WebAssembly: ${Math.round(bytes / 1000)} kB were downloaded, nothing is sent.`;
}
