"""The `qingtan` command: a dictionary of functions, whose docstrings are the help.

What is heavy is imported inside the functions, so that the help comes at once.
"""

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qingtan.errors import UserError
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.chat import ChatGLM
    from qingtan.engine.answer import Answer

Model = Annotated[str, typer.Option(help="A built-in model's name, or a checkpoint's folder.")]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda or mps.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 or float16; as stored by default, small ones float32."),
]
MaxTokens = Annotated[int | None, typer.Option(help="The most tokens of an answer.")]
Temperature = Annotated[float | None, typer.Option(help="0 picks the likeliest token always.")]
TopP = Annotated[float | None, typer.Option(help="Keep the likeliest tokens of this mass.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.")]
Adapter = Annotated[
    Path | None, typer.Option(help="A folder of a LoRA adapter or a P-Tuning v2 prefix to use.")
]
NamedAdapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=FOLDER",
        help="An adapter, as a model of its own in the API; as often as you like.",
    ),
]
RecipeFile = Annotated[Path, typer.Argument(help="A TOML file.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the recipe, as field=value.")
]
LicensedPath = Annotated[Path, typer.Argument(help="A corpus's or a model's folder, or a run's.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run has made.")]


def serve(
    model: Model = "qingtan",
    host: Annotated[str, typer.Option(help="An address of this machine's own.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    device: Device = "cpu",
    dtype: Dtype = None,
    adapters: NamedAdapters = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve the OpenAI API, and the page to talk to the model."""
    from qingtan.server.serve import Server, address, listen, open_browser

    folders = _named_folders(adapters or ())
    with listen(host, port) as server_socket:
        chat_model = _load(model, device, dtype, folders)
        name, url = _name_of(model), address(server_socket)

        def announce() -> None:
            _say(
                tr(f"{name} answers at {url} (Ctrl-C ends)", f"{name} 已就绪：{url}（Ctrl-C 结束）")
            )
            if open_page:
                open_browser(url)

        try:
            Server(chat_model, name, server_socket, announce).run()
        except KeyboardInterrupt:
            _say(tr("Ended.", "已结束。"))


def chat(
    model: Model = "qingtan",
    device: Device = "cpu",
    dtype: Dtype = None,
    adapter: Adapter = None,
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
) -> None:
    """Talk to a model in the terminal, or answer the lines of a file: qingtan chat < questions.

    /clear begins anew, /exit or Ctrl-D leaves, Ctrl-C stops an answer.
    """
    adapter_name, adapters = _one_adapter(adapter)
    with _load(model, device, dtype, adapters) as chat_model:
        beginning = [{"role": "system", "content": system}] if system else []
        messages = list(beginning)
        for question in _questions():
            if question == "/clear":
                messages = list(beginning)
                continue
            messages.append({"role": "user", "content": question})
            pieces = chat_model.stream_chat(
                messages,
                adapter=adapter_name,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
            try:
                messages.append({"role": "assistant", "content": _show(pieces)})
            except UserError as error:
                if not sys.stdin.isatty():
                    raise
                # Most likely the conversation has outgrown the context.
                messages.pop()
                _say(f"{error} {tr('(/clear begins anew)', '（/clear 重新开始）')}")


def generate(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    suffix: Annotated[
        str, typer.Option(help="The text after a blank that the model, trained so, fills.")
    ] = "",
    model: Model = "qingtan",
    device: Device = "cpu",
    dtype: Dtype = None,
    adapter: Adapter = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
) -> None:
    """Continue a text, or fill the blank between a text and its --suffix."""
    adapter_name, adapters = _one_adapter(adapter)
    with _load(model, device, dtype, adapters) as chat_model:
        _show(
            chat_model.stream_generate(
                prompt,
                suffix=suffix,
                adapter=adapter_name,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
        )


def build_corpus(
    recipe: RecipeFile,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Ray: the cluster named by RAY_ADDRESS.")
    ] = "local",
    force: Force = False,
) -> None:
    """Clean text, drop duplicates, and turn the rest into shards of tokens, with a report.

    Stopped or killed, the same command goes on from where it was.
    """
    from qingtan.corpus.build import build_corpus as build
    from qingtan.corpus.recipe import CorpusRecipe
    from qingtan.recipe import load_recipe

    loaded = load_recipe(recipe, CorpusRecipe, overrides or ())
    try:
        build(loaded, workers=workers, force=force, engine=engine)
    except KeyboardInterrupt:
        _say(tr("Stopped; the same command goes on.", "已停止；同一命令可继续。"))
        raise typer.Exit(130) from None


def train(
    recipe: RecipeFile,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint of this run.")
    ] = False,
) -> None:
    """Train a model on a corpus: pretraining on text, fine-tuning on conversations.

    Ctrl-C saves a checkpoint; the same command with --resume goes on as if nothing had happened.
    """
    from qingtan.recipe import load_recipe
    from qingtan.training.recipe import TrainRecipe
    from qingtan.training.trainer import Interrupted
    from qingtan.training.trainer import train as run

    try:
        run(load_recipe(recipe, TrainRecipe, overrides or ()), resume=resume)
    except Interrupted as stopped:
        _say(
            tr(
                f"Stopped and saved: {stopped}. Go on with --resume.",
                f"已保存并停止：{stopped}。加上 --resume 可继续。",
            )
        )
        raise typer.Exit(130) from None


def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    folder: Annotated[Path, typer.Argument(help="The checkpoint's folder to make.")],
    about: Annotated[
        Path | None, typer.Option(help="A folder with about.md and about.zh-CN.md for the cards.")
    ] = None,
    layout: Annotated[str, typer.Option(help="glm (transformers) or chatglm.")] = "glm",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "bfloat16",
    repetition_penalty: Annotated[
        float, typer.Option(help="The model's default in sampling; 1 is none.")
    ] = 1.0,
    evaluation_tokens: Annotated[
        int, typer.Option(help="Validation tokens of each source to measure on.")
    ] = 20_000,
    force: Force = False,
) -> None:
    """Write a run's model as a checkpoint, measured, with card and provenance."""
    from qingtan.training.export import export as write

    write(
        run,
        folder,
        about=about,
        layout=layout,
        dtype=dtype,
        repetition_penalty=repetition_penalty,
        evaluation_tokens=evaluation_tokens,
        replace=force,
    )


def check_licences(
    path: LicensedPath,
    use: Annotated[
        Literal["commercial", "research", "redistribute"],
        typer.Option(help="What you want to do with it."),
    ] = "redistribute",
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Print only the attribution text to ship.")
    ] = False,
) -> None:
    """Say whether the licences of a corpus or model, and of the code, allow a use.

    It names what does not, and what is asked for it; --attribution prints the text to ship with
    it. Ends with status 1 where a licence does not allow it, or where it is not known. It is no
    legal advice.
    """
    from qingtan.provenance.check import check, check_code
    from qingtan.provenance.render import render, render_code

    report, code = check(path, use), check_code(use)
    _say(report.attribution if attribution else f"{render(report)}\n{render_code(code)}")
    if not (report.allowed and code.allowed):
        raise typer.Exit(1)


def report_licences(
    path: LicensedPath,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; printed by default.")
    ] = None,
) -> None:
    """Write a bill of materials (CycloneDX, JSON): data sets, base models and code, licensed."""
    from qingtan.files import write_text
    from qingtan.provenance.bom import bill_of_materials

    text = bill_of_materials(path)
    if output:
        write_text(output, text)
        _say(tr(f"Written to {output}", f"已写入 {output}"))
    else:
        _say(text.rstrip("\n"))


Commands = Mapping[str, "Callable[..., None] | Commands"]

COMMANDS: Commands = {
    "serve": serve,
    "chat": chat,
    "generate": generate,
    "corpus": {"build": build_corpus},
    "licence": {"check": check_licences, "report": report_licences},
    "train": train,
    "export": export,
}
GROUP_HELP = {
    "licence": "Say what the licences of a corpus or a model allow.",
    "corpus": "Turn text into what models are trained on.",
}


def main() -> None:
    """Run the command that the arguments name."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without Chinese shows question marks, and the program goes on.
            stream.reconfigure(errors="replace")
    try:
        _build(COMMANDS, tr("A Chinese language-model system.", "清谈：中文大语言模型系统。"))()
    except UserError as error:
        print(tr("Error: ", "错误：") + str(error), file=sys.stderr)
        sys.exit(2)


def _build(commands: Commands, help_text: str) -> typer.Typer:
    app = typer.Typer(
        help=help_text, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
    )
    for name, entry in commands.items():
        if isinstance(entry, Mapping):
            app.add_typer(_build(entry, GROUP_HELP[name]), name=name)
        else:
            app.command(name)(entry)
    return app


def _load(model: str, device: str, dtype: str | None, adapters: Mapping[str, Path]) -> "ChatGLM":
    from qingtan.chat import ChatGLM

    return ChatGLM.from_pretrained(model, device=device, dtype=dtype, adapters=adapters)


def _one_adapter(folder: Path | None) -> tuple[str | None, dict[str, Path]]:
    """Return what to load for a command that uses one adapter or none, and the name it gets."""
    return (None, {}) if folder is None else ("adapter", {"adapter": folder})


def _named_folders(adapters: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FOLDER, each."""
    folders: dict[str, Path] = {}
    for given in adapters:
        name, _, folder = given.partition("=")
        if not (name and folder):
            raise UserError(
                tr(f"--adapter {given}: give NAME=FOLDER", f"--adapter {given}：请写成 名称=文件夹")
            )
        if name in folders:
            raise UserError(
                tr(
                    f"--adapter {given}: there are two named {name}; give them different names",
                    f"--adapter {given}：有两个适配器都叫 {name}；请取不同的名称",
                )
            )
        folders[name] = Path(folder)
    return folders


def _name_of(model: str) -> str:
    """Return what a model is called in the API: a folder's own name."""
    return Path(model).resolve().name


def _say(text: str) -> None:
    # Flushed at once: whoever started this through a pipe waits for the line.
    print(text, flush=True)


def _questions() -> Iterator[str]:
    """Yield what the user asks, until /exit or the end of the input."""
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):  # Windows has none, and needs none
            import readline  # noqa: F401 - gives input() a history and a line to edit
    while True:
        try:
            line = input(tr("You: ", "你：") if interactive else "").strip()
        except EOFError:
            if interactive:
                _say("")
            return
        except KeyboardInterrupt:
            _say(tr("  (/exit or Ctrl-D leaves)", "  （/exit 或 Ctrl-D 退出）"))
            continue
        if line == "/exit":
            return
        if line:
            yield line


def _show(pieces: "Generator[str, None, Answer]") -> str:
    """Print an answer as it comes; Ctrl-C ends it. Return what was shown."""
    shown = []
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
            shown.append(piece)
    except KeyboardInterrupt:
        pieces.close()
    print(flush=True)
    return "".join(shown)
