// The page of a function: a form for each model, its answer, and the same request as curl.

const models = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
let model = null;
let form = null;

/** A new element with text and children in it. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Forms: what a model takes. Each gives path and body of a request.

/** A field for each column of a table. */
function recordForm(place) {
  const example = exampleRecord(model);
  const fields = model.columns.map((column) => {
    const field = columnField(column);
    const label = make("label", {}, make("span", {}, column.name), field);
    if (column.range) label.append(make("small", {}, `${column.range[0]} to ${column.range[1]} in training`));
    place.append(label);
    return field;
  });
  const set = (value) => (column, i) => (fields[i].value = value(column) ?? "");
  return {
    fill: () => model.columns.forEach(set((column) => String(example[column.name] ?? ""))),
    clear: () => model.columns.forEach(set(() => "")),
    request() {
      const entries = model.columns.map((column, i) => [column.name, columnValue(column, fields[i].value)]);
      const record = Object.fromEntries(entries);
      return { path: `predict/${address(model)}`, body: JSON.stringify(record) };
    },
  };
}

function columnField(column) {
  const choices = column.type === "boolean" ? [true, false] : column.categories;
  if (!choices) return make("input", { inputmode: "decimal", autocomplete: "off", name: column.name });
  const options = choices.map((value) => make("option", {}, String(value)));
  return make("select", { name: column.name }, make("option", { value: "" }), ...options);
}

/** What a field says, as JSON has it. Text that is no number is sent as it is, to be refused in words. */
function columnValue(column, text) {
  if (text.trim() === "") return null;
  if (column.categories) return column.categories.find((value) => String(value) === text);
  if (column.type === "boolean") return text === "true";
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

/** The example's first row, by column. */
function exampleRecord(model) {
  const record = {};
  for (const column of model.columns) {
    const value = [model.example[column.input ?? column.name] ?? []].flat(2)[column.position ?? 0];
    record[column.name] = column.categories ? column.categories[value] : value;
    if (column.type === "boolean" && value !== undefined) record[column.name] = Boolean(value);
  }
  return record;
}

/** A pad for a model that takes one small image. */
function imageForm(place) {
  const [info] = model.inputs;
  const box = place.appendChild(make("div", { class: "pad" }));
  const pad = makePad(box, imageOf(info), info, model.example[info.name], ask);
  const shape = info.shape.map((size) => (size === -1 ? 1 : size));
  return {
    fill: pad.fill,
    clear: pad.clear,
    request: () => inferRequest([{ ...head(info), shape, data: pad.values() }]),
  };
}

/** A text for each input. */
function tensorForm(place) {
  const texts = model.inputs.map((info) => {
    const text = make("textarea", { rows: 5, spellcheck: "false", name: info.name });
    const title = `${info.name}: ${info.datatype} ${shapeText(info.shape)}, as JSON`;
    place.append(make("label", { class: "tensor" }, make("span", {}, title), text));
    return text;
  });
  const zeros = (info) => info.shape.reduceRight(
    (value, size) => Array(size === -1 ? 1 : size).fill(value),
    info.datatype === "BOOL" ? false : 0,
  );
  return {
    fill: () => model.inputs.forEach((info, i) => {
      texts[i].value = JSON.stringify(model.example[info.name] ?? zeros(info));
    }),
    clear: () => texts.forEach((text) => (text.value = "")),
    request: () => inferRequest(model.inputs.map((info, i) => {
      const data = parseTensor(info, texts[i].value);
      return { ...head(info), shape: shapeOf(data), data };
    })),
  };
}

function head(info) {
  return { name: info.name, datatype: info.datatype };
}

function parseTensor(info, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`input ${info.name}: found no JSON (${error.message}): expected nested lists of numbers`);
  }
}

function shapeOf(data) {
  return Array.isArray(data) ? [data.length, ...(data.length ? shapeOf(data[0]) : [])] : [];
}

function shapeText(shape) {
  return `[${shape.map((size) => (size === -1 ? "?" : size)).join(", ")}]`;
}

function inferRequest(inputs) {
  return { path: `v2/models/${address(model)}/infer`, body: JSON.stringify({ inputs }) };
}

/** A model's name in a path, with its version if it is not the newest. */
function address({ name, version, newest }) {
  return newest ? name : `${name}/versions/${version}`;
}

function formOf(model) {
  if (model.columns) return recordForm;
  return model.inputs.length === 1 && imageOf(model.inputs[0]) ? imageForm : tensorForm;
}

// Answers

/** What the Open Inference Protocol answers, by output. */
function showOutputs(place, outputs) {
  for (const output of outputs) {
    const labels = model.outputs.find(({ name }) => name === output.name)?.labels ?? [];
    place.append(make("h3", {}, output.name));
    const numbers = output.data.flat(Infinity);
    if (labels.length && numbers.length === labels.length) {
      place.append(bars(labels.map((label, i) => [label, numbers[i]])));
    } else {
      showValue(place, numbers.length === 1 ? numbers[0] : output.data);
    }
  }
}

/** What /predict answers: numbers by name become bars. */
function showRecord(place, record) {
  for (const [name, value] of Object.entries(record)) {
    place.append(make("h3", {}, name));
    const named = value !== null && typeof value === "object" && !Array.isArray(value);
    if (named) place.append(bars(Object.entries(value)));
    else showValue(place, value);
  }
}

function showValue(place, value) {
  if (typeof value === "object") place.append(make("pre", {}, JSON.stringify(value)));
  else place.append(make("p", { class: "value" }, String(value)));
}

/** Bars, the greatest first. Probabilities fill a part of the whole, other numbers one of the greatest. */
function bars(pairs) {
  const sorted = [...pairs].sort(([, a], [, b]) => b - a);
  const numbers = sorted.map(([, value]) => Math.abs(value));
  const whole = numbers.every((value) => value <= 1) ? 1 : Math.max(...numbers);
  const items = sorted.map(([label, value], i) => {
    const item = make("li", i ? {} : { class: "first" }, make("span", {}, label));
    item.append(make("span", {}, whole === 1 ? `${(100 * value).toFixed(1)} %` : String(value)));
    item.style.setProperty("--part", `${(100 * Math.abs(value)) / whole}%`);
    return item;
  });
  const LONG = 12;
  const list = make("ul", { class: "bars" }, ...items.slice(0, LONG));
  if (items.length <= LONG) return list;
  const rest = make("ul", { class: "bars" }, ...items.slice(LONG));
  const more = make("details", {}, make("summary", {}, `${items.length - LONG} more`), rest);
  return make("div", {}, list, more);
}

// What happens

/** Send what the form says, and show the answer. The newest request wins. */
let newest = 0;
async function ask() {
  const number = ++newest;
  try {
    const { path, body } = form.request();
    showCurl(path, body);
    const started = performance.now();
    const response = await fetch(path, { method: "POST", body, headers: { "content-type": "application/json" } });
    const text = await response.text();
    const took = performance.now() - started;
    if (number !== newest) return;
    const answer = parseAnswer(response, text);
    const place = make("div");
    if (answer.outputs) showOutputs(place, answer.outputs);
    else showRecord(place, answer);
    $("answer").replaceChildren(...place.children);
    $("took").textContent = `${took.toFixed(1)} ms, the way there and back included`;
    showError("");
  } catch (error) {
    if (number === newest) showError(error.message);
  }
}

function parseAnswer(response, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`the answer is no JSON (status ${response.status}): ${text.slice(0, 200)}`);
  }
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return answer;
}

function showError(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
  if (message) {
    $("answer").replaceChildren();
    $("took").textContent = "";
  }
}

function showCurl(path, body) {
  const quoted = body.replaceAll("'", "'\\''");
  $("curl").textContent = `curl -s ${new URL(path, location.href)} -d '${quoted}'`;
}

/** The form's request as it stands; nothing if it is not complete. */
function preview() {
  try {
    const { path, body } = form.request();
    showCurl(path, body);
  } catch {
    // The message comes when it is sent.
  }
}

function choose(next) {
  model = next;
  newest++;
  for (const button of $("models").children) {
    button.setAttribute("aria-pressed", String(button.dataset.graph === graph(model)));
  }
  $("model").textContent = graph(model);
  $("description").textContent = model.description;
  $("tensors").replaceChildren(...tensorRows("in", model.inputs), ...tensorRows("out", model.outputs));
  $("fields").replaceChildren();
  const hint = formOf(model) === imageForm ? "Draw, or press Ask." : "Press Ask.";
  $("answer").replaceChildren(make("p", { class: "faint" }, hint));
  showError("");
  $("took").textContent = "";
  form = formOf(model)($("fields"));
  form.fill();
  preview();
}

function graph({ name, version }) {
  return `${name}, version ${version}`;
}

function tensorRows(title, tensors) {
  return tensors.map(({ name, datatype, shape }) =>
    make("tr", {}, make("td", {}, title), make("td", {}, make("code", {}, name)),
      make("td", {}, make("code", {}, `${datatype} ${shapeText(shape)}`))));
}

for (const each of models) {
  const title = models.filter(({ name }) => name === each.name).length > 1 ? graph(each) : each.name;
  const button = make("button", { type: "button", "data-graph": graph(each) }, title);
  button.addEventListener("click", () => choose(each));
  $("models").append(button);
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
$("form").addEventListener("input", preview);
$("example").addEventListener("click", () => {
  form.fill();
  preview();
});
$("clear").addEventListener("click", () => {
  form.clear();
  preview();
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("curl")); // without https there is no clipboard
    $("copy").textContent = "Selected";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});
document.querySelector("main").hidden = false;
choose(models[0]);
