// The one error of this package. `code` is wasi:nn's error-code in words, as a program reads it.

export class ModelError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "ModelError";
    this.code = code;
  }
}
