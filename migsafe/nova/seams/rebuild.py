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
"""Reverts what nova-api records of a new image before a rebuild that is then refused.

``API.rebuild`` saves all of it and then sends the message. Nova itself takes back
no more than ``image_ref``, when its scheduler refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova import objects, utils
from oslo_log import log as logging

from migsafe.text import masked

LOG = logging.getLogger(__name__)

PREFIX = utils.SM_IMAGE_PROP_PREFIX
#: The instance's fields that nova-api takes from the image's properties, with what
#: one without the property has.
INHERITED: Mapping[str, str | None] = {
    'os_type': None, 'architecture': None, 'vm_mode': None,
    'kernel_id': '', 'ramdisk_id': ''}


def give_back(instance: Any, image_ref: str | None,
              metadata: Mapping[str, str]) -> None:
    """Save an instance with the image that its disk is of.

    :param image_ref: that image
    :param metadata: the instance's system metadata before the rebuild
    """
    kept = {key: value for key, value in instance.system_metadata.items()
            if not key.startswith(PREFIX)}
    old = {key: value for key, value in metadata.items()
           if key.startswith(PREFIX)}
    instance.system_metadata = kept | old
    if instance.image_ref:
        # Empty means that it boots from a volume.
        instance.image_ref = image_ref
    for field, value in _inherited(old).items():
        setattr(instance, field, value)
    instance.save()


def _inherited(metadata: Mapping[str, str]) -> dict[str, str | None]:
    """As API._inherit_properties_from_image and _handle_kernel_and_ramdisk."""
    found = {field: metadata.get(PREFIX + field) or default
             for field, default in INHERITED.items()}
    if found['kernel_id'] == 'nokernel':
        found |= {'kernel_id': '', 'ramdisk_id': ''}
    # A property without a value is text in the metadata.
    return {field: INHERITED[field] if value == 'None' else value
            for field, value in found.items()}


def tell_scheduler(context: Any, instance: Any) -> None:
    """Its record of the instance is in the API database, which the conductor
    of a cell may not reach. Nothing on a host goes by it. What it gets is what
    ``nova-manage image_property set`` gives it."""
    try:
        spec = objects.RequestSpec.get_by_instance_uuid(context, instance.uuid)
        spec.image = instance.image_meta
        spec.save()
    except Exception as error:
        LOG.warning(
            'The scheduler goes by the image of a refused rebuild of this '
            'instance until it is rebuilt, because its request spec could '
            'not be set back: %s', masked(error), instance=instance)
