-- Backups that were made, are being made, or failed. What is in a file is told by the file itself (its manifest); a row is
-- what administrators see of it. Only `success` may be restored.
CREATE TABLE backups (
    backup_id     text PRIMARY KEY,
    backup_data   text NOT NULL,
    snapshot_name text NOT NULL,
    storage_url   text,
    status        text NOT NULL CHECK (status IN ('running', 'success', 'failed')),
    size_bytes    bigint,
    description   text,
    details       jsonb,
    created_at    timestamptz NOT NULL,
    created_by    bigint
);
CREATE INDEX backups_created_idx ON backups (created_at DESC);
COMMENT ON COLUMN backups.created_by IS 'the administrator; null: the schedule or the command line';
