-- Payments that the gateway did not capture at once, and refunds.

-- A payment's id is the id of the transaction it becomes. Only state, txn_id, settled_at and credited ever change, under the
-- lock of the payer's wallet. A payment that is captured at once has its transaction and no row here.
CREATE TABLE payments (
    payment_id  bigint PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    user_id     bigint NOT NULL,
    state       text NOT NULL
        CHECK (state IN ('pending', 'captured', 'late_capture', 'failed', 'expired', 'refunded')),
    amount      bigint NOT NULL CHECK (amount > 0),
    purchase    jsonb NOT NULL,
    transaction jsonb NOT NULL,
    expires_at  timestamptz NOT NULL,
    capture_at  timestamptz,
    settled_at  timestamptz,
    txn_id      bigint,
    credited    text,
    CHECK ((state = 'pending') = (txn_id IS NULL) AND (state = 'pending') = (settled_at IS NULL))
);
COMMENT ON COLUMN payments.amount IS 'paise; what the gateway is to capture';
COMMENT ON COLUMN payments.purchase IS 'the order, kept until the money is there';
COMMENT ON COLUMN payments.transaction IS 'the transaction to be, as it was answered';
COMMENT ON COLUMN payments.capture_at IS 'when the sandbox captures it by itself';
COMMENT ON COLUMN payments.txn_id IS 'the transaction it ended in; a late capture has another than the failure before it';
COMMENT ON COLUMN payments.credited IS 'why the money went into the payer''s wallet instead';
CREATE INDEX payments_user_idx ON payments (user_id, created_at DESC, payment_id DESC);
CREATE INDEX payments_created_idx ON payments (created_at DESC, payment_id DESC);
CREATE INDEX payments_expiry_idx ON payments (expires_at) WHERE state = 'pending';
CREATE INDEX payments_capture_idx ON payments (capture_at) WHERE capture_at IS NOT NULL AND state IN ('pending', 'expired');
CREATE INDEX payments_txn_idx ON payments (txn_id) WHERE txn_id IS NOT NULL;

-- Money given back by an administrator: `refund_txn_id` reverses (a part of) `txn_id`.
CREATE TABLE refunds (
    refund_txn_id bigint PRIMARY KEY,
    txn_id        bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    amount        bigint NOT NULL CHECK (amount > 0),
    admin_id      bigint NOT NULL,
    reason        text
);
CREATE INDEX refunds_txn_idx ON refunds (txn_id);
