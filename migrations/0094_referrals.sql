-- Rewards for referrals are paid: with the first recharge that the customer who was brought here pays.

-- Read with the lock that every batch takes anyway, so that only the orders of such customers look further. It may stay
-- behind when the reward lapses; that recharge then ends it.
ALTER TABLE wallets ADD COLUMN referrer_id bigint;
COMMENT ON COLUMN wallets.referrer_id IS
    'who brought the owner here, until the owner first pays for a recharge: then that reward is earned, or lapses';
UPDATE wallets SET referrer_id = r.referrer_id
FROM referral_rewards r WHERE r.referred_id = wallet_id AND r.status = 'pending';

ALTER TABLE referral_rewards
    DROP CONSTRAINT referral_rewards_status_check,
    ADD CONSTRAINT referral_rewards_status_check CHECK (status IN ('pending', 'earned', 'lapsed'));
-- How many somebody has earned.
CREATE INDEX referral_rewards_earned_idx ON referral_rewards (referrer_id) WHERE status = 'earned';

-- As in migration 0050, but rewards that were not earned stay, as lapsed.
CREATE OR REPLACE FUNCTION archive_user(who bigint, held bigint, by_admin bigint, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
BEGIN
    WITH gone AS (DELETE FROM users WHERE user_id = who RETURNING *)
    INSERT INTO archived_users (user_id, phone, name, email, user_type, status, referral_code, referee_code,
        wallet_balance, created_at, updated_at, deleted_at, deleted_by)
    SELECT user_id, phone, name, email, user_type, status, referral_code, referee_code, held, created_at, updated_at,
        at, by_admin FROM gone
    RETURNING phone INTO STRICT number;
    -- Plans of the number end now: its next owner begins with none. Windows stay in order and never overlap.
    UPDATE subscriptions SET status = 'expired', valid_from = least(valid_from, at), valid_to = least(valid_to, at)
    WHERE phone = number AND status IN ('active', 'queued');
    DELETE FROM line_wakeups WHERE phone = number;
    UPDATE wallets SET status = 'blocked', phone = NULL, active_subscription_id = NULL, active_valid_to = NULL,
        tail_valid_to = NULL, queued = 0, referrer_id = NULL
    WHERE wallet_id = who AND balance = 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the wallet of customer % is not empty', who;
    END IF;
    -- Rewards that were not earned yet lapse.
    UPDATE referral_rewards SET status = 'lapsed' WHERE status = 'pending' AND (referrer_id = who OR referred_id = who);
    UPDATE sessions SET revoked_at = at, revoked_reason = 'deleted'
    WHERE subject_kind = 'user' AND subject_id = who AND revoked_at IS NULL;
    PERFORM pg_notify('gencharge_access', 'u:' || who);
    PERFORM audit_append(at, CASE WHEN by_admin IS NULL THEN 'user' ELSE 'admin' END, coalesce(by_admin, who),
        coalesce((SELECT role_name FROM admins JOIN roles USING (role_id) WHERE admin_id = by_admin), 'user'),
        jsonb_build_object('action', 'DELETE_USER', 'service', 'users', 'target', 'user/' || who, 'status', 'success',
            'changes', jsonb_build_object('set_aside', to_char(held / 100.0, 'FM999999999999990.00')),
            'occurred_at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text);
END $$;
