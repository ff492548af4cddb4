"""Commands that use a model: serve, chat, generate."""

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qingtan.cli.options import Device, Seed, Temperature, say
from qingtan.errors import UserError
from qingtan.i18n import tr

if TYPE_CHECKING:
    from qingtan.chat import ChatGLM
    from qingtan.engine.answer import Answer

Model = Annotated[str, typer.Option(help="A built-in model's name, or a checkpoint's folder.")]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Of the weights: float32, bfloat16, int8 or int4 (torch: float16). By default as "
        "stored, or float32 for small models and int8 for large ones."
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", help="native, the default on a CPU, or torch."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Of the native engine; one for each processor by default.")
]
MaxTokens = Annotated[int | None, typer.Option(help="The most tokens of an answer.")]
TopP = Annotated[float | None, typer.Option(help="Keep the likeliest tokens of this mass.")]
Adapter = Annotated[
    Path | None, typer.Option(help="A folder of a LoRA adapter or a P-Tuning v2 prefix to use.")
]
Draft = Annotated[
    str | None,
    typer.Option(
        help="A smaller model with the same tokenizer, which guesses tokens for the model to "
        "check: the same text, faster where they agree."
    ),
]
Lookup = Annotated[
    bool,
    typer.Option(
        "--lookup/--no-lookup", help="Guess likewise that a text goes on as it did before."
    ),
]
NamedAdapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=FOLDER",
        help="An adapter, as a model of its own in the API; as often as you like.",
    ),
]


def serve(
    model: Model = "qingtan",
    host: Annotated[str, typer.Option(help="An address of this machine's own.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8000,
    device: Device = "cpu",
    dtype: Dtype = None,
    engine: EngineOption = None,
    threads: Threads = None,
    draft: Draft = None,
    lookup: Lookup = True,
    adapters: NamedAdapters = None,
    knowledge: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the knowledge bases lie; as of `qingtan kb`, whose default it shares.",
        ),
    ] = None,
    vectors_by: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            envvar="QINGTAN_VECTORS_BY",
            help="What makes the vectors of knowledge bases; as of `qingtan kb add`.",
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve the OpenAI API, the knowledge bases, and the page to talk to the model."""
    from qingtan.apps.encoding import open_encoder
    from qingtan.knowledge.service import Knowledge
    from qingtan.server.serve import Server, address, listen, open_browser

    folders = _named_folders(adapters or ())
    with (
        listen(host, port) as server_socket,
        open_encoder(vectors_by) as encoder,
        Knowledge.open(knowledge, encoder=encoder) as bases,
    ):
        chat_model = load_model(
            model,
            folders,
            device=device,
            dtype=dtype,
            engine=engine,
            threads=threads,
            draft=draft,
            lookup=lookup,
        )
        name, url = _name_of(model), address(server_socket)

        def announce() -> None:
            say(
                tr(f"{name} answers at {url} (Ctrl-C ends)", f"{name} 已就绪：{url}（Ctrl-C 结束）")
            )
            if open_page:
                open_browser(url)

        try:
            Server(chat_model, name, server_socket, announce, bases).run()
        except KeyboardInterrupt:
            say(tr("Ended.", "已结束。"))


def chat(
    model: Model = "qingtan",
    device: Device = "cpu",
    dtype: Dtype = None,
    engine: EngineOption = None,
    threads: Threads = None,
    draft: Draft = None,
    lookup: Lookup = True,
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
    with load_model(
        model,
        adapters,
        device=device,
        dtype=dtype,
        engine=engine,
        threads=threads,
        draft=draft,
        lookup=lookup,
    ) as chat_model:
        beginning = [{"role": "system", "content": system}] if system else []
        messages = list(beginning)
        for question in spoken():
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
                say(f"{error} {tr('(/clear begins anew)', '（/clear 重新开始）')}")


def generate(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    suffix: Annotated[
        str, typer.Option(help="The text after a blank that the model, trained so, fills.")
    ] = "",
    model: Model = "qingtan",
    device: Device = "cpu",
    dtype: Dtype = None,
    engine: EngineOption = None,
    threads: Threads = None,
    draft: Draft = None,
    lookup: Lookup = True,
    adapter: Adapter = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
) -> None:
    """Continue a text, or fill the blank between a text and its --suffix."""
    adapter_name, adapters = _one_adapter(adapter)
    with load_model(
        model,
        adapters,
        device=device,
        dtype=dtype,
        engine=engine,
        threads=threads,
        draft=draft,
        lookup=lookup,
    ) as chat_model:
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


def load_model(model: str, adapters: Mapping[str, Path], **options: Any) -> "ChatGLM":
    """Load a model with adapters by name."""
    from qingtan.chat import ChatGLM

    return ChatGLM.from_pretrained(model, adapters=adapters, **options)


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


def spoken() -> Iterator[str]:
    """Yield what the user says, until /exit or the end of the input."""
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):  # Windows has none, and needs none
            import readline  # noqa: F401 - gives input() a history and a line to edit
    while True:
        try:
            line = input(tr("You: ", "你：") if interactive else "").strip()
        except EOFError:
            if interactive:
                say("")
            return
        except KeyboardInterrupt:
            say(tr("  (/exit or Ctrl-D leaves)", "  （/exit 或 Ctrl-D 退出）"))
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
