"""The command line: one function per command, which parses, calls and prints.

Results go to stdout, progress and problems to stderr. An expected failure (NnletError) is one
line and exit code 1, misuse exit code 2. Commands import what they need when they run, so that
`nnlet up` with nothing to do starts at once.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import nnlet
from nnlet.errors import NnletError, RequestError
from nnlet.targets import TARGETS

if TYPE_CHECKING:
    from nnlet.bench import Bench
    from nnlet.client import Client, ModelInfo
    from nnlet.component import Flavour
    from nnlet.host import Server
    from nnlet.local import LocalModel
    from nnlet.project import Project


# What `up` and `bench` use unless told otherwise.
DEFAULT_PROVIDER = "compiled"

host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Listen here; 0.0.0.0 is everywhere."
)
port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Listen on this port; 0 is a free one.",
)
provider_option = click.option(
    "--provider",
    type=click.Choice(["compiled", "host"]),
    default=DEFAULT_PROVIDER,
    show_default=True,
    help="Who computes: compiled is the model itself as WebAssembly, host is OpenVINO inside "
    "wasmtime.",
)
wasi_option = click.option(
    "--wasi",
    type=click.Choice(list(TARGETS)),
    default="p2",
    show_default=True,
    help="The WASI to build for: p2 is 0.2, p3 is 0.3, whose instances Spin 4.1 reuses.",
)
wasmtime_option = click.option(
    "--wasmtime",
    type=click.Path(path_type=Path),
    help="Use this wasmtime instead of the one on PATH.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Commands(click.Group):
    """Lists commands in the order in which they stand here."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All names, in order."""
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nnlet.__version__, prog_name="nnlet", message="%(prog)s %(version)s")
def app() -> None:
    """A machine-learning model behind HTTP, without a server."""


@app.command()
@click.argument("name")
@click.option(
    "--requirement",
    help="Where the project's nnlet comes from, as pip takes it; where this one came from unless "
    "given.",
)
def new(name: str, requirement: str | None) -> None:
    """Make the folder NAME: a function with one model, a test and a manifest for Spin.

    `spin new -t nnlet NAME` makes the same.

    Example: nnlet new my-function
    """
    from nnlet.new import installed_from, new_project

    requirement = requirement or installed_from()
    for path in new_project(name, Path(name), requirement):
        print(path)
    if "@" in requirement:
        click.echo(f"This nnlet is no release: {name} takes it from {requirement}", err=True)
    print(f"next: cd {name} && bash build.sh up")


@app.command()
@click.option(
    "--world",
    type=click.Choice(["app", "spin-app"]),
    default="app",
    show_default=True,
    help="What the function imports: app runs everywhere, spin-app has Spin 4's key-value store.",
)
@wasi_option
@json_option
def build(world: str, wasi: str, as_json: bool) -> None:
    """Build app.py and models/ into one component.

    Only what has changed is made again. build/app.wasm is the function, build/models.wasm its
    models, build/function.wasm both in one. With --wasi p3 these are build/app-p3.wasm and
    build/function-p3.wasm.

    Example: nnlet build
    """
    from nnlet.display import megabytes, print_json, step
    from nnlet.project import find_project
    from nnlet.serving import build_composed, build_for_spin

    project = find_project()
    if world == "app":
        component = build_composed(project, step, TARGETS[wasi])
    elif wasi == "p2":
        component = build_for_spin(project, step)
    else:
        raise click.UsageError(f"--world {world} is for --wasi p2")
    if as_json:
        print_json({"component": str(component.path), "bytes": component.size})
    else:
        path = component.path.relative_to(project.root)
        print(f"{path}  {megabytes(component.size)}")
        up = "./build.sh up" if wasi == "p2" else f"./build.sh up --wasi {wasi}"
        print(f"next: {up}" if world == "app" else f"next: name {path} in spin.toml")


@app.command()
@click.argument("models", type=click.Path(path_type=Path), default=Path("models"))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/models.wasm"),
    show_default=True,
    help="Write the component here.",
)
@click.option(
    "--flavour",
    type=click.Choice(["relaxed", "simd128"]),
    default="relaxed",
    show_default=True,
    help="relaxed uses relaxed SIMD; simd128 is for hosts without it, such as Node 20.",
)
@json_option
def compile(models: Path, output: Path, flavour: Flavour, as_json: bool) -> None:
    """Compile the model repository MODELS into one component that exports wasi:nn.

    Example: nnlet compile models/ -o build/models.wasm
    """
    from nnlet.compiled import compile_repository
    from nnlet.display import megabytes, print_json, step

    size = compile_repository(models, output, flavour, step)
    if as_json:
        print_json({"component": str(output), "bytes": size})
    else:
        print(f"{output}  {megabytes(size)}")
        print("next: nnlet verify")


@app.command()
@click.argument("models", type=click.Path(path_type=Path), default=Path("models"))
@click.option(
    "--component",
    type=click.Path(path_type=Path),
    default=Path("build/models.wasm"),
    show_default=True,
    help="The component to check; it is compiled first if it is not there.",
)
@click.option(
    "--tolerance",
    type=float,
    help="Allowed relative error of floats; 1e-4 for FP32 unless given, integers are exact.",
)
@json_option
def verify(models: Path, component: Path, tolerance: float | None, as_json: bool) -> None:
    """Compare the compiled MODELS with onnxruntime, on the examples and on odd sizes.

    Example: nnlet verify models/
    """
    from nnlet.compiled import compile_repository, verify_models
    from nnlet.display import out, print_json, step, verify_table
    from nnlet.model import read_repository

    if not component.exists():
        compile_repository(models, component, report=step)
    with step("Comparing with onnxruntime"):
        reports = verify_models(read_repository(models), component, tolerance)
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        out.print(verify_table(reports))
    for report in reports:
        report.require()


@app.command()
@click.argument("function", type=click.Path(path_type=Path, exists=True))
@click.argument("provider", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/function.wasm"),
    show_default=True,
    help="Write the component here.",
)
def compose(function: Path, provider: Path, output: Path) -> None:
    """Plug PROVIDER, which exports wasi:nn, into FUNCTION, which imports it.

    Example: nnlet compose build/app.wasm build/models.wasm
    """
    from nnlet.build import replacing
    from nnlet.compose import compose as plug
    from nnlet.display import megabytes

    component = plug(function.read_bytes(), provider.read_bytes())
    with replacing(output) as path:
        path.write_bytes(component)
    print(f"{output}  {megabytes(len(component))}")
    print(f"next: wasmtime serve -Scli {output}")


@app.group(cls=Commands)
def export() -> None:
    """Write the compiled models for hosts of other kinds.

    Example: nnlet export js models/ -o build/js
    """


@export.command()
@click.argument("models", type=click.Path(path_type=Path), default=Path("models"))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/js"),
    show_default=True,
    help="Write the package into this folder.",
)
@click.option("--only", multiple=True, metavar="MODEL", help="Export this model; may be repeated.")
@click.option(
    "--flavour",
    type=click.Choice(["both", "relaxed", "simd128"]),
    default="both",
    show_default=True,
    help="both: each host takes relaxed SIMD where it has it; one is downloaded.",
)
@click.option("--name", default="nnlet-models", show_default=True, help="The npm package's name.")
@click.option("--version", default="0.1.0", show_default=True, help="The npm package's version.")
@json_option
def js(
    models: Path,
    output: Path,
    only: tuple[str, ...],
    flavour: str,
    name: str,
    version: str,
    as_json: bool,
) -> None:
    """Write MODELS as an npm package with types, for Node, browsers and workerd.

    Needs Node 20 or newer with npm, from which jco is installed when it is first needed.

    Example: nnlet export js models/ -o build/js
    """
    from nnlet.display import export_table, out, print_json, step
    from nnlet.export.js import FLAVOURS, Package, export_js

    flavours = [one for one in FLAVOURS if flavour in ("both", one)]
    made = export_js(models, output, only, flavours, Package(name, version), step)
    if as_json:
        print_json(made.as_json())
        return
    out.print(export_table(made))
    print(f"next: python -m http.server --directory {output}")
    print("      http://localhost:8000/examples/page/")


@app.command()
@host_option
@port_option
@provider_option
@wasi_option
@wasmtime_option
@json_option
def up(
    host: str, port: int, provider: str, wasi: str, wasmtime: Path | None, as_json: bool
) -> None:
    """Build what has changed and serve every model until Ctrl-C.

    Example: nnlet up --port 8080
    """
    from nnlet.display import step
    from nnlet.host import Address, free_port
    from nnlet.project import find_project
    from nnlet.serving import serve_project

    project = find_project()
    address = Address(host, port or free_port(host))
    _stop_on_termination()
    with (
        suppress(KeyboardInterrupt),
        serve_project(
            project, address, provider, wasmtime, report=step, target=TARGETS[wasi]
        ) as server,
    ):
        _show_server(server, as_json)
        server.wait(sys.stderr)


@app.command()
@host_option
@port_option
def dev(host: str, port: int) -> None:
    """Run app.py natively and load it anew on every save.

    The models run on onnxruntime: no component, no wasmtime.

    Example: nnlet dev
    """
    from nnlet.dev import DevServer, serve_and_reload
    from nnlet.display import err
    from nnlet.host import Address, free_port
    from nnlet.ort import OnnxRuntime
    from nnlet.project import find_project

    project = find_project()
    address = Address(host, port or free_port(host))
    server = DevServer(project, OnnxRuntime(project.models), address)
    server.reload()
    print(
        f"{address.url} runs app.py natively and loads it anew on save; Ctrl-C stops it",
        flush=True,
    )
    _stop_on_termination()
    with suppress(KeyboardInterrupt):
        serve_and_reload(
            server,
            lambda seconds, names: err.print(
                f"loaded again in {seconds * 1000:.0f} ms: {', '.join(names)}", highlight=False
            ),
        )


@app.command(context_settings={"ignore_unknown_options": True})
@click.argument("target", type=click.Choice(["spin", "akamai", "spinkube"]))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Print the commands, and run none of them.")
def deploy(target: str, words: tuple[str, ...], dry_run: bool) -> None:
    """Build what has changed, and run it on TARGET by that host's own tools.

    Prints each command before any is run. WORDS go to the last of them.

    Example: nnlet deploy spin --dry-run
    """
    from nnlet.deploy import deploy as run
    from nnlet.deploy import plan
    from nnlet.display import step
    from nnlet.project import find_project

    project = find_project()
    commands = plan(project, target, words)
    for command in commands:
        print(f"$ {shlex.join(command)}", flush=True)
    if not dry_run:
        _stop_on_termination()
        with suppress(KeyboardInterrupt):
            run(project, target, commands, step)


@app.command()
@click.argument("model")
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    help="Send this file instead of the example: .json (an Open Inference Protocol request, an "
    "object by input name, or one input's values), .npy, .npz, or an image, which is resized to "
    "what the model takes, with values from 0 to 1.",
)
@click.option("--url", default="http://127.0.0.1:3000", show_default=True, help="Ask this server.")
@json_option
def infer(model: str, source: Path | None, url: str, as_json: bool) -> None:
    """Ask a served MODEL, and print its answer with labels.

    Example: nnlet infer digits --input seven.png
    """
    from nnlet.client import Client, tensors
    from nnlet.display import answer_tables, out, print_json

    known = _local_models().get(model)
    with Client(url) as client:
        info = client.model(model)
        answer = client.infer(info, tensors(info, _values(info, source, known)))
    if as_json:
        print_json(answer.as_json())
        return
    for table in answer_tables(answer, known.labels if known else {}):
        out.print(table)


@app.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    help="Rows as the model was fitted on: .csv, .parquet, .json (records), .npy or .npz. The "
    "columns that callers send, and the rows that are compared, come from it.",
)
@click.option("--target", help="Leave this column of the sample out: it is what is predicted.")
@click.option("--description", default="", help="One sentence for model.toml.")
@click.option("--labels", default="", help="Names for a network's classes: cat,dog,horse.")
@click.option(
    "--tolerance",
    type=float,
    help="Allowed relative difference from the library's own answers; 1e-4 unless given.",
)
@click.option(
    "--trust", is_flag=True, help="Load a pickle: doing so runs whatever code is in the file."
)
@click.option("--draws", is_flag=True, help="Answer every posterior draw (BART).")
@click.option(
    "--quantiles",
    metavar="Q,...",
    help="Answer these quantiles of the draws (BART): 0.05,0.5,0.95.",
)
@json_option
def add(
    name: str,
    file: Path,
    sample: Path | None,
    target: str | None,
    description: str,
    labels: str,
    tolerance: float | None,
    trust: bool,
    draws: bool,
    quantiles: str | None,
    as_json: bool,
) -> None:
    """Convert the fitted model in FILE, check it, and add it to models/ as NAME.

    It becomes version 1, or the next one. If it cannot be converted, or does not answer as the
    library that made it, nothing changes.

    Example: nnlet add churn churn.pkl --sample customers.csv --target churned --trust
    """
    from nnlet.convert.add import add as add_model
    from nnlet.convert.check import TOLERANCE
    from nnlet.display import print_json, step

    added = add_model(
        file,
        name,
        sample,
        target=target,
        description=description,
        labels=tuple(labels.split(",")) if labels else (),
        tolerance=TOLERANCE if tolerance is None else tolerance,
        trust=trust,
        draws=draws,
        quantiles=_numbers(quantiles or ""),
        report=step,
    )
    if as_json:
        print_json(added.as_json())
    else:
        print(added)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise click.BadParameter(f"{text!r}: expected numbers with commas between them") from exc


@app.command()
@click.argument("model")
@json_option
def remove(model: str, as_json: bool) -> None:
    """Remove MODEL from models/, or one version of it: NAME or NAME/VERSION.

    Example: nnlet remove churn/1
    """
    from nnlet.convert.repository import remove as remove_model
    from nnlet.display import print_json
    from nnlet.project import find_project

    name, _, version = model.partition("/")
    versions = remove_model(find_project().models, name, version or None)
    if as_json:
        print_json({"model": name, "removed": versions})
    else:
        print(f"removed {name}/{', '.join(versions)}")
        print("next: ./build.sh")


@app.command()
@json_option
def models(as_json: bool) -> None:
    """List the models of this project: size, digest, date, what they take and give.

    Example: nnlet models --json
    """
    from nnlet.display import out, print_json, repository_table, step
    from nnlet.local import local_models
    from nnlet.project import find_project

    found = local_models(find_project(), step)
    if as_json:
        print_json([model.as_json() for model in found])
    else:
        out.print(repository_table(found))


@app.command()
@click.argument("models", nargs=-1)
@provider_option
@wasmtime_option
@click.option(
    "--seconds", type=click.IntRange(1, 600), default=5, show_default=True, help="For each load."
)
@click.option(
    "--chart",
    type=click.Path(path_type=Path),
    help="Draw it, too: a file that ends in .svg, .png or .pdf. Needs the extra `chart`.",
)
@json_option
def bench(
    models: tuple[str, ...],
    provider: str,
    wasmtime: Path | None,
    seconds: int,
    chart: Path | None,
    as_json: bool,
) -> None:
    """Measure starts, latency, throughput, memory and size, and where the time goes.

    The requests carry the examples of MODELS; without one, that of the model whose example is
    the smallest. With --json, one model is an object, several are a list.

    Example: nnlet bench digits --seconds 10 --chart digits.svg
    """
    from nnlet.bench import bench as measure
    from nnlet.display import bench_table, breakdown_table, out, print_json, step
    from nnlet.project import find_project

    project = find_project()
    if chart is not None:
        _check_chart(project, chart)
    results = measure(project, models, provider, wasmtime, seconds, step)
    if as_json:
        found = [result.as_json() for result in results]
        print_json(found if len(models) > 1 else found[0])
    else:
        out.print(bench_table(results))
        for result in results:
            print()
            out.print(breakdown_table(result))
    if chart is not None:
        _draw(results, chart)


def _check_chart(project: Project, chart: Path) -> None:
    """Before anything is measured: whether it can be drawn."""
    from nnlet.display import step
    from nnlet.extras import need

    if chart.suffix not in (".svg", ".png", ".pdf"):
        raise click.BadParameter(
            f"{chart.name}: expected a name that ends in .svg, .png or .pdf", param_hint="--chart"
        )
    need(project, "matplotlib", "chart", step)


def _draw(results: list[Bench], chart: Path) -> None:
    from nnlet.chart import draw
    from nnlet.display import bench_panels, err

    footer = f"nnlet bench, provider {results[0].provider}, client {results[0].client}"
    draw(bench_panels(results), chart, footer)
    err.print(f"wrote {chart}", highlight=False)


def _show_server(server: Server, as_json: bool) -> None:
    """Where the server is, what it serves, and one request with the answer it gives."""
    from nnlet.client import Client
    from nnlet.display import models_table, out, print_json

    with Client(server.url) as client:
        infos = [client.model(name) for name in client.models()]
        if as_json:
            print_json({"url": server.url, "models": [info.name for info in infos]})
            return
        out.print(models_table(infos))
        print(f"\n{_example_call(client, infos)}")
        print(f"\n{server.url} serves {len(infos)} models; Ctrl-C stops it", flush=True)


def _example_call(client: Client, infos: list[ModelInfo]) -> str:
    """A `curl` line with the smallest example, and what the server answers to it."""
    from nnlet.client import infer_request, tensors

    known = _local_models()
    examples = [(info, known[info.name].example) for info in infos if info.name in known]
    requests = [infer_request(info, tensors(info, values)) for info, values in examples if values]
    plain = [request for request in requests if request.is_text]
    if not plain:
        return f"$ curl -s {client.url}/v2/models"
    request = min(plain, key=lambda request: len(request.body))
    body = shlex.quote(request.body.decode())
    return f"$ curl -s {client.url}{request.path} -d {body}\n{client.send(request).text}"


def _local_models() -> dict[str, LocalModel]:
    """The models of this project by name, in their newest version; {} outside a project."""
    from nnlet.local import local_models, newest
    from nnlet.project import find_project

    try:
        project = find_project()
    except NnletError:
        return {}
    return newest(local_models(project))


def _values(info: ModelInfo, source: Path | None, known: LocalModel | None) -> dict[str, Any]:
    """What to send: the file's content, or the model's own example."""
    if source is not None:
        from nnlet.inputs import read_inputs

        return read_inputs(source, info)
    if known is None or not known.example:
        raise RequestError(f"no example for {info.name} here: name a file with --input")
    return dict(known.example)


def _stop_on_termination() -> None:
    """Let `kill` and a closed terminal end a server as Ctrl-C does: nothing stays behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # SIGINT too: Python leaves it alone where the shell started this in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def main() -> None:
    """The command `nnlet`."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app(prog_name="nnlet")
    except NnletError as exc:
        from nnlet.display import show_error

        show_error(str(exc))
        sys.exit(1)
