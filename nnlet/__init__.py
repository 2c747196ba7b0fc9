"""nnlet: a machine-learning model behind HTTP, without a server."""

__version__ = "0.1.0"
