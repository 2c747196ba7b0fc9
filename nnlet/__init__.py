"""nnlet: a machine-learning model behind HTTP, without a server."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`nnlet.add`, loaded when it is asked for: the guest imports this package too."""
    if name == "add":
        from nnlet.convert.add import add

        return add
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
