// A pad to draw on, for models that take one small image.

/** Height, width and scale of an input that is one small image of one channel; else null. */
function imageOf(info) {
  const sizes = [...info.shape];
  if (sizes.length > 2 && (sizes[0] === -1 || sizes[0] === 1)) sizes.shift();
  const channel = sizes.indexOf(1);
  if (sizes.length === 3 && (channel === 0 || channel === 2)) sizes.splice(channel, 1);
  const small = sizes.length === 2 && sizes.every((size) => size >= 4 && size <= 64);
  if (!small || !/^(FP|UINT8|INT)/.test(info.datatype)) return null;
  return { height: sizes[0], width: sizes[1] };
}

/** The smallest box around everything above zero; null if there is nothing. */
function inkBox(pixels, width, height) {
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[y * width + x] > 0) {
        box.left = Math.min(box.left, x);
        box.right = Math.max(box.right, x + 1);
        box.top = Math.min(box.top, y);
        box.bottom = Math.max(box.bottom, y + 1);
      }
    }
  }
  return box.right > box.left ? box : null;
}

/** An empty canvas. */
function makeCanvas(name, width, height, label) {
  const canvas = Object.assign(document.createElement("canvas"), { className: name, width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

/** The ink of a canvas, 0 to 255, row by row. */
function inkOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Float64Array.from({ length: data.length / 4 }, (_, i) => 255 - data[4 * i]);
}

/**
 * What is drawn on `canvas` as height x width values from 0 to 1: moved to the middle of
 * `target`, as tall as it, and averaged over each pixel.
 */
function readInk(canvas, height, width, target) {
  const box = inkBox(inkOf(canvas), canvas.width, canvas.height);
  if (!box) return new Array(height * width).fill(0);
  const [across, down] = [box.right - box.left, box.bottom - box.top];
  const scale = Math.min((target.bottom - target.top) / down, width / across);
  const middle = Math.max((across * scale) / 2, (target.left + target.right) / 2);
  const left = Math.min(middle, width - (across * scale) / 2) - (across * scale) / 2;
  const top = (target.top + target.bottom - down * scale) / 2;
  const FINE = 8;
  const moved = makeCanvas("", width * FINE, height * FINE, "");
  const context = moved.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, moved.width, moved.height);
  const to = [left, top, across * scale, down * scale].map((value) => value * FINE);
  context.drawImage(canvas, box.left, box.top, across, down, ...to);
  const values = new Array(height * width).fill(0);
  inkOf(moved).forEach((ink, i) => {
    const x = Math.floor((i % moved.width) / FINE);
    const y = Math.floor(i / moved.width / FINE);
    values[y * width + x] += ink / 255 / FINE ** 2;
  });
  return values;
}

/**
 * A pad in `place` for an input like `info`. `changed` is called after every stroke. Drawings
 * are moved to where the ink of the example lies: models know images as they were trained on.
 */
function makePad(place, { height, width }, info, example, changed) {
  const whole = !info.datatype.startsWith("FP");
  const shown = (example ?? []).flat(Infinity).map(Number);
  const most = Math.max(0, ...shown) || (whole ? 255 : 1);
  const target = inkBox(shown, width, height) ?? {
    left: 0.15 * width, right: 0.85 * width, top: 0.15 * height, bottom: 0.85 * height,
  };
  const fine = Math.ceil(240 / Math.max(width, height));
  const paper = makeCanvas("draw", width * fine, height * fine, "Draw here with a mouse, a pen or a finger");
  const seen = makeCanvas("seen", width, height, "The pixels that the model is given");
  const context = paper.getContext("2d", { willReadFrequently: true });
  let values = [];
  let last = null; // where the stroke under way has come to
  let drawn = false; // by hand: an example makes way for the first stroke

  function show(next) {
    values = next;
    const image = new ImageData(width, height);
    values.forEach((value, i) => {
      image.data.fill(255 - (255 * value) / most, 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    });
    seen.getContext("2d").putImageData(image, 0, 0);
  }

  function clear() {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, paper.width, paper.height);
    drawn = false;
    show(new Array(height * width).fill(0));
  }

  function fill() {
    if (shown.length !== height * width) return clear();
    show(shown);
    context.imageSmoothingEnabled = false;
    context.drawImage(seen, 0, 0, paper.width, paper.height);
    drawn = false;
  }

  function stroke(event) {
    const frame = paper.getBoundingClientRect();
    const x = ((event.clientX - frame.left) * paper.width) / frame.width;
    const y = ((event.clientY - frame.top) * paper.height) / frame.height;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = paper.width / 11;
    context.beginPath();
    context.moveTo(...(last ?? [x, y]));
    context.lineTo(x, y);
    context.stroke();
    last = [x, y];
  }

  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    if (!drawn) clear();
    drawn = true;
    stroke(event);
  });
  paper.addEventListener("pointermove", (event) => last && stroke(event));
  paper.addEventListener("pointerup", () => {
    if (!last) return;
    last = null;
    const ink = readInk(paper, height, width, target).map((part) => part * most);
    show(ink.map((value) => (whole ? Math.round(value) : Math.round(value * 1e4) / 1e4)));
    changed();
  });
  paper.addEventListener("pointercancel", () => (last = null));

  const caption = Object.assign(document.createElement("figcaption"), {
    textContent: `${height} x ${width}, as the model is given it`,
  });
  const figure = document.createElement("figure");
  figure.append(seen, caption);
  place.append(paper, figure);
  return { clear, fill, values: () => values };
}
