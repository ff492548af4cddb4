"""The `qingtan` command: a dictionary of functions, whose docstrings are the help.

What is heavy is imported inside the functions, so that the help comes at once.
"""

import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper

import typer

from qingtan.cli.converting import convert
from qingtan.cli.finding import ask_knowledge, search_knowledge, teach_from_knowledge
from qingtan.cli.knowledge import (
    add_documents,
    backup_knowledge,
    cancel_job,
    create_base,
    list_jobs,
    list_knowledge,
    remove_knowledge,
    restore_knowledge,
)
from qingtan.cli.licences import check_licences, report_licences
from qingtan.cli.making import build_corpus, distill_answers, distill_logits, export, train
from qingtan.cli.measuring import evaluate
from qingtan.cli.talking import chat, generate, serve
from qingtan.errors import UserError
from qingtan.i18n import tr

Commands = Mapping[str, "Callable[..., None] | Commands"]

COMMANDS: Commands = {
    "serve": serve,
    "chat": chat,
    "generate": generate,
    "kb": {
        "create": create_base,
        "add": add_documents,
        "list": list_knowledge,
        "search": search_knowledge,
        "ask": ask_knowledge,
        "teach": teach_from_knowledge,
        "remove": remove_knowledge,
        "jobs": list_jobs,
        "cancel": cancel_job,
        "backup": backup_knowledge,
        "restore": restore_knowledge,
    },
    "corpus": {"build": build_corpus},
    "licence": {"check": check_licences, "report": report_licences},
    "train": train,
    "distill": {"logits": distill_logits, "answers": distill_answers},
    "evaluate": evaluate,
    "export": export,
    "convert": convert,
}
GROUP_HELP = {
    "distill": "Write down what a teacher knows, for a student to learn from.",
    "kb": "Keep one's own documents, find passages in them, and answer from them.",
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
        _fail(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "qingtan").partition(".")[0] == "qingtan":
            raise
        _fail(
            tr(
                f"this command needs the package {error.name}; install what all commands need: "
                "make tools, or pip install 'qingtan[corpus,evaluate,train]'",
                f"此命令需要软件包 {error.name}；请安装全部命令所需的软件包："
                "make tools，或 pip install 'qingtan[corpus,evaluate,train]'",
            )
        )


def _fail(message: str) -> None:
    print(tr("Error: ", "错误：") + message, file=sys.stderr)
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
