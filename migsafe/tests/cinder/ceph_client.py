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
"""Opens an image for writing and writes what it is told: ``MODULES CONF USER POOL IMAGE``.

Prints its address, then "written" or the error for each line ``OFFSET TEXT``.
"""

import sys

modules, conf, user, pool, image = sys.argv[1:]
sys.path.append(modules)

import rados  # noqa: E402  (needs the path above)
import rbd  # noqa: E402

with rados.Rados(rados_id=user, conffile=conf, conf={'rbd_cache': 'false'}) as cluster, \
        cluster.open_ioctx(pool) as ioctx, rbd.Image(ioctx, image) as opened:
    print(cluster.get_addrs(), flush=True)
    for line in sys.stdin:
        offset, text = line.split()
        try:
            opened.write(text.encode(), int(offset))
            print('written', flush=True)
        except rbd.Error as error:
            print(type(error).__name__, flush=True)
