-- Partners: they ask by message and pay from a wallet of their own. partner_id is the number of that wallet, taken from
-- the customers' sequence, so that no two ledger accounts are one. A partner's wallet has no number, and no row in users.
CREATE TABLE partners (
    partner_id   bigint PRIMARY KEY DEFAULT nextval('user_id_seq'),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    broker_user  text NOT NULL UNIQUE CHECK (broker_user ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$'),
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked')),
    may_recharge boolean NOT NULL,
    may_top_up   boolean NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz
);
COMMENT ON COLUMN partners.broker_user IS 'the user_id that the broker has validated: who a message is from';
COMMENT ON COLUMN partners.status IS 'mirrored in wallets.status in the same transaction: batches see it under their lock';
