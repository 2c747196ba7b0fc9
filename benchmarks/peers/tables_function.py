"""The function of benchmarks.bart: the routes that every project has, and none of its own."""

from nnlet.guest import OPEN_INFERENCE_PROTOCOL, TABLES, App

app = App(routes=[*OPEN_INFERENCE_PROTOCOL, *TABLES])
