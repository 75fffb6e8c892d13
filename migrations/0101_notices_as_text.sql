-- A notice's document is written once for each recharge and read when somebody looks. As jsonb every write parsed it, which
-- was a quarter of what storing a notice cost; as text only the few statements that look into it do.
ALTER TABLE notifications ALTER COLUMN document TYPE text USING document::text;
COMMENT ON COLUMN notifications.document IS 'what the columns do not say, as JSON text';
