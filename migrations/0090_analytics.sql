-- What the figures over all transactions are made of: sums of whole days, kept so that nobody counts a million rows twice.
-- Days are those of the zone in `analytics_reach`; everything at or after `reached` is counted live. Transactions are never
-- edited, so a day that is over and committed does not change.
CREATE TABLE analytics_days (
    day            date NOT NULL,
    category       text NOT NULL,
    txn_type       text NOT NULL,
    source         text NOT NULL,
    status         text NOT NULL,
    payment_method text,
    service_type   text,
    count          bigint NOT NULL,
    amount         bigint NOT NULL
);
CREATE INDEX analytics_days_day_idx ON analytics_days (day);

CREATE TABLE analytics_users (
    user_id bigint PRIMARY KEY,
    count   bigint NOT NULL,
    amount  bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX analytics_users_amount_idx ON analytics_users (amount DESC, user_id);

CREATE TABLE analytics_reach (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    zone     text NOT NULL,
    reached  timestamptz NOT NULL
);

-- Sums everything from where the last call ended up to `upto`, the beginning of a day of `in_zone`. Another zone than the last
-- call's begins anew. Writers of history into days that were summed already delete the row of analytics_reach.
CREATE FUNCTION analytics_sum_up(in_zone text, upto timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
    summed bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(4209);
    SELECT reached INTO since FROM analytics_reach WHERE zone = in_zone;
    IF since IS NULL THEN
        DELETE FROM analytics_days;
        DELETE FROM analytics_users;
        since := '-infinity';
    END IF;
    IF since >= upto THEN
        RETURN 0;
    END IF;
    INSERT INTO analytics_days
    SELECT (created_at AT TIME ZONE in_zone)::date, category, txn_type, source, status, payment_method, service_type,
           count(*), sum(amount)
    FROM transactions WHERE txn_id > 0 AND created_at >= since AND created_at < upto
    GROUP BY 1, 2, 3, 4, 5, 6, 7;
    GET DIAGNOSTICS summed = ROW_COUNT;
    INSERT INTO analytics_users AS u
    SELECT user_id, count(*), sum(amount)
    FROM transactions WHERE txn_id > 0 AND created_at >= since AND created_at < upto AND status = 'success'
    GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET count = u.count + excluded.count, amount = u.amount + excluded.amount;
    INSERT INTO analytics_reach (zone, reached) VALUES (in_zone, upto)
    ON CONFLICT (only_row) DO UPDATE SET zone = excluded.zone, reached = excluded.reached;
    RETURN summed;
END $$;

-- The sums with what has come since.
CREATE FUNCTION analytics_all_days(in_zone text, until timestamptz)
RETURNS TABLE (day date, category text, txn_type text, source text, status text, payment_method text,
    service_type text, count bigint, amount bigint) LANGUAGE sql STABLE AS $$
    WITH reach AS MATERIALIZED (
        SELECT coalesce((SELECT reached FROM analytics_reach WHERE zone = in_zone), '-infinity') AS since
    )
    SELECT d.* FROM analytics_days d WHERE EXISTS (SELECT 1 FROM analytics_reach WHERE zone = in_zone)
    UNION ALL
    SELECT (created_at AT TIME ZONE in_zone)::date, t.category, t.txn_type, t.source, t.status, t.payment_method,
           t.service_type, count(*), sum(t.amount)::bigint
    FROM transactions t
    WHERE txn_id > 0 AND created_at >= (SELECT since FROM reach) AND created_at < until
    GROUP BY 1, 2, 3, 4, 5, 6, 7
$$;
