-- The newest transactions that a customer sees: own ones, and those of others for the customer (each row is in at most
-- one of the two indexes' ranges: beneficiary_id never equals user_id).
--
-- Every partition that a scan opens costs about 20 us even when it holds nothing, so time is walked backwards in growing
-- spans until `wanted` rows are found; a customer with a few rows a month is served from the two newest partitions.
-- Callers pass at most the number of rows that exist, so that the walk stops when all are found.
-- Plans must not be made per call (planning over all partitions costs 20 times the work itself), nor be chosen for
-- what a partition held when it was empty. The day on top of `as_of` covers servers whose clocks differ.
CREATE FUNCTION own_transactions(me bigint, as_of timestamptz, wanted bigint)
RETURNS SETOF transactions LANGUAGE plpgsql STABLE ROWS 20
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    this_month constant timestamptz := date_trunc('month', as_of, 'UTC');
    lower_edge timestamptz;
    upper_edge timestamptz := as_of + interval '1 day';
    missing bigint := wanted;
    given bigint;
BEGIN
    FOR step IN 1..4 LOOP
        EXIT WHEN missing <= 0;
        lower_edge := CASE step
            WHEN 1 THEN this_month - interval '1 month'
            WHEN 2 THEN this_month - interval '4 months'
            WHEN 3 THEN this_month - interval '12 months'
            ELSE '-infinity' END;
        RETURN QUERY
            SELECT * FROM (
                (SELECT * FROM transactions
                 WHERE user_id = me AND created_at >= lower_edge AND created_at < upper_edge
                 ORDER BY created_at DESC, txn_id DESC LIMIT missing)
                UNION ALL
                (SELECT * FROM transactions
                 WHERE beneficiary_id = me AND created_at >= lower_edge AND created_at < upper_edge
                 ORDER BY created_at DESC, txn_id DESC LIMIT missing)
            ) seen ORDER BY created_at DESC, txn_id DESC LIMIT missing;
        GET DIAGNOSTICS given = ROW_COUNT;
        missing := missing - given;
        upper_edge := lower_edge;
    END LOOP;
END $$;

