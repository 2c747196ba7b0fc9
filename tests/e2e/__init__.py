"""End-to-end tests: the function as users run it, under the real wasmtime."""
