"""The command line: the list of commands, error messages and exit codes.

Nothing here or in the modules of the commands imports torch before a command runs, so that help
and wrong usage answer at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .. import __version__
from . import console
from .commands.attack import attack
from .commands.bench.command import bench
from .commands.budget import budget
from .commands.calibrate import calibrate
from .commands.corrupt import corrupt
from .commands.demo import demo
from .commands.env import env
from .commands.eval import evaluate
from .commands.export import export
from .commands.flops import flops
from .commands.imagenet100 import imagenet100
from .commands.look import look
from .commands.predict import predict
from .commands.reproduce.command import reproduce
from .commands.serve import serve
from .commands.serve_repo import serve_repo
from .commands.train import train
from .options.bulk import WithRay
from .options.option import switch

DONE, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED = 130  # what newer releases of typer make of a keyboard interrupt
PROGRAM = "mgnet-fast"
DEBUG_OPTION = "--debug"
# arguments that options call otherwise
_OTHER_NAMES = {"data_dir": "data", "count": "images", "format": "form"}

app = typer.Typer(
    name=PROGRAM,
    help="Classify images by a few small glimpses that a network chooses itself.",
    epilog="New here? Run: mgnet-fast demo",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(train)
app.command("eval")(evaluate)
app.command(cls=WithRay)(predict)
app.command()(look)
app.command()(imagenet100)
app.command()(attack)
app.command()(corrupt)
app.command()(budget)
app.command()(calibrate)
app.command()(export)
app.command()(serve)
app.command("serve-repo")(serve_repo)
app.command()(flops)
app.add_typer(bench, name="bench")
app.add_typer(reproduce, name="reproduce")
app.command()(env)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _options_of_all_commands(
    version: Annotated[
        bool, switch("Print the version.", "--version", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, switch("Show the traceback of an error; may stand anywhere.", DEBUG_OPTION)
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 failed, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG_OPTION in words
    words = [word for word in words if word != DEBUG_OPTION]
    try:
        code = typer.main.get_command(app).main(
            args=words, prog_name=PROGRAM, standalone_mode=False
        )
    except KeyboardInterrupt:
        console.print_error("interrupted")
        sys.exit(FAILED)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough; a second error at shutdown would
        # follow if Python flushed the closed pipe.
        sys.stdout = None  # type: ignore[assignment]
        sys.exit(FAILED)
    except Exception as error:
        if debug:
            raise
        sys.exit(_report(error, _options_by_argument(words)))
    if code == INTERRUPTED:
        console.print_error("interrupted")
        code = FAILED
    sys.exit(code if isinstance(code, int) else DONE)


def _options_by_argument(words: Sequence[str]) -> dict[str, str]:
    """The option of the command that sets a library function's argument."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    options = {each.name: max(each.opts, key=len) for each in command.params}
    options |= {name: options[other] for name, other in _OTHER_NAMES.items() if other in options}
    return {name: option for name, option in options.items() if option.startswith("--")}


def _naming_options(message: str, options: dict[str, str]) -> str:
    """``message`` with options where the library names arguments: ``name must`` or ``a_name``."""
    first, must, rest = message.partition(" must ")
    if must and first in options:
        message = f"{options[first]} must {rest}"
    return re.sub(
        r"(?<![\w/.'\"-])[a-z]+_[a-z_]+(?![\w/.'\"=-])",
        lambda word: options.get(word[0], word[0]),
        message,
    )


def _report(error: Exception, options: dict[str, str]) -> int:
    """Print what went wrong in one sentence; return the exit code."""
    if isinstance(error, typer.Abort):
        console.print_error("interrupted")
        return FAILED
    # typer brings click's exceptions along under a module name that differs between releases.
    describe = getattr(error, "format_message", None)
    if describe is not None:
        context = getattr(error, "ctx", None)
        message = describe()
        if not message:  # help was asked for by giving no command
            return WRONG_USAGE
        console.print_error(message, hint=f"see: {getattr(context, 'command_path', PROGRAM)} -h")
        return int(getattr(error, "exit_code", WRONG_USAGE))
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        console.print_error(f"{place}{error.strerror}")
    elif isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        console.print_error(_naming_options(str(error), options))
    else:
        console.print_error(
            f"{type(error).__name__}: {error}", hint=f"add {DEBUG_OPTION} for a traceback"
        )
    return FAILED
