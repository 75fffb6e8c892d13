-- Writes one batch of events in the caller's transaction, for everyone but the wallet batches, which do it within their
-- own statement. A function, because statements that decide in SQL what happened (a sign-in) write their event at once.
CREATE FUNCTION outbox_append(at timestamptz, types text[], txn_ids bigint[], data text[]) RETURNS void LANGUAGE sql AS $$
    WITH batch AS (
        INSERT INTO outbox_batches (batch_id, created_at, events)
        SELECT nextval('outbox_batch_id_seq'), at, cardinality(types) WHERE cardinality(types) > 0 RETURNING batch_id
    ), ids AS MATERIALIZED (SELECT nextval('event_id_seq') AS first)
    INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data)
    SELECT ids.first + n.position - 1, batch.batch_id, at, n.type, n.txn_id, n.data
    FROM batch, ids, unnest(types, txn_ids, outbox_append.data) WITH ORDINALITY AS n (type, txn_id, data, position)
$$;

-- The event of an audited sign-in: `entry` is the data of a gencharge.audit.recorded.v1 event, in which only SQL knows who.
CREATE FUNCTION audit_append(at timestamptz, kind text, id bigint, role text, entry text) RETURNS void LANGUAGE sql AS $$
    SELECT outbox_append(at, ARRAY['gencharge.audit.recorded.v1'], ARRAY[NULL::bigint], ARRAY[(entry::jsonb ||
        jsonb_build_object('actor', CASE kind WHEN 'admin' THEN 'AD_' ELSE 'US_' END || id, 'role', role))::text])
$$;

-- The event of an audited change to a row whose id only SQL knows.
CREATE FUNCTION audit_target(at timestamptz, target text, entry text) RETURNS void LANGUAGE sql AS $$
    SELECT outbox_append(at, ARRAY['gencharge.audit.recorded.v1'], ARRAY[NULL::bigint],
        ARRAY[(entry::jsonb || jsonb_build_object('target', target))::text])
$$;
