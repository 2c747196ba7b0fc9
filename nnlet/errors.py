"""Every exception nnlet raises on purpose.

    NnletError                    an expected failure: one clear line, exit code 1
    ├── ModelError                a model or its model.toml cannot be read
    │   └── UnsupportedModel      readable, but uses what nnlet does not support
    ├── ConvertError              a fitted model could not become ONNX
    ├── CompileError              ONNX could not become a component
    ├── VerifyError               two runtimes disagree on an answer
    ├── BuildError                the function's component could not be made
    ├── HostError                 a server did not start, or stopped
    ├── DeployError               a host's own tool failed, or the project is not fit for it
    ├── RequestError              a server refused a request (client side)
    └── ToolMissing               a program or package is absent or too old
    HTTPError                     guest: answer this request with status and message
    InferenceError                guest: the provider of wasi:nn refused, with its code

Messages say what was found, where, what was expected, and what to do.
"""


class NnletError(Exception):
    """An expected failure. The command line prints its message and exits with 1."""


class ModelError(NnletError):
    """A model file, its folder or its model.toml cannot be read."""


class UnsupportedModel(ModelError):
    """A valid model that uses something nnlet does not support."""


class ConvertError(NnletError):
    """A fitted model could not be converted to ONNX."""


class CompileError(NnletError):
    """An ONNX model could not be compiled to a component."""


class VerifyError(NnletError):
    """Two runtimes gave different answers for one model."""


class BuildError(NnletError):
    """The function's component could not be made."""


class HostError(NnletError):
    """A server did not start, or stopped by itself."""


class DeployError(NnletError):
    """A host's own tool failed, or the project is not what the host takes."""


class RequestError(NnletError):
    """A server could not be reached, or refused the request."""


class ToolMissing(NnletError):
    """A program or package that this command needs is absent or too old."""


class HTTPError(Exception):
    """Ends a request with `status` and the body `{"error": message}`.

    A message quotes what was found, which may be as long as a request: of one of more than
    `longest` characters the middle is left out.
    """

    longest = 500

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        if len(message) > self.longest:
            half = self.longest // 2 - 10
            message = f"{message[:half]} ... {message[-half:]}"
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class InferenceError(Exception):
    """The provider of wasi:nn refused: `code` is its error-code in words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
