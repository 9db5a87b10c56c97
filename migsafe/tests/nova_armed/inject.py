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
"""What happens inside each test process before the first test.

As little as possible. Nova's fake libvirt and Cinder are completed, and in an
armed run migsafe is switched on the way an operator does it: by configuration,
with ``migsafe.nova.arming.arm`` called where nova-compute's own start would call it.
All of it waits for Nova's modules to be imported by Nova's tests, so that the
tests decide about eventlet before anything else is loaded.
"""

import functools
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import wrapt

from migsafe.tests.nova_armed import watch

MODE = "MIGSAFE_NOVA_TESTS"
STATE_DIR = "MIGSAFE_NOVA_TESTS_STATE"


def install(environ: Mapping[str, str]) -> None:
    """Prepare this process.

    :param environ: MIGSAFE_NOVA_TESTS is "plain" or "armed", anything else
        leaves the process alone; MIGSAFE_NOVA_TESTS_STATE is a directory.
    """
    mode = environ.get(MODE)
    if mode not in ("plain", "armed"):
        return
    wrapt.register_post_import_hook(_complete_libvirt, "nova.tests.fixtures.libvirt")
    wrapt.register_post_import_hook(_complete_cinder, "nova.tests.fixtures.cinder")
    state_dir = pathlib.Path(environ[STATE_DIR])
    wrapt.register_post_import_hook(functools.partial(watch.report, state_dir), "nova.test")
    if mode == "armed":
        wrapt.register_post_import_hook(
            functools.partial(_configure_each_test, state_dir), "nova.tests.fixtures.conf"
        )
        wrapt.register_post_import_hook(functools.partial(_arm, state_dir), "nova.test")


def _complete_libvirt(module: ModuleType) -> None:
    from migsafe.tests.nova_armed import fakelibvirt

    fakelibvirt.patch(module)


def _complete_cinder(module: ModuleType) -> None:
    from migsafe.tests.nova_armed import fakecinder

    fakecinder.patch(module)


def _configure_each_test(state_dir: pathlib.Path, module: ModuleType) -> None:
    """Give each test ``[migsafe] enabled = true`` and a journal directory of its own."""

    def set_up(wrapped: Any, fixture: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        _switch_on(fixture.conf, state_dir)
        return result

    wrapt.wrap_function_wrapper(module, "ConfFixture.setUp", set_up)


def _switch_on(conf: Any, state_dir: pathlib.Path) -> None:
    import migsafe.conf

    migsafe.conf.register_opts(conf)
    # set_default, as Nova's own fixture does: a test may still override it,
    # and oslo.config forgets it at the end of the test.
    conf.set_default("enabled", True, group="migsafe")
    conf.set_default("state_path", tempfile.mkdtemp(dir=state_dir), group="migsafe")
    # The block devices of these tests are made up; the guards would rightly
    # say that they are not there. They have a tier of their own.
    conf.set_default("device_guards", False, group="migsafe")
    # Some of Nova's tests force a host down that lives on with its guest, and evacuate it: just
    # what is refused. The look at the host is taken all the same.
    conf.set_default("evacuation", "warn", group="migsafe")


def _arm(state_dir: pathlib.Path, module: ModuleType) -> None:
    import migsafe.nova.arming

    conf = module.CONF
    _switch_on(conf, state_dir)
    migsafe.nova.arming.arm(conf)
    # The runner counts these: a run whose processes were not armed would
    # compare plain Nova with plain Nova.
    proof = {"pid": os.getpid(), "wrapped": _wrapped_methods()}
    (state_dir / f"armed.{os.getpid()}.json").write_text(json.dumps(proof), encoding="utf-8")


def _wrapped_methods() -> list[str]:
    """Methods of the ComputeManager that a wrapt wrapper stands in front of."""
    from nova.compute import manager

    return sorted(
        name
        for name, value in vars(manager.ComputeManager).items()
        if isinstance(value, wrapt.FunctionWrapper)
    )
