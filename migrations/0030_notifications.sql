-- Notices in the order of their commits, what customers wish to be told and in which language, reminders, and the
-- deliveries to the outside that did not succeed at once.

-- `seq` numbers notices in the order in which they become visible: writers hold advisory lock 4203 from before the first
-- number to the commit. So whoever has read up to a number has missed nothing below it.
CREATE SEQUENCE notification_seq AS bigint;
ALTER TABLE notifications
    ADD COLUMN seq      bigint   NOT NULL DEFAULT nextval('notification_seq'),
    ADD COLUMN channels smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN notifications.channels IS 'where a copy goes besides the list: 1 = text message, 2 = e-mail';
CREATE INDEX notifications_seq_idx ON notifications (seq);
DROP INDEX notifications_recipient_idx;
CREATE INDEX notifications_recipient_idx ON notifications (recipient_id, recipient_type, seq DESC);

ALTER TABLE user_preferences ADD COLUMN language text CHECK (language ~ '^[a-z]{2}$');
COMMENT ON COLUMN user_preferences.language IS 'of notices; null: the customer did not choose';
-- The few whose notices differ from the usual; looked up for every delivery of events.
CREATE INDEX user_preferences_wishes_idx ON user_preferences (user_id)
    WHERE language IS NOT NULL OR NOT transactional_alerts OR NOT recharge_remainders OR NOT sms_notification
       OR NOT email_notification;

-- One row per subscription whose end was announced; written with the event, so each is announced once.
CREATE TABLE bill_reminders (
    subscription_id bigint PRIMARY KEY,
    due_at          timestamptz NOT NULL,
    sent_at         timestamptz NOT NULL
);
CREATE INDEX bill_reminders_due_idx ON bill_reminders (due_at);

-- How far each channel to the outside has come in the order of notices, and who works on it.
CREATE TABLE message_channels (
    channel      text PRIMARY KEY,
    position     bigint NOT NULL,
    leased_by    bigint,
    leased_until timestamptz
);

-- Copies that could not be delivered at once: tried again at `next_at`, dead when it is null.
CREATE TABLE message_failures (
    channel         text NOT NULL,
    notification_id text COLLATE "C" NOT NULL,
    recipient_id    bigint NOT NULL,
    description     text NOT NULL,
    created_at      timestamptz NOT NULL,
    attempts        integer NOT NULL,
    failed_at       timestamptz NOT NULL,
    next_at         timestamptz,
    last_error      text NOT NULL,
    PRIMARY KEY (channel, notification_id)
);
CREATE INDEX message_failures_next_idx ON message_failures (channel, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX message_failures_dead_idx ON message_failures (channel, failed_at) WHERE next_at IS NULL;
