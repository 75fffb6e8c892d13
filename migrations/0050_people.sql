-- Administrators, deleted customers, and what a referral paid.

-- ---------------------------------------------------------------- numbers

-- A number belongs to a customer or to an administrator, never to both. Whoever adds one looks at the other table after its
-- own rows are written and under this lock, so that of two who come at once the later one sees the earlier. (4207: shared
-- for customers, of whom many come at a time, exclusive for administrators.)
CREATE FUNCTION numbers_have_one_owner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    taken boolean;
BEGIN
    IF TG_TABLE_NAME = 'users' THEN
        PERFORM pg_advisory_xact_lock_shared(4207);
        taken := EXISTS (SELECT 1 FROM added JOIN admins USING (phone));
    ELSE
        PERFORM pg_advisory_xact_lock(4207);
        taken := EXISTS (SELECT 1 FROM added JOIN users USING (phone));
    END IF;
    IF taken THEN
        RAISE EXCEPTION 'the number has another owner'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'numbers_have_one_owner';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER users_number AFTER INSERT ON users
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION numbers_have_one_owner();
CREATE TRIGGER admins_number AFTER INSERT ON admins
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION numbers_have_one_owner();
CREATE TRIGGER admins_new_number AFTER UPDATE ON admins
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION numbers_have_one_owner();

-- ---------------------------------------------------------------- deleted customers

-- As they were when they were deleted. Ids come from the sequence of `users` and are never used again.
CREATE TABLE archived_users (
    user_id        bigint PRIMARY KEY,
    phone          bigint NOT NULL,
    name           text,
    email          text,
    user_type      text CHECK (user_type IN ('prepaid', 'postpaid')),
    status         text NOT NULL CHECK (status IN ('active', 'blocked', 'deactive')),
    referral_code  text NOT NULL,
    referee_code   text,
    wallet_balance bigint NOT NULL CHECK (wallet_balance >= 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz,
    deleted_at     timestamptz NOT NULL,
    deleted_by     bigint
);
CREATE INDEX archived_users_phone_idx ON archived_users (phone);
COMMENT ON COLUMN archived_users.wallet_balance IS
    'what the wallet held: it was moved to the account closed_wallets and is owed to the former customer';
COMMENT ON COLUMN archived_users.deleted_by IS 'the administrator; null: the customer';

INSERT INTO ledger_accounts (account_id, code) VALUES (-7, 'closed_wallets');

-- Deletes a customer whose wallet row the caller has locked and emptied; it held `held`. The account moves to the archive as it
-- is and its number becomes free; the history stays, and with it the wallet, which can neither pay nor be paid any more.
-- Whatever deletes a customer calls this: with an empty wallet by itself, otherwise in the batch that empties it.
CREATE FUNCTION archive_user(who bigint, held bigint, by_admin bigint, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
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
        tail_valid_to = NULL, queued = 0
    WHERE wallet_id = who AND balance = 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the wallet of customer % is not empty', who;
    END IF;
    -- Rewards that were not earned yet lapse.
    DELETE FROM referral_rewards WHERE status = 'pending' AND (referrer_id = who OR referred_id = who);
    UPDATE sessions SET revoked_at = at, revoked_reason = 'deleted'
    WHERE subject_kind = 'user' AND subject_id = who AND revoked_at IS NULL;
    PERFORM pg_notify('gencharge_access', 'u:' || who);
    PERFORM audit_append(at, CASE WHEN by_admin IS NULL THEN 'user' ELSE 'admin' END, coalesce(by_admin, who),
        coalesce((SELECT role_name FROM admins JOIN roles USING (role_id) WHERE admin_id = by_admin), 'user'),
        jsonb_build_object('action', 'DELETE_USER', 'service', 'users', 'target', 'user/' || who, 'status', 'success',
            'changes', jsonb_build_object('set_aside', to_char(held / 100.0, 'FM999999999999990.00')),
            'occurred_at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text);
END $$;

-- ---------------------------------------------------------------- referrals

-- An earned reward outlives both customers, as its transaction does.
ALTER TABLE referral_rewards
    DROP CONSTRAINT referral_rewards_referrer_id_fkey,
    DROP CONSTRAINT referral_rewards_referred_id_fkey,
    ADD COLUMN txn_id bigint,
    ADD CHECK ((status = 'earned') = (txn_id IS NOT NULL AND claimed_at IS NOT NULL));
CREATE INDEX referral_rewards_pending_idx ON referral_rewards (referred_id) WHERE status = 'pending';
