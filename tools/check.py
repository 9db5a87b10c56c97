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
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Container, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "etc" / "migsafe"

# Part of migsafe -> the modules that it must not import. The longest matching
# part decides; doc/source/contributor/design.rst says why.
LAYERS = {
    "migsafe": ("eventlet", "gevent", "futurist", "asyncio", "multiprocessing", "concurrent"),
    "migsafe.audit": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.brick": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.transaction"),
    "migsafe.conf": ("eventlet", "nova", "cinder", "migsafe.journal", "migsafe.nova"),
    "migsafe.exporter": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.journal": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.transaction"),
    "migsafe.lvm": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.journal"),
    "migsafe.fencing": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.ledger": ("eventlet", "nova", "cinder", "migsafe.cinder", "migsafe.transaction"),
    "migsafe.transaction": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.preflight": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.repair": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.watch": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    "migsafe.resources": ("eventlet", "nova", "cinder", "migsafe.nova", "migsafe.cli"),
    # concurrent.futures stands on threading alone, and becomes green with it.
    "migsafe.nova": ("eventlet", "gevent", "futurist", "asyncio", "multiprocessing"),
    "migsafe.cinder": ("eventlet", "gevent", "nova", "migsafe.nova", "migsafe.transaction"),
    # The laboratory runs processes of its own, and Nova's executors in them.
    "migsafe.replay": ("eventlet", "gevent"),
    "migsafe.cli": ("eventlet", "nova", "cinder", "migsafe.nova"),
    "migsafe.tests": (),
}

# What a wheel does not have (setup.py), and the parts that may import it: they are not there
# either.
SOURCE_ONLY = {
    "migsafe.replay": ("migsafe.replay", "migsafe.tests"),
    "migsafe.tests": ("migsafe.tests",),
}


def ruff() -> list[str]:
    """Style and likely bugs."""
    return _tool("ruff", "check", ".")


# What bandit finds and why it is right, each once: (test, file; "" is any file).
BANDIT = {
    ("B101", ""): "assert narrows a type; threats.test_switches looks that it does nothing else",
    ("B311", ""): "random spreads retries; nothing secret comes from it",
    ("B404", ""): "subprocess is needed, and B602 to B609 look at each call",
    ("B603", ""): "it is always called with a list, never with a shell",
    ("B405", "migsafe/brick/identity/proof.py"): "see the next one",
    ("B314", "migsafe/brick/identity/proof.py"): "libvirt's own files, of bounded length; expat "
    "bounds what entities become since 2.4.1",
    ("B105", "tools/clouds/addresses.py"): "made to be looked for in reports",
    ("B105", "migsafe/cinder/inspectors/ontap.py"): "the name of an option of Cinder",
}


def bandit() -> list[str]:
    """Security: nothing but what is explained above, and nothing explained in vain."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", "migsafe", "tools", "-f", "json"]
    done = subprocess.run(
        [*command, "-x", "migsafe/tests,migsafe/replay"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return [f"bandit ended with {done.returncode}", *done.stderr.splitlines()[-5:]]
    used, problems = set(), [f"{one['filename']}: {one['reason']}" for one in report["errors"]]
    for one in report["results"]:
        name, test = one["filename"].removeprefix("./"), one["test_id"]
        known = {(test, name), (test, "")} & BANDIT.keys()
        used |= known
        if not known:
            problems.append(f"{name}:{one['line_number']}: {test} {one['issue_text']}")
    return problems + [f"{test} {name}: not found any more" for test, name in BANDIT.keys() - used]


def mypy() -> list[str]:
    """Types, strictly, of everything but the tests."""
    return _tool("mypy")


def sample() -> list[str]:
    """The configuration samples say what the options say."""
    generators = sorted(SAMPLES.glob("*-config-generator.conf"))
    return [problem for generator in generators for problem in _stale(generator)]


def _stale(generator: pathlib.Path) -> list[str]:
    kept = SAMPLES / generator.name.replace("-config-generator.conf", ".conf.sample")
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as fresh:
        problems = _tool(
            "oslo_config.generator",
            *("--config-file", str(generator), "--output-file", fresh.name),
        )
        if problems:
            return problems
        if kept.is_file() and kept.read_text(encoding="utf-8") == fresh.read():
            return []
    return [f"{kept.relative_to(ROOT)} is not what the options say; run: tox -e genconfig"]


def layers() -> list[str]:
    """Imports run one way, and nothing chooses a concurrency model."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {part} must not import {module}"
        for path in sorted((ROOT / "migsafe").rglob("*.py"))
        for part, forbidden in [_layer(path)]
        for line, module in _imports(path)
        if any(_within(module, name) for name in (*forbidden, *_closed_to(path)))
    ]


def circles() -> list[str]:
    """No module imports itself by way of others, and no room of migsafe another room that
    imports it: a room is a package two levels down, such as migsafe.nova.seams."""
    graph = _graph()
    rooms: dict[str, set[str]] = {}
    for module, imported in graph.items():
        rooms.setdefault(_room(module), set()).update(map(_room, imported))
    return [
        f"{what} import one another in a circle: {' -> '.join(found)}"
        for what, edges in (("modules", graph), ("rooms", rooms))
        for found in _circles({name: to - {name} for name, to in edges.items()})
    ]


def _graph() -> dict[str, set[str]]:
    """Module -> the modules of migsafe that it imports, tests left out."""
    paths = {
        _module(path): path
        for path in (ROOT / "migsafe").rglob("*.py")
        if "tests" not in path.relative_to(ROOT).parts
    }
    return {
        module: {found for _, name in _imports(path) if (found := _known(name, paths))} - {module}
        for module, path in paths.items()
    }


def _known(name: str, modules: Container[str]) -> str:
    """The module that an imported name is, or is in; empty if it is none of these."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _room(module: str) -> str:
    return ".".join(module.split(".")[:3]) if module.count(".") > 2 else module


def _circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """One circle for each module from which a walk comes back to it, each told once."""
    told: set[frozenset[str]] = set()
    for start in sorted(graph):
        back = _way(graph, start)
        if back and frozenset(back) not in told:
            told.add(frozenset(back))
            yield back


def _way(graph: dict[str, set[str]], start: str) -> list[str]:
    """The shortest walk from a node back to it; empty if there is none."""
    walks, seen = [[start]], {start}
    while walks:
        walk = walks.pop(0)
        for after in sorted(graph.get(walk[-1], ())):
            if after == start:
                return [*walk, start]
            if after not in seen:
                seen.add(after)
                walks.append([*walk, after])
    return []


def aliases() -> list[str]:
    """No import renames to two letters, which no reader can look up; SQLAlchemy's own sa may."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}: import {alias.name} as {alias.asname}:"
        " two letters say nothing, import the names or the whole module"
        for top in ("migsafe", "tools", "benchmarks", "doc")
        for path in sorted((ROOT / top).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname and len(alias.asname) < 3
        if (alias.name, alias.asname) != ("sqlalchemy", "sa")
    ]


def _module(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(path: pathlib.Path) -> tuple[str, tuple[str, ...]]:
    module = _module(path)
    part = max((name for name in LAYERS if _within(module, name)), key=len)
    return part, LAYERS[part]


def _within(module: str, part: str) -> bool:
    return f"{module}.".startswith(f"{part}.")


def _closed_to(path: pathlib.Path) -> list[str]:
    """The parts of SOURCE_ONLY that this module must not import."""
    module = _module(path)
    return [
        part
        for part, users in SOURCE_ONLY.items()
        if not any(_within(module, user) for user in users)
    ]


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
    check.__name__: check for check in (ruff, bandit, layers, circles, aliases, mypy, sample)
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
