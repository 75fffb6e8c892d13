-- Messages that nobody could take, moved here from the broker's parking queue: kept until an administrator gives them back
-- to their queue or throws them away.
CREATE TABLE parked_messages (
    parked_id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    token          text NOT NULL UNIQUE,
    queue          text NOT NULL,
    routing_key    text NOT NULL,
    user_id        text,
    code           text NOT NULL,
    detail         text NOT NULL,
    content_type   text,
    message_id     text,
    correlation_id text,
    sent_at        timestamptz,
    headers        jsonb NOT NULL,
    body           bytea NOT NULL,
    parked_at      timestamptz NOT NULL
);
COMMENT ON COLUMN parked_messages.token IS 'the same at every delivery of one parked message: it is kept once';
COMMENT ON COLUMN parked_messages.user_id IS 'the producer''s user at the broker, which vouches for it';
