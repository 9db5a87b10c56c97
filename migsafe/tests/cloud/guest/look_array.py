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
"""What LIO has: each volume's serial number, and to whom it is mapped, as JSON."""

import json

import rtslib_fb

root = rtslib_fb.RTSRoot()
serials = {one.udev_path: one.wwn for one in root.storage_objects}
exports = [{'initiator': acl.node_wwn, 'target': acl.parent_tpg.parent_target.wwn,
            'path': lun.tpg_lun.storage_object.udev_path}
           for acl in root.node_acls for lun in acl.mapped_luns]
print(json.dumps({'serials': serials, 'exports': exports,
                  'targets': [target.wwn for target in root.targets]}))
