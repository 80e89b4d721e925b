from __future__ import annotations

import inspect
import shlex

import click
import pytest

import featx.cli  # noqa: F401  (adds the commands)
from featx.cli.root import commands


def walk(group, *words):
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from walk(command, *words, name)


COMMANDS = dict(walk(commands))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_that_it_understands(words):
    paragraphs = inspect.cleandoc(COMMANDS[words].help).split("\n\n")
    (example,) = [text for text in paragraphs if text.startswith("Example: featx ")]
    typed = shlex.split(example.removeprefix("Example: featx "))
    assert tuple(typed[: len(words)]) == words
    command, arguments = COMMANDS[words], typed[len(words) :]
    if isinstance(command, click.Group):
        _, command, arguments = command.resolve_command(click.Context(command), arguments)
    command.make_context(" ".join(words), arguments)
