"""The flags of a command, made of the dataclass of its settings: their help page and completion."""

import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cyclopts import App, ArgumentCollection, Group, Parameter

from skyseg_tf.errors import InputError, not_among

SHELLS = ("bash", "zsh", "fish")


def command_app(config: type, prog: str) -> App:
    """The command line of a command: each field of its settings is a flag.

    Args:
      config: a frozen dataclass; its docstrings are the help, its ARGUMENTS need no flag, and of
        its paths those in URLS alone may lie elsewhere (see files.places).
      prog: the name shown in the help.

    Returns:
      What makes a config of flags.
    """
    app = _Command(
        name=prog,
        help=_paragraphs(config.__doc__),
        help_format="plaintext",
        help_formatter=_HelpPage(getattr(config, "ARGUMENTS", ())),
        version_flags=(),
        group_parameters=Group("options", sort_key=9),
        default_parameter=Parameter(
            consume_multiple=True, negative_iterable=(), show_default=_shown
        ),
        result_action="return_value",
    )
    app["--help"].show = False
    config.__signature__ = _signature(config)
    app.default(config)
    return app


class _Command(App):
    """Cyclopts' own, whose help page reads the flags once, not for its first line once more.

    Reading them takes a sixth of the page's time.
    """

    asks_for_help: bool = False
    _flags_for_help: ArgumentCollection | None = None

    def assemble_argument_collection(self, *, parse_docstring: bool = False, **options):
        """The flags; fresh ones for a command line, whose words are put into them."""
        if not self.asks_for_help:
            return super().assemble_argument_collection(parse_docstring=parse_docstring, **options)
        if self._flags_for_help is None:
            flags = super().assemble_argument_collection(parse_docstring=True, **options)
            self._flags_for_help = flags
        return self._flags_for_help


class _HelpPage:
    """Cyclopts' own page, without the line breaks of the source, and with the arguments' names.

    Args:
      arguments: what needs no flag; Cyclopts calls those that may be left out ARGS.
    """

    def __init__(self, arguments: Sequence[str]):
        self.names = " ".join(f"[{name.upper()}]" for name in arguments)

    def __call__(self, console, options, panel) -> None:
        """Prints the flags of a group."""
        from cyclopts.help import DefaultFormatter  # only help needs it

        for entry in panel.entries:
            words = entry.description.primary_renderable
            words.plain = " ".join(words.plain.split())
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console, options, usage) -> None:
        """Prints the first line."""
        line = str(usage).replace("[ARGS]", self.names)
        console.print(f"Usage: {line}", markup=False, highlight=False)


def _signature(config: type) -> inspect.Signature:
    """How the command line fills a config: by flags, but for what the class lists as ARGUMENTS.

    Python may give all fields in their order; on the command line a stray word would become one.
    """
    arguments = getattr(config, "ARGUMENTS", ())
    _, *fields = inspect.signature(config.__init__).parameters.values()
    return inspect.Signature(
        [
            field if field.name in arguments else field.replace(kind=field.KEYWORD_ONLY)
            for field in fields
        ]
    )


def _paragraphs(docstring: str) -> str:
    """A docstring without the line breaks of the source, which end in the middle of a line of help."""
    paragraphs = re.split(r"\n\s*\n", docstring.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _shown(default: Any) -> str | None:
    """A default as it would be typed; None for one that says nothing."""
    if isinstance(default, tuple):
        return " ".join(shlex.quote(str(item)) for item in default) or None
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, float):
        return f"{default:g}"
    return None if default is None else str(default)


def flags_of(app: App) -> list[str]:
    """The flags of a `command_app`, such as "--image-size"; of a switch also its --no- twin."""
    arguments = app.assemble_argument_collection(parse_docstring=False)
    flags = [a for a in arguments if a.parse and a.index is None and a.name.startswith("-")]
    return [name for argument in flags for name in argument.names]


def completion(shell: str, commands: Mapping[str, tuple[type, str]]) -> str:
    """The script that completes `skyseg` in a shell: verbs, their flags, and values of few choices.

    Args:
      shell: one of SHELLS.
      commands: verb -> the dataclass of its flags, and what it does.

    Raises:
      InputError: another shell.
    """
    if shell not in SHELLS:
        raise InputError(not_among("completion for", shell, SHELLS))

    def skyseg(*, completion: Literal[SHELLS] | None = None) -> None:
        """The flags that need no verb."""

    root = App(name="skyseg", help_format="plaintext", version_flags=("--version",))
    root.default(skyseg)
    for verb, (config, text) in commands.items():
        app = command_app(config, verb)
        app.help = text
        root.command(app, name=verb)
    return root.generate_completion(shell=shell)
