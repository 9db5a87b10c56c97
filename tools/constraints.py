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
"""Make and check the files of constraints/: ``python tools/constraints.py``.

``check [FILE ...]`` asks pip whether a release of Nova or Cinder, this project and what its tests
need can be installed with exactly the versions of a file, and whether it names all of them.
``make FILE UPPER`` writes a file anew: with the versions of OpenStack's own upper-constraints.txt
of that release (openstack/requirements, branch stable/RELEASE), and for what that does not name
with the newest ones that fit.
``hash [RELEASE ...]`` writes ``hashed-RELEASE.txt`` anew: what migsafe itself needs on a host with
that release of Nova or Cinder, with the sha256 of each file that the index has of it, for pip's
``--require-hashes``. It needs pip-tools.
``installed FILE`` says whether the environment that runs it has the versions of a file; tox asks
before it runs tests of an older release, which would otherwise pass on the newest.
Nothing is installed; all but the last need the package index.
"""

import argparse
import configparser
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ROOT / "constraints"
PIPTOOLS = (
    *("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"),
)
HASHED = """\
# What migsafe needs beside Nova or Cinder {0}, in the versions of nova-{0}.txt, Python 3.11.
# Use: pip install --require-hashes -c constraints/hashed-{0}.txt -r constraints/hashed-{0}.txt
# Made by: tools/constraints.py hash {0}
"""
EXTRAS = {"nova-2026.2.txt": "cinder,replay,test", "nova": "replay,test", "cinder": "cinder,test"}


def wanted(path: pathlib.Path) -> list[str]:
    """What pip is asked for with a file of constraints."""
    service = path.name.partition("-")[0]
    if service == "hashed":
        return ["--require-hashes", "-r", str(path)]
    extras = EXTRAS.get(path.name, EXTRAS[service])
    tests = ["-r", "test-requirements.txt"]
    if path.name == "nova-2026.2.txt":
        tests += ["-r", "doc/requirements.txt"]
    return ["-r", "requirements.txt", *tests, f".[{extras}]"]


def resolve(constraints: pathlib.Path, *what: str) -> dict[str, str]:
    """Name -> version of all that pip would install into an empty environment.

    :raises SystemExit: nothing fits together
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", report.name, "-c", str(constraints), *what]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            raise SystemExit(f"{constraints.name}: pip finds no set of versions that fits")
        found = json.load(report)["install"]
    return {
        each["metadata"]["name"]: each["metadata"]["version"]
        for each in found
        if "dir_info" not in each["download_info"]
    }


def pins(path: pathlib.Path) -> dict[str, str]:
    """Normalized name -> version of a file of constraints."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)==([^\s;#]+)", line) for line in lines)
    return {normalized(match[1]): match[2] for match in found if match}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check(path: pathlib.Path) -> list[str]:
    """What is wrong with a file of constraints."""
    have, found = pins(path), resolve(path, *wanted(path))
    return [
        f"{path.name}: {name} {version} would be installed, and is not pinned"
        for name, version in sorted(found.items())
        if normalized(name) not in have
    ]


def installed(path: pathlib.Path) -> list[str]:
    """What of this environment has another version than a file of constraints says."""
    have = pins(path)
    found = {normalized(one.name): one.version for one in importlib.metadata.distributions()}
    return [
        f"{path.name}: {name} {version} is installed, not {have[name]}"
        for name, version in sorted(found.items())
        if have.get(name, version) != version
    ]


def make(path: pathlib.Path, upper: pathlib.Path) -> None:
    """Write a file of constraints for the release of the service that it pins now."""
    service = path.name.partition("-")[0]
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    found = resolve(upper, f"{service}=={pins(path)[service]}", *wanted(path))
    lines = [f"{name}=={version}" for name, version in found.items()]
    path.write_text("\n".join([*head, *sorted(lines, key=str.lower), ""]), encoding="utf-8")


def runtime() -> list[str]:
    """What a host needs for migsafe: its requirements, and the drivers of both databases."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for name in ("mysql", "postgresql"):
        lines += setup["extras"][name].splitlines()
    found = (line.partition("#")[0].strip() for line in lines)
    return [line for line in found if line]


def hashed(release: str) -> pathlib.Path:
    """Write the file with hashes of a release, and give its path.

    :raises subprocess.CalledProcessError: pip-tools finds no set of versions that fits
    """
    path = FILES / f"hashed-{release}.txt"
    with tempfile.TemporaryDirectory() as top:
        asked, answer = pathlib.Path(top, "asked.in"), pathlib.Path(top, "answer.txt")
        asked.write_text("\n".join([*runtime(), ""]), encoding="utf-8")
        command = [sys.executable, "-m", "piptools", "compile", "--quiet", *PIPTOOLS]
        command += ["-c", str(FILES / f"nova-{release}.txt"), "-o", str(answer), str(asked)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        path.write_text(HASHED.format(release) + answer.read_text("utf-8"), encoding="utf-8")
    return path


def main() -> int:
    """Run one of the commands. Exit code 1: a file is not good."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checked = commands.add_parser("check")
    checked.add_argument("names", nargs="*", metavar="FILE", help="names below constraints/")
    made = commands.add_parser("make")
    made.add_argument("name", metavar="FILE")
    made.add_argument("upper", metavar="UPPER", type=pathlib.Path)
    hashes = commands.add_parser("hash")
    hashes.add_argument("releases", nargs="*", metavar="RELEASE")
    installs = commands.add_parser("installed")
    installs.add_argument("names", nargs=1, metavar="FILE")
    options = parser.parse_args()
    if options.command == "hash":
        for release in options.releases or sorted(p.stem[5:] for p in FILES.glob("nova-*.txt")):
            print(hashed(release))
        return 0
    if options.command == "make":
        make(FILES / options.name, options.upper.resolve())
        return 0
    names = options.names or [p.name for p in FILES.glob("*.txt") if p.name[:5] != "lower"]
    look = installed if options.command == "installed" else check
    problems = [problem for name in sorted(names) for problem in look(FILES / name)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
