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
"""Whether rootwrap would start the privileged helper that is installed with migsafe.

The service finds out when it starts the helper, which in cinder-volume is when a volume is first
attached to be copied. Nothing is started here.
"""

import configparser
import os
import sysconfig
from collections.abc import Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from migsafe.cli import config, results, show

HELPER = 'privsep-helper'


def check(files: Sequence[str], project: str) -> upgradecheck.Result:
    """Look for the helper as rootwrap does: in the directories of exec_dirs, one by one.

    :param files: the configuration of the service, in the order in which it reads them
    :param project: nova or cinder
    :raises ConfigError: a file cannot be read
    """
    # NOTE: here, since oslo_privsep imports eventlet, which no other command does
    from oslo_privsep import priv_context

    from migsafe.conf import privileged

    conf = config.load(files, ())
    conf.register_opts([cfg.StrOpt('rootwrap_config', default=f'/etc/{project}/rootwrap.conf')])
    conf.register_opts([cfg.BoolOpt('disable_rootwrap', default=False)], 'workarounds')
    conf.register_opts(priv_context.OPTS, privileged.SECTION)
    if conf[privileged.SECTION].helper_command or conf.workarounds.disable_rootwrap:
        return results.good('The privileged helper is not started through rootwrap.')
    path = str(conf.rootwrap_config)
    try:
        directories = exec_dirs(path)
    except FileNotFoundError:
        return results.good(f'There is no {show.text(path)}, and nothing that could be said of '
                            f'{HELPER}.')
    except (OSError, configparser.Error) as error:
        return results.doubt(f'{show.text(path)} cannot be read, so that it is not known whether '
                             f'rootwrap finds {HELPER}: {show.text(error)}')
    return judge(path, directories, sysconfig.get_path('scripts'))


def exec_dirs(path: str) -> list[str]:
    """Read the directories from a rootwrap.conf, as rootwrap does.

    :raises OSError: it cannot be read
    :raises configparser.Error: it is no configuration file
    """
    read = configparser.RawConfigParser()
    with open(path, encoding='utf-8') as file:
        read.read_file(file)
    if read.has_option('DEFAULT', 'exec_dirs'):
        return read.get('DEFAULT', 'exec_dirs').split(',')
    return os.get_exec_path()


def judge(path: str, directories: Sequence[str], scripts: str) -> upgradecheck.Result:
    """Say which helper rootwrap would start.

    :param scripts: where this environment has its programs
    """
    mine = os.path.join(scripts, HELPER)
    there = [found for one in directories
             if os.access(found := os.path.join(one, HELPER), os.X_OK)]
    cure = f'Put {show.text(scripts)} first into exec_dirs in {show.text(path)}.'
    if not there:
        return results.bad(f'{HELPER}, which the device guards need, is not found by rootwrap: '
                           f'none of {show.text(",".join(directories))} has it. {cure}')
    if os.path.exists(mine) and not os.path.samefile(there[0], mine):
        return results.doubt(f'rootwrap starts {show.text(there[0])}, which is not of the '
                             f'environment that migsafe is in. {cure}')
    return results.good()
