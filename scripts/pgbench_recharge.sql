-- One recharge from the wallet, as its own transaction: the rows that the product writes for it, statement by statement.
-- `gencharge verify` passes on what this leaves. Variables come from bench.sh: first_phone, last_phone, phone_offset (phone
-- minus user_id of the load customers), and plan, plan_name, price (paise), rupees, days.
-- It does less than the product: no catalogue lock, no check of plan type, offers and limits, no relay, no notifications.
\set phone random(:first_phone, :last_phone)
\set user :phone - :phone_offset
\set k1 random(1, 4611686018427387903)
\set k2 random(1, 4611686018427387903)
BEGIN;
SELECT txn_id, created_at, subscription_status, rejection, request FROM idempotency_keys
    WHERE key = (lpad(to_hex(:k1::bigint), 16, '0') || lpad(to_hex(:k2::bigint), 16, '0'))::uuid;
SELECT seq + 1 AS wallet_seq, nextval('txn_id_seq') AS txn, nextval('subscription_id_seq') AS sub,
       nextval('event_id_seq') AS event, nextval('outbox_batch_id_seq') AS batch,
       CASE WHEN active_subscription_id IS NULL AND queued = 0 THEN 'active' ELSE 'queued' END AS status,
       greatest(tail_valid_to, now()) AS valid_from,
       greatest(tail_valid_to, now()) + :days * interval '1 day' AS valid_to
    FROM wallets WHERE wallet_id = :user AND status = 'active' AND balance >= :price FOR UPDATE \gset
UPDATE wallets SET balance = balance - :price, seq = seq + 1, transactions = transactions + 1, recharges = recharges + 1,
        active_subscription_id = CASE WHEN :status = 'active' THEN :sub ELSE active_subscription_id END,
        active_valid_to = CASE WHEN :status = 'active' THEN :valid_to ELSE active_valid_to END,
        queued = queued + CASE WHEN :status = 'active' THEN 0 ELSE 1 END,
        tail_valid_to = :valid_to
    WHERE wallet_id = :user;
INSERT INTO transactions (txn_id, user_id, wallet_seq, category, txn_type, amount, price, discount, wallet_amount,
        gateway_amount, service_type, plan_id, from_phone, to_phone, source, status, payment_method,
        payment_transaction_id, subscription_id, created_at)
    VALUES (:txn, :user, :wallet_seq, 'service', 'debit', :price, :price, 0, :price, 0, 'prepaid', :plan, :phone, :phone,
        'recharge', 'success', 'Wallet', 'PYMT_' || :txn::text, :sub, now());
INSERT INTO postings (txn_id, account_id, amount, created_at)
    VALUES (:txn, -2, :price, now()), (:txn, :user, -:price::bigint, now());
INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, total_paid)
    VALUES (:sub, :phone, :user, :plan, :txn, :status, :valid_from, :valid_to, :price);
INSERT INTO idempotency_keys (key, request, txn_id, subscription_status, valid_from, valid_to, created_at)
    VALUES ((lpad(to_hex(:k1::bigint), 16, '0') || lpad(to_hex(:k2::bigint), 16, '0'))::uuid,
        (lpad(to_hex(:k2::bigint), 16, '0') || lpad(to_hex(:k1::bigint), 16, '0'))::uuid, :txn, :status, :valid_from, :valid_to,
        now());
INSERT INTO outbox_batches (batch_id, created_at, events) VALUES (:batch, now(), 1);
INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data)
    VALUES (:event, :batch, now(), 'gencharge.recharge.completed.v1', :txn,
        '{"txn_id":' || :txn::text || ',"wallet_seq":' || :wallet_seq::text || ',"user_id":' || :user::text
        || ',"beneficiary_id":' || :user::text || ',"to_phone":"+' || :phone::text
        || '","subscription_id":' || :sub::text || ',"subscription_status":"' || :status::text
        || '","plan_id":' || :plan::text || ',"plan_name":"' || :plan_name::text
        || '","price":"' || :rupees::text || '","discount":"0.00","wallet_amount":"' || :rupees::text
        || '","gateway_amount":"0.00","cashback":"0.00","payment_method":"Wallet","source":"recharge","valid_from":"'
        || :valid_from::text || '","valid_to":"' || :valid_to::text || '","occurred_at":"' || now()::text || '"}');
COMMIT;
