# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""``.. parser-help:: module:function``: the help of an argparse command and its subcommands."""

import argparse
import importlib
import os
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive


def helps(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """The program name and the help of each command that can be called."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in below:
        for child in action.choices.values():
            yield from helps(child)
    if not below:
        yield parser.prog, parser.format_help()


class ParserHelp(Directive):
    """Shows what the real parser says, so that it cannot be out of date."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, function = self.arguments[0].partition(":")
        os.environ["COLUMNS"] = "90"
        found: list[nodes.Node] = []
        for name, text in helps(getattr(importlib.import_module(module), function)()):
            found += [nodes.rubric("", name), nodes.literal_block(text, text, language="none")]
        return found


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("parser-help", ParserHelp)
    return {"parallel_read_safe": True}
