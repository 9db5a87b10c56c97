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
"""The options of migsafe: one module per group, each with register_opts and list_opts."""

from collections.abc import Sequence

from oslo_config import cfg

from migsafe.conf import migsafe

MODULES = (migsafe,)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option of migsafe on ``conf``; safe to call again."""
    for module in MODULES:
        module.register_opts(conf)


def list_opts() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Return all options for the sample file (entry point ``oslo.config.opts``)."""
    return [pair for module in MODULES for pair in module.list_opts()]
