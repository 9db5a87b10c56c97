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
import configparser
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import pwd
import re
import subprocess
import sys

import fixtures
import testtools

from migsafe.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[4]


def load(name):
    """Import a file of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class LayersTest(testtools.TestCase):
    def test_the_most_special_rule_decides(self):
        check = load("check")
        self.assertEqual(
            "migsafe.journal", check._layer(ROOT / "migsafe" / "journal" / "api.py")[0]
        )
        self.assertEqual("migsafe", check._layer(ROOT / "migsafe" / "text.py")[0])

    def test_an_import_the_wrong_way_is_found(self):
        check = load("check")
        check.ROOT = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        below = check.ROOT / "migsafe" / "journal"
        below.mkdir(parents=True)
        (below / "api.py").write_text("def f():\n    from nova import objects\n")
        (below / "ok.py").write_text("import novaclient\nfrom migsafe import conf\n")
        self.assertEqual(
            ["migsafe/journal/api.py:2: migsafe.journal must not import nova.objects"],
            check.layers(),
        )


    def test_what_a_wheel_has_imports_nothing_that_it_has_not(self):
        check = load("check")
        check.ROOT = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for room in ("nova", "replay", "tests"):
            (check.ROOT / "migsafe" / room).mkdir(parents=True)
        text = "from migsafe.replay import run\nfrom migsafe.tests import base\n"
        for room in ("nova", "replay", "tests"):
            (check.ROOT / "migsafe" / room / "use.py").write_text(text)
        self.assertEqual(
            [
                "migsafe/nova/use.py:1: migsafe.nova must not import migsafe.replay.run",
                "migsafe/nova/use.py:2: migsafe.nova must not import migsafe.tests.base",
                "migsafe/replay/use.py:2: migsafe.replay must not import migsafe.tests.base",
            ],
            check.layers(),
        )


class ShellTest(testtools.TestCase):
    def shell(self, script):
        return subprocess.run(
            ["bash", "-euc", f". {ROOT}/tools/lib.sh; {script}"],
            env={"ROOT": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    def test_the_packages_come_from_bindep(self):
        plain, test = self.shell("debian_packages"), self.shell("debian_packages test")
        self.assertIn("python3-venv", plain)
        self.assertNotIn("mariadb-server", plain)
        self.assertLessEqual(set(plain) | {"mariadb-server", "rabbitmq-server"}, set(test))

    def policy(self, script):
        """What is left of the machine's own policy-rc.d, whatever ends the script."""
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        policy = top / "policy-rc.d"
        policy.write_text("of the machine")
        done = subprocess.run(
            ["bash", "-eu", "-c", f". {ROOT}/tools/lib.sh; POLICY={policy}; {script}"],
            env={"ROOT": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return (
            done.returncode,
            done.stdout,
            {name.name: name.read_text() for name in top.iterdir()},
        )

    def test_no_service_is_kept_from_starting_afterwards(self):
        mine = {"policy-rc.d": "of the machine"}
        show = "as_root() { \"$@\"; }; inside() { tail -1 $POLICY; $1; }; "
        end = "without_services inside"
        for how, code in (
            ("true", 0),
            ("false", 1),
            ("kill -TERM $BASHPID", 143),
            ("kill -INT $BASHPID", 130),
            ("kill -HUP $BASHPID", 129),
        ):
            with self.subTest(how):
                script = f"{show} how() {{ {how}; }}; {end} how"
                self.assertEqual((code, "exit 101\n", mine), self.policy(script))

    def test_what_a_run_killed_outright_has_left_is_put_back(self):
        show = "as_root() { \"$@\"; }; die() { kill -KILL $BASHPID; }; "
        script = f"{show} without_services die || cat $POLICY | tail -1; without_services true"
        code, out, left = self.policy(script)
        self.assertEqual((0, "exit 101\n"), (code, out))
        self.assertEqual({"policy-rc.d": "of the machine"}, left)

    def test_the_devstack_plugin_switches_it_on(self):
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (top / "nova.conf").touch()
        user = pwd.getpwuid(os.getuid()).pw_name
        script = f"""
            DEST={top} DATA_DIR={top} NOVA_CONF={top}/nova.conf STACK_USER={user}
            NOVA_CPU_CONF={top}/absent NOVA_CONF_DIR={top} MIGSAFE_DIR={ROOT}
            is_service_enabled() {{ [ "$1" = n-cpu ]; }}
            sudo() {{ local words=(); for word; do words+=("${{word/#root/{user}}}"); done
                      "${{words[@]}}"; }}; echo_summary() {{ :; }}
            setup_develop() {{ echo "develop $1"; }}; iniset() {{ echo "$2.$3=$4"; }}
            . {ROOT}/devstack/settings
            for phase in install post-config; do . {ROOT}/devstack/plugin.sh stack $phase; done
            stat -c %a {top}/migsafe
        """
        self.assertEqual(
            ["develop", str(ROOT), "migsafe.enabled=True", "migsafe.enforce=True"]
            + [f"migsafe.state_path={top}/migsafe", "700"],
            self.shell(script),
        )

    def test_the_devstack_plugin_guards_each_backend(self):
        """And puts the drivers back."""
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        user = pwd.getpwuid(os.getuid()).pw_name
        lvm = "cinder.volume.drivers.lvm.LVMVolumeDriver"
        script = f"""
            DEST={top} DATA_DIR={top} STACK_USER={user} MIGSAFE_DIR={ROOT}
            CINDER_CONF={top}/cinder.conf CINDER_CONF_DIR={top}
            CINDER_ENABLED_BACKENDS=lvm:lvmdriver-1,ceph:ceph
            is_service_enabled() {{ [ "$1" = c-vol ]; }}
            sudo() {{ local words=(); for word; do words+=("${{word/#root/{user}}}"); done
                      "${{words[@]}}"; }}; echo_summary() {{ :; }}; setup_develop() {{ :; }}
            iniset() {{ printf %s "$4" > "$1.$2.$3"; }}
            iniget() {{ cat "$1.$2.$3" 2>/dev/null || true; }}
            inidelete() {{ rm -f "$1.$2.$3"; }}
            iniset $CINDER_CONF lvmdriver-1 volume_driver {lvm}
            iniset $CINDER_CONF lvmdriver-1 target_helper lioadm
            iniset $CINDER_CONF ceph volume_driver cinder.volume.drivers.rbd.RBDDriver
            . {ROOT}/devstack/settings
            show() {{ for option in volume_driver migsafe_wrapped_driver migsafe_inspector; do
                for section in lvmdriver-1 ceph; do
                    echo "$(iniget $CINDER_CONF $section $option)" -; done; done; }}
            for times in 1 2; do . {ROOT}/devstack/plugin.sh stack post-config; done
            show
            . {ROOT}/devstack/plugin.sh unstack
            show
        """
        guard, rbd = "migsafe.cinder.driver.GuardedDriver", "cinder.volume.drivers.rbd.RBDDriver"
        words = [word for word in self.shell(script) if word != "-"]
        self.assertEqual([guard, guard, lvm, rbd, "lio", "rbd", lvm, rbd], words)

    def test_both_commands_are_what_the_readme_says(self):
        readme = (ROOT / "README.rst").read_text(encoding="utf-8")
        ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        for command in ("./tools/test.sh", "./tools/replay.sh"):
            self.assertIn(f"    {command}\n", readme)
        self.assertIn("exec ./tools/test.sh\n", ci)


class RequirementsTest(testtools.TestCase):
    def lines(self, name, operator):
        text = (ROOT / name).read_text(encoding="utf-8")
        found = (line.partition("#")[0].partition(operator) for line in text.splitlines())
        return {name.strip(): version.strip() for name, _, version in found if version.strip()}

    def test_the_lower_bounds_are_the_ones_that_are_tested(self):
        lowest = self.lines("constraints/lower-constraints.txt", "==")
        bounds = self.lines("requirements.txt", ">=")
        bounds.pop("pbr")  # builds the package, and is not imported by it
        self.assertLess(10, len(bounds))
        self.assertEqual(bounds, {name: lowest.get(name) for name in bounds})

    def test_constraints_name_releases_of_the_index_only(self):
        for path in sorted((ROOT / "constraints").glob("nova-*.txt")):
            pins = self.lines(f"constraints/{path.name}", "==")
            self.assertIn("nova", pins)
            text = path.read_text(encoding="utf-8")
            for unwanted in ("://", " @ ", "-e ", "file:"):
                self.assertNotIn(unwanted, text)


class ConstraintsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.tool = load("constraints")
        self.asked = []
        self.found = {"nova": "31.3.1", "Oslo_Config": "9.7.2", "new-one": "1.0"}
        self.tool.resolve = lambda *what: self.asked.append(what) or self.found
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "nova-2025.1.txt"
        self.path.write_text("# about\nnova==31.3.1\noslo.config==9.0.0  # why\ngone==1\n")

    def test_what_would_come_without_a_pin(self):
        self.assertEqual(
            ["nova-2025.1.txt: new-one 1.0 would be installed, and is not pinned"],
            self.tool.check(self.path),
        )
        self.assertIn(".[replay,test]", self.asked[0])

    def test_an_environment_of_another_release_is_named(self):
        have = importlib.metadata.version("testtools")
        self.path.write_text(f"testtools=={have}\nfixtures==0.1\nabsent==1.0\n")
        version = importlib.metadata.version("fixtures")
        self.assertEqual(
            [f"nova-2025.1.txt: fixtures {version} is installed, not 0.1"],
            self.tool.installed(self.path),
        )

    def test_tox_keeps_to_the_file_and_looks_before_it_runs_an_older_release(self):
        tox = configparser.ConfigParser(interpolation=None)
        tox.read(ROOT / "tox.ini", encoding="utf-8")
        self.assertEqual("true", tox["testenv"]["constrain_package_deps"])
        releases = [section for section in tox.values() if "2025.1:" in section.get("deps", "")]
        self.assertEqual(3, len(releases))
        for section in releases:
            files = re.findall(r"(\S+): -c \S+/(\S+)", section["deps"])
            self.assertEqual(3, len(files))
            looks = re.findall(r"(\S+): .* installed (\S+)", section["commands_pre"])
            self.assertEqual(files, looks)

    def test_made_anew_with_the_same_release(self):
        upper = pathlib.Path("/srv/upper-constraints.txt")
        self.tool.make(self.path, upper)
        self.assertEqual((upper, "nova==31.3.1"), self.asked[0][:2])
        self.assertEqual(
            "# about\nnew-one==1.0\nnova==31.3.1\nOslo_Config==9.7.2\n", self.path.read_text()
        )

    def test_hashes_are_those_of_what_a_host_needs_in_the_release_of_nova(self):
        normalized, pins = self.tool.normalized, self.tool.pins
        needed = {normalized(re.match(r"[\w.-]+", line)[0]) for line in self.tool.runtime()}
        self.assertIn("pymysql", needed)
        releases = [path.stem[5:] for path in self.tool.FILES.glob("nova-*.txt")]
        self.assertEqual(3, len(releases))
        for release in releases:
            path = self.tool.FILES / f"hashed-{release}.txt"
            have, nova = pins(path), pins(path.with_name(f"nova-{release}.txt"))
            self.assertEqual(set(), needed - set(have))
            common = have.keys() & nova.keys()
            self.assertEqual({n: nova[n] for n in common}, {n: have[n] for n in common})
            text = path.read_text(encoding="utf-8")
            blocks = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
            self.assertEqual(len(have), len(blocks))
            hashes = [re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in blocks]
            self.assertNotIn([], hashes)
            self.assertNotIn("://", text)

    def test_a_file_with_hashes_is_asked_for_by_itself(self):
        path = self.path.with_name("hashed-2026.1.txt")
        path.write_text("new-one==1.0 \\\n    --hash=sha256:00\n")
        self.found = {"new-one": "1.0"}
        self.assertEqual([], self.tool.check(path))
        self.assertEqual((path, "--require-hashes", "-r", str(path)), self.asked[0])

    def test_each_file_is_asked_for_its_own_service(self):
        for name, extras in (("cinder-2025.1", "cinder,test"), ("nova-2026.1", "replay,test")):
            asked = self.tool.wanted(self.tool.FILES / f"{name}.txt")
            self.assertIn(f".[{extras}]", asked)


class EntryPointsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.setup = configparser.ConfigParser()
        self.setup.read(ROOT / "setup.cfg")

    def points(self, group):
        lines = self.setup["entry_points"][group].strip().splitlines()
        return {
            name.strip(): target.strip() for name, _, target in (x.partition("=") for x in lines)
        }

    def test_the_commands_are_the_ones_the_application_has(self):
        declared = {name.replace("_", " "): to for name, to in self.points("migsafe.cli").items()}
        self.assertEqual(COMMANDS, declared)

    def test_what_needs_no_nova_can_be_loaded(self):
        for group in ("migsafe.cli", "migsafe.resources", "oslo.config.opts", "console_scripts"):
            for name, target in self.points(group).items():
                if ".replay." in target:
                    continue
                module, _, attribute = target.partition(":")
                found = getattr(importlib.import_module(module), attribute)
                if group == "migsafe.resources":
                    self.assertEqual(name, found.name)
