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
"""The checks that need no test run: ``python tools/check.py [NAME ...]``.

Each is a name and a function that gives the problems it found. Exit code 0:
none; 1: some, printed one by one.
"""

import argparse
import ast
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "etc" / "migsafe" / "migsafe.conf.sample"

# Part of migsafe -> the modules that it must not import. The longest matching
# part decides; doc/source/contributor/design.rst says why.
LAYERS = {
    "migsafe": ("eventlet", "gevent", "futurist", "asyncio", "multiprocessing", "concurrent"),
    "migsafe.brick": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.transaction"),
    "migsafe.conf": ("eventlet", "nova", "cinder", "migsafe.journal", "migsafe.nova"),
    "migsafe.journal": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.transaction"),
    "migsafe.lvm": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.journal"),
    "migsafe.ledger": ("eventlet", "nova", "cinder", "migsafe.cinder", "migsafe.transaction"),
    "migsafe.transaction": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.resources": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    # concurrent.futures stands on threading alone, and becomes green with it.
    "migsafe.nova": ("eventlet", "gevent", "futurist", "asyncio", "multiprocessing"),
    "migsafe.cinder": ("eventlet", "gevent", "nova", "migsafe.nova", "migsafe.transaction"),
    # The laboratory runs processes of its own, and Nova's executors in them.
    "migsafe.replay": ("eventlet", "gevent"),
    "migsafe.cli": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.replay"),
    "migsafe.tests": (),
}


def ruff() -> list[str]:
    """Style and likely bugs."""
    return _tool("ruff", "check", ".")


def mypy() -> list[str]:
    """Types, strictly, of everything but the tests."""
    return _tool("mypy")


def sample() -> list[str]:
    """The configuration sample says what the options say."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as fresh:
        problems = _tool(
            "oslo_config.generator",
            *("--namespace", "migsafe", "--wrap-width", "79", "--output-file", fresh.name),
        )
        if problems:
            return problems
        if SAMPLE.is_file() and SAMPLE.read_text(encoding="utf-8") == fresh.read():
            return []
    return [f"{SAMPLE.relative_to(ROOT)} is not what the options say; run: tox -e genconfig"]


def layers() -> list[str]:
    """Imports run one way, and nothing chooses a concurrency model."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {part} must not import {module}"
        for path in sorted((ROOT / "migsafe").rglob("*.py"))
        for part, forbidden in [_layer(path)]
        for line, module in _imports(path)
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]


def _layer(path: pathlib.Path) -> tuple[str, tuple[str, ...]]:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    part = max((p for p in LAYERS if f"{module}.".startswith(f"{p}.")), key=len)
    return part, LAYERS[part]


def _imports(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _tool(module: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", module, *arguments]
    if module == "oslo_config.generator":
        main = "import sys; from oslo_config.generator import main; sys.exit(main())"
        command = [sys.executable, "-c", main, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.returncode:
        return []
    return (done.stdout + done.stderr).splitlines() or [f"{module} ended with {done.returncode}"]


CHECKS: dict[str, Callable[[], list[str]]] = {
    check.__name__: check for check in (ruff, layers, mypy, sample)
}


def main() -> int:
    """Run the named checks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CHECKS))
    names = parser.parse_args().names or list(CHECKS)
    if unknown := sorted(set(names) - CHECKS.keys()):
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    failed = 0
    for name in names:
        problems = CHECKS[name]()
        failed += bool(problems)
        print(*problems, f"{name}: {'failed' if problems else 'ok'}", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
