-- The rows that a wallet batch writes, as it sends them: one array of records a table. PostgreSQL reads a record of an
-- array several times faster than as many arrays of single values. They have types of their own, so that a table can get a
-- column without breaking processes of the version before.

CREATE TYPE wallet_record AS (
    wallet_id              bigint,
    place                  tid,
    balance                bigint,
    seq                    bigint,
    transactions           bigint,
    recharges              bigint,
    active_subscription_id bigint,
    active_valid_to        timestamptz,
    tail_valid_to          timestamptz,
    queued                 integer,
    gifts                  bigint
);

CREATE TYPE transaction_record AS (
    txn_id                 bigint,
    user_id                bigint,
    beneficiary_id         bigint,
    wallet_seq             bigint,
    category               text,
    txn_type               text,
    amount                 bigint,
    price                  bigint,
    discount               bigint,
    wallet_amount          bigint,
    gateway_amount         bigint,
    service_type           text,
    plan_id                bigint,
    offer_id               bigint,
    from_phone             bigint,
    to_phone               bigint,
    source                 text,
    status                 text,
    payment_method         text,
    payment_transaction_id text,
    subscription_id        bigint
);

CREATE TYPE posting_record AS (txn_id bigint, account_id bigint, amount bigint);

CREATE TYPE subscription_record AS (
    subscription_id bigint,
    phone           bigint,
    user_id         bigint,
    plan_id         bigint,
    txn_id          bigint,
    status          text,
    valid_from      timestamptz,
    valid_to        timestamptz,
    total_paid      bigint
);

CREATE TYPE key_record AS (
    key                 uuid,
    request             uuid,
    txn_id              bigint,
    subscription_status text,
    valid_from          timestamptz,
    valid_to            timestamptz,
    rejection           jsonb
);

CREATE TYPE event_record AS (event_id bigint, type text, txn_id bigint, data text, addressee text);
