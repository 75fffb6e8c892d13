//! The administrators' figures of what is few: people, catalogue, subscriptions, rewards, backups.

use super::figures::{Json, json, object};
use super::series::{PERIODS, Shown};
use super::store::{Counted, View};

type Figures = Result<Json, sqlx::Error>;

/// Rows of `from` by their `time`.
const fn counted(from: &'static str, time: &'static str) -> Counted {
    Counted { from, time, amount: "0", condition: "true" }
}

/// A JSON timestamp of this value.
macro_rules! at {
    ($sql:literal) => {
        concat!("to_char((", $sql, ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    };
}

/// Administrators.
pub async fn admins(view: &View) -> Figures {
    let series = view.series(counted("admins a", "a.created_at")).await?;
    Ok(object([
        ("generated_at", json(&view.now)),
        ("totals", view.row("SELECT count(*) AS total_admins FROM admins").await?),
        ("period_counts", series.periods(&PERIODS, Shown::Count)),
        ("trends", series.monthly_trends(Shown::Count)),
        ("distributions", object([("roles", view.shares("a.role_id", "admins a").await?)])),
        ("growth_rates", object([("month_over_month_pct", series.growth(30))])),
    ]))
}

/// Customers.
pub async fn users(view: &View) -> Figures {
    let series = view.series(counted("users u", "u.created_at")).await?;
    // Three months are not among a customer report's periods.
    let periods: Vec<_> = PERIODS.into_iter().filter(|(label, _)| *label != "last_3_months").collect();
    let trends = object([
        ("last_7_days", series.days(7, Shown::Count)),
        ("last_30_days", series.days(30, Shown::Count)),
        ("last_6_months", series.months(6, Shown::Count, "date")),
        ("last_1_year", series.months(12, Shown::Count, "date")),
    ]);
    let totals = view
        .row(
            "SELECT count(*) AS total_users, count(*) FILTER (WHERE status = 'active') AS active_users, \
                    count(*) FILTER (WHERE status = 'blocked') AS blocked_users, \
                    count(*) FILTER (WHERE status = 'deactive') AS deactivated_users FROM users",
        )
        .await?;
    let averages = view
        .row(
            "SELECT coalesce(round(avg(w.balance) / 100, 2), 0.00) AS avg_wallet_balance \
             FROM users u JOIN wallets w ON w.wallet_id = u.user_id",
        )
        .await?;
    let referrers = view
        .rows(
            "SELECT r.referrer_id, u.name AS referrer_name, r.referred_count FROM ( \
                 SELECT referrer_id, count(*) AS referred_count FROM referral_rewards GROUP BY 1 \
                 ORDER BY 2 DESC, 1 LIMIT 10) r LEFT JOIN users u ON u.user_id = r.referrer_id \
             ORDER BY r.referred_count DESC, r.referrer_id",
        )
        .await?;
    Ok(object([
        ("generated_at", json(&view.now)),
        ("totals", totals),
        ("averages", averages),
        ("period_counts", series.periods(&periods, Shown::Count)),
        ("trends", trends),
        (
            "distributions",
            object([
                ("status", view.shares("u.status", "users u").await?),
                ("user_type", view.shares("u.user_type", "users u").await?),
            ]),
        ),
        ("growth_rates", series.growth_rates()),
        ("top_referrers", referrers),
    ]))
}

/// Deleted customers.
pub async fn archived_users(view: &View) -> Figures {
    let series = view.series(counted("archived_users u", "u.deleted_at")).await?;
    let item = concat!(
        "u.user_id, u.name, u.email, right(u.phone::text, 10) AS phone_number, u.referral_code, u.referee_code, ",
        "u.user_type, u.status, round(u.wallet_balance / 100.0, 2) AS wallet_balance, ",
        at!("u.created_at"),
        " AS created_at, ",
        at!("u.deleted_at"),
        " AS deleted_at FROM archived_users u"
    );
    Ok(object([
        ("generated_at", json(&view.now)),
        (
            "totals",
            view.row(
                "SELECT count(*) AS total_archived_users, \
                     count(*) FILTER (WHERE user_type = 'prepaid') AS prepaid_archived, \
                     count(*) FILTER (WHERE user_type = 'postpaid') AS postpaid_archived, \
                     count(*) FILTER (WHERE status = 'active') AS active_archived, \
                     count(*) FILTER (WHERE status = 'blocked') AS blocked_archived, \
                     count(*) FILTER (WHERE status = 'deactive') AS deactive_archived FROM archived_users",
            )
            .await?,
        ),
        ("period_deletions", series.periods(&PERIODS, Shown::Count)),
        ("trends", series.trends(Shown::Count)),
        ("monthly_trends", series.monthly_trends(Shown::Count)),
        (
            "distributions",
            object([
                ("by_user_type", view.shares("u.user_type", "archived_users u").await?),
                ("by_status", view.shares("u.status", "archived_users u").await?),
            ]),
        ),
        (
            "averages",
            view.row(
                "SELECT coalesce(round(avg(wallet_balance) / 100, 2), 0.00) AS avg_wallet_balance, \
                     coalesce(round(sum(wallet_balance) / 100, 2), 0.00) AS total_wallet_balance FROM archived_users",
            )
            .await?,
        ),
        ("growth_rates", series.growth_rates()),
        ("top_by_wallet", view.rows(&format!("SELECT {item} ORDER BY u.wallet_balance DESC, u.user_id LIMIT 10")).await?),
        ("recent_deleted", view.rows(&format!("SELECT {item} ORDER BY u.deleted_at DESC, u.user_id LIMIT 20")).await?),
        (
            "phone_number_duplicates",
            view.rows(
                "SELECT right(phone::text, 10) AS phone_number, count(*) FROM archived_users GROUP BY phone \
                 HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 100",
            )
            .await?,
        ),
    ]))
}

/// Offers.
pub async fn offers(view: &View) -> Figures {
    let series = view.series(counted("offers o", "o.created_at")).await?;
    let specials = concat!(
        "SELECT o.offer_id, o.offer_name, o.offer_type_id, o.is_special, o.offer_validity, ",
        at!("o.created_at"),
        " AS created_at, o.created_by, o.status FROM offers o WHERE o.is_special ORDER BY o.created_at DESC, o.offer_id LIMIT 10"
    );
    let types = "offers o LEFT JOIN offer_types t USING (offer_type_id)";
    Ok(object([
        ("generated_at", json(&view.now)),
        (
            "totals",
            view.row("SELECT count(*) AS total_offers, count(*) FILTER (WHERE is_special) AS special_offers FROM offers")
                .await?,
        ),
        ("period_counts", series.periods(&PERIODS, Shown::Count)),
        ("trends", series.trends(Shown::Count)),
        ("monthly_trends", series.monthly_trends(Shown::Count)),
        (
            "distributions",
            object([
                ("by_status", view.shares("o.status", "offers o").await?),
                ("by_offer_type", view.shares("t.offer_type_name", types).await?),
            ]),
        ),
        ("growth_rates", series.growth_rates()),
        (
            "averages",
            view.row("SELECT coalesce(round(avg(offer_validity), 2), 0.00) AS avg_validity_days FROM offers").await?,
        ),
        ("top_recent_specials", view.rows(specials).await?),
        (
            "offers_by_creator",
            view.rows("SELECT created_by, count(*) FROM offers GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100").await?,
        ),
        (
            "offers_by_type_detailed",
            view.rows(
                "SELECT t.offer_type_id, t.offer_type_name, count(o.offer_id), \
                     count(o.offer_id) FILTER (WHERE o.status = 'active') AS active_count, \
                     count(o.offer_id) FILTER (WHERE o.is_special) AS special_count \
                 FROM offer_types t LEFT JOIN offers o USING (offer_type_id) GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 100",
            )
            .await?,
        ),
    ]))
}

/// Plans.
pub async fn plans(view: &View) -> Figures {
    let made = view.series(counted("plans p", "p.created_at")).await?;
    let begun = view.series(counted("subscriptions s", "s.valid_from")).await?;
    let ended = view.series(counted("subscriptions s", "s.valid_to")).await?;
    let popular = concat!(
        "SELECT p.plan_id, p.plan_name, p.plan_type, p.group_id, p.validity, p.price / 100 AS price, p.most_popular, ",
        "p.status, ",
        at!("p.created_at"),
        " AS created_at, p.created_by FROM plans p WHERE p.most_popular ORDER BY p.created_at DESC, p.plan_id LIMIT 10"
    );
    Ok(object([
        ("generated_at", json(&view.now)),
        (
            "totals",
            view.row(
                "SELECT count(*) AS total_plans, count(*) FILTER (WHERE status = 'active') AS active_plans_count, \
                     count(*) FILTER (WHERE status = 'inactive') AS inactive_plans_count FROM plans",
            )
            .await?,
        ),
        ("period_counts", made.periods(&PERIODS, Shown::Count)),
        ("activation_counts", begun.periods(&PERIODS, Shown::Count)),
        ("expiration_counts", ended.periods(&PERIODS, Shown::Count)),
        ("trends", made.trends(Shown::Count)),
        ("monthly_trends", made.monthly_trends(Shown::Count)),
        (
            "distributions",
            object([
                ("by_plan_type", view.shares("p.plan_type", "plans p").await?),
                ("by_group", view.shares("g.group_name", "plans p LEFT JOIN plan_groups g USING (group_id)").await?),
            ]),
        ),
        (
            "averages",
            view.row(
                "SELECT coalesce(round(avg(price) / 100, 2), 0.00) AS avg_price, \
                     coalesce(round(avg(coalesce(validity, 30)), 2), 0.00) AS avg_validity FROM plans",
            )
            .await?,
        ),
        ("growth_rates", made.growth_rates()),
        ("most_popular_plans", view.rows(popular).await?),
        (
            "top_plans_by_active_count",
            view.rows(
                "SELECT s.plan_id, p.plan_name, s.active_count FROM ( \
                     SELECT plan_id, count(*) AS active_count FROM subscriptions WHERE status = 'active' GROUP BY 1 \
                     ORDER BY 2 DESC, 1 LIMIT 10) s LEFT JOIN plans p USING (plan_id) \
                 ORDER BY s.active_count DESC, s.plan_id",
            )
            .await?,
        ),
        (
            "plans_by_creator",
            view.rows("SELECT created_by, count(*) FROM plans GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100").await?,
        ),
    ]))
}

/// Plans on numbers.
pub async fn current_plans(view: &View) -> Figures {
    let begun = view.series(counted("subscriptions s", "s.valid_from")).await?;
    let ended = view.series(counted("subscriptions s", "s.valid_to")).await?;
    let upcoming = concat!(
        "SELECT s.subscription_id AS id, s.user_id, s.plan_id, right(s.phone::text, 10) AS phone_number, ",
        at!("s.valid_from"),
        " AS valid_from, ",
        at!("s.valid_to"),
        " AS valid_to, s.status FROM c, subscriptions s WHERE s.status = 'active' AND s.valid_to > c.now ",
        "AND s.valid_to <= c.now + interval '7 days' ORDER BY s.valid_to, s.subscription_id LIMIT 50"
    );
    Ok(object([
        ("generated_at", json(&view.now)),
        (
            "totals",
            view.row("SELECT count(*) AS total_active_plans FROM subscriptions WHERE status = 'active'").await?,
        ),
        ("period_activations", begun.periods(&PERIODS, Shown::Count)),
        ("period_expirations", ended.periods(&PERIODS, Shown::Count)),
        ("trends", begun.trends(Shown::Count)),
        ("monthly_trends", begun.monthly_trends(Shown::Count)),
        (
            "distributions",
            object([
                ("by_status", view.shares("s.status", "subscriptions s").await?),
                (
                    "by_plan",
                    view.shares(
                        "p.plan_name",
                        "(SELECT plan_id FROM subscriptions WHERE status = 'active') s LEFT JOIN plans p USING (plan_id)",
                    )
                    .await?,
                ),
            ]),
        ),
        ("growth_rates", begun.growth_rates()),
        (
            "avg_plan_duration_days",
            view.value(
                "SELECT coalesce(round((avg(extract(epoch FROM valid_to - valid_from)) / 86400)::numeric, 2), 0.00) \
                 FROM subscriptions WHERE status = 'active'",
            )
            .await?,
        ),
        ("upcoming_expirations", view.rows(upcoming).await?),
        (
            "top_users",
            view.rows(
                "SELECT user_id, count(*) AS active_plan_count FROM subscriptions WHERE status = 'active' GROUP BY 1 \
                 ORDER BY 2 DESC, 1 LIMIT 10",
            )
            .await?,
        ),
        (
            "phone_number_duplicates",
            view.rows(
                "SELECT right(phone::text, 10) AS phone_number, count(*) FROM subscriptions WHERE status = 'active' \
                 GROUP BY phone HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 100",
            )
            .await?,
        ),
    ]))
}

/// Referral rewards.
pub async fn referrals(view: &View) -> Figures {
    // What lapsed is none, except among the states.
    let rewards = Counted {
        from: "referral_rewards r",
        time: "r.created_at",
        amount: "r.amount",
        condition: "r.status <> 'lapsed'",
    };
    let series = view.series(rewards).await?;
    let range = "CASE WHEN r.amount < 1000 THEN '0-10' WHEN r.amount < 5000 THEN '10-50' ELSE '50+' END";
    Ok(object([
        ("generated_at", json(&view.now)),
        (
            "totals",
            view.row(
                "SELECT count(*) AS total_rewards, coalesce(round(sum(amount) / 100, 2), 0.00) AS total_reward_amount, \
                     count(*) FILTER (WHERE status = 'pending') AS pending_rewards, \
                     count(*) FILTER (WHERE status = 'earned') AS earned_rewards FROM referral_rewards \
                 WHERE status <> 'lapsed'",
            )
            .await?,
        ),
        ("period_counts", series.periods(&PERIODS, Shown::CountAndAmount)),
        ("trends", series.trends(Shown::CountAndAmount)),
        ("monthly_trends", series.monthly_trends(Shown::CountAndAmount)),
        (
            "distributions",
            object([
                ("by_status", view.shares("r.status", "referral_rewards r").await?),
                ("by_amount_range", view.shares(range, "referral_rewards r WHERE r.status <> 'lapsed'").await?),
            ]),
        ),
        ("growth_rates", series.growth_rates()),
        (
            "averages",
            view.row(
                "SELECT coalesce(round(avg(amount) / 100, 2), 0.00) AS avg_reward_amount, \
                     coalesce(round((avg(extract(epoch FROM claimed_at - created_at)) / 86400)::numeric, 2), 0.00) \
                         AS avg_claim_time_days FROM referral_rewards WHERE status <> 'lapsed'",
            )
            .await?,
        ),
        (
            "top_referrers",
            view.rows(
                "SELECT referrer_id, count(*) AS total_rewards, round(sum(amount) / 100, 2) AS total_amount \
                 FROM referral_rewards WHERE status <> 'lapsed' GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT 10",
            )
            .await?,
        ),
    ]))
}

/// Backups. Sizes are megabytes with decimals, from bytes.
pub async fn backups(view: &View) -> Figures {
    let series = view.series(counted("backups b", "b.created_at")).await?;
    let item = concat!(
        "b.backup_id, b.snapshot_name, b.storage_url, b.status AS backup_status, ",
        "round(b.size_bytes / 1000000.0)::bigint AS size_mb, b.size_bytes, ",
        at!("b.created_at"),
        " AS created_at, b.created_by FROM backups b"
    );
    let sizes = view
        .value(&format!(
            "SELECT json_object_agg(label, json_build_object('period_label', label, \
                 'total_size_mb', round(bytes / 1000000.0)::bigint, 'total_size_bytes', bytes)) \
             FROM (VALUES {}) AS periods (label, days) CROSS JOIN LATERAL ( \
                 SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes FROM backups, c \
                 WHERE created_at >= (c.today - days)::timestamp AT TIME ZONE c.zone AND created_at < c.midnight) AS sizes",
            PERIODS.map(|(label, days)| format!("('{label}', {days})")).join(", ")
        ))
        .await?;
    Ok(object([
        ("generated_at", json(&view.now)),
        ("totals", view.row("SELECT count(*) AS total_backups FROM backups").await?),
        ("period_counts", series.periods(&PERIODS, Shown::Count)),
        ("period_sizes", sizes),
        ("trends", series.trends(Shown::Count)),
        ("monthly_trends", series.monthly_trends(Shown::Count)),
        (
            "distributions",
            object([
                ("status", view.shares("b.status", "backups b").await?),
                ("backup_data", view.shares("b.backup_data", "backups b").await?),
            ]),
        ),
        ("growth_rates", series.growth_rates()),
        (
            "last_backup",
            view.value(&format!("SELECT row_to_json(listed) FROM (SELECT {item} ORDER BY b.created_at DESC LIMIT 1) listed"))
                .await?,
        ),
        (
            "total_storage_mb",
            view.value("SELECT coalesce(round(sum(size_bytes) / 1000000.0), 0)::bigint FROM backups WHERE status = 'success'")
                .await?,
        ),
        (
            "avg_backup_size_mb",
            view.value(
                "SELECT coalesce(round(avg(size_bytes) / 1000000.0, 2), 0.00) FROM backups WHERE status = 'success'",
            )
            .await?,
        ),
        (
            "top_largest_backups",
            view.rows(&format!("SELECT {item} WHERE b.size_bytes IS NOT NULL ORDER BY b.size_bytes DESC, 1 LIMIT 10")).await?,
        ),
        (
            "recent_failures",
            view.rows(&format!(
                "SELECT {item}, c WHERE b.status = 'failed' AND b.created_at >= c.now - interval '7 days' \
                 ORDER BY b.created_at DESC LIMIT 20"
            ))
            .await?,
        ),
        (
            "backups_by_creator",
            view.rows("SELECT created_by, count(*) FROM backups GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100").await?,
        ),
    ]))
}
