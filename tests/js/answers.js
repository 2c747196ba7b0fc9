// Asks models with tensors in base64, and gives all bytes of their answers so: the same code in
// Node, in a browser and in workerd.

/** For each {model, inputs: [{name, type, shape, data}]} the outputs' bytes, in order. */
export async function answers(load, cases) {
  const found = [];
  for (const { model, inputs } of cases) {
    const given = inputs.map(({ name, type, shape, data }) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      return [name, { data: new globalThis[type](bytes.buffer), shape }];
    });
    const outputs = (await load(model)).infer(Object.fromEntries(given));
    found.push(Object.values(outputs).map(({ data }) => base64(new Uint8Array(data.buffer))));
  }
  return found;
}

function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
