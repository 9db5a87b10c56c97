-- Incident 000 ten minutes before the instance was stopped and started, to be run after
-- incident-000.sql: its guest still has the disks open that it was started with. The columns by which
-- Nova locks an instance are added, and the rest of the UUID, which the report does not say, is chosen.
UPDATE instances SET uuid = '66009d94-114f-4062-99b0-000000000000', updated_at = '2017-05-25 06:36:09';
UPDATE block_device_mapping SET instance_uuid = '66009d94-114f-4062-99b0-000000000000';
UPDATE migrations SET instance_uuid = '66009d94-114f-4062-99b0-000000000000';
UPDATE instance_actions SET instance_uuid = '66009d94-114f-4062-99b0-000000000000';
UPDATE volume_attachment SET instance_uuid = '66009d94-114f-4062-99b0-000000000000';
ALTER TABLE instances ADD COLUMN locked BOOLEAN;
ALTER TABLE instances ADD COLUMN locked_by VARCHAR(255);
UPDATE instances SET locked = 0;
CREATE TABLE instance_system_metadata (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  instance_uuid VARCHAR(36) NOT NULL, key VARCHAR(255) NOT NULL, value VARCHAR(255), deleted INTEGER);
DELETE FROM instance_actions WHERE start_time > '2017-06-01';
UPDATE services SET updated_at = '2017-06-05 02:18:04';
