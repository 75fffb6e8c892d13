//! Figures of people.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::{
    DistributionItem, GrowthRates, MonthlyTrends, PeriodCount, PeriodCounts, PhoneCount, TrendPoint, Trends,
};

#[derive(ToSchema)]
struct AdminTotals {
    total_admins: i64,
}

#[derive(ToSchema)]
struct AdminDistributions {
    /// The key is the role's id.
    roles: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct MonthlyGrowth {
    month_over_month_pct: f64,
}

/// Administrators.
#[derive(ToSchema)]
pub struct AdminsReport {
    generated_at: DateTime<Utc>,
    totals: AdminTotals,
    period_counts: PeriodCounts,
    trends: MonthlyTrends,
    distributions: AdminDistributions,
    growth_rates: MonthlyGrowth,
}

/// How many in each period, three months left out.
#[derive(ToSchema)]
struct UserPeriodCounts {
    yesterday: PeriodCount,
    last_week: PeriodCount,
    last_30_days: PeriodCount,
    last_6_months: PeriodCount,
    last_year: PeriodCount,
}

/// By day, and by month.
#[derive(ToSchema)]
struct UserTrends {
    last_7_days: Vec<TrendPoint>,
    last_30_days: Vec<TrendPoint>,
    last_6_months: Vec<TrendPoint>,
    last_1_year: Vec<TrendPoint>,
}

#[derive(ToSchema)]
struct UserTotals {
    total_users: i64,
    active_users: i64,
    blocked_users: i64,
    deactivated_users: i64,
}

#[derive(ToSchema)]
struct UserAverages {
    avg_wallet_balance: f64,
}

#[derive(ToSchema)]
struct UserDistributions {
    status: Vec<DistributionItem>,
    user_type: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct ReferrerItem {
    referrer_id: i64,
    referrer_name: Option<String>,
    referred_count: i64,
}

/// Customers.
#[derive(ToSchema)]
pub struct UsersReport {
    generated_at: DateTime<Utc>,
    totals: UserTotals,
    averages: UserAverages,
    period_counts: UserPeriodCounts,
    trends: UserTrends,
    distributions: UserDistributions,
    growth_rates: GrowthRates,
    top_referrers: Vec<ReferrerItem>,
}

#[derive(ToSchema)]
struct ArchiveTotals {
    total_archived_users: i64,
    prepaid_archived: i64,
    postpaid_archived: i64,
    active_archived: i64,
    blocked_archived: i64,
    deactive_archived: i64,
}

#[derive(ToSchema)]
struct ArchiveDistributions {
    by_user_type: Vec<DistributionItem>,
    by_status: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct ArchiveAverages {
    avg_wallet_balance: f64,
    total_wallet_balance: f64,
}

/// A deleted customer.
#[derive(ToSchema)]
struct ArchivedUserItem {
    user_id: i64,
    name: Option<String>,
    email: Option<String>,
    phone_number: Option<String>,
    referral_code: Option<String>,
    referee_code: Option<String>,
    user_type: Option<String>,
    status: Option<String>,
    wallet_balance: Option<f64>,
    created_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

/// Deleted customers.
#[derive(ToSchema)]
pub struct UsersArchiveReport {
    generated_at: DateTime<Utc>,
    totals: ArchiveTotals,
    period_deletions: PeriodCounts,
    trends: Trends,
    monthly_trends: MonthlyTrends,
    distributions: ArchiveDistributions,
    averages: ArchiveAverages,
    growth_rates: GrowthRates,
    top_by_wallet: Vec<ArchivedUserItem>,
    recent_deleted: Vec<ArchivedUserItem>,
    phone_number_duplicates: Vec<PhoneCount>,
}

#[derive(ToSchema)]
struct UserProfileSummary {
    user_id: i64,
    name: String,
    email: String,
    user_type: String,
    status: String,
    wallet_balance: f64,
    created_at: Option<DateTime<Utc>>,
    account_age_days: i64,
}

#[derive(ToSchema)]
struct TransactionBreakdown {
    success: i64,
    failed: i64,
    pending: i64,
    credit_count: i64,
    debit_count: i64,
    total_amount_spent: f64,
    total_amount_credited: f64,
}

#[derive(ToSchema)]
struct PeriodSpending {
    label: String,
    total_spent: f64,
    txn_count: i64,
}

#[derive(ToSchema)]
struct TopPlan {
    plan_id: Option<i64>,
    plan_name: Option<String>,
    usage_count: i64,
}

#[derive(ToSchema)]
struct TopOffer {
    offer_id: Option<i64>,
    usage_count: i64,
}

#[derive(ToSchema)]
struct PaymentMethodStat {
    payment_method: Option<String>,
    total_amount: f64,
}

#[derive(ToSchema)]
struct SourceStat {
    source: Option<String>,
    total_amount: f64,
}

/// A customer's own figures.
#[derive(ToSchema)]
pub struct UserInsightReport {
    generated_at: DateTime<Utc>,
    profile: UserProfileSummary,
    transaction_summary: TransactionBreakdown,
    /// Up to now.
    spending_by_period: Vec<PeriodSpending>,
    recharge_numbers: Vec<PhoneCount>,
    top_plan: Option<TopPlan>,
    top_offer: Option<TopOffer>,
    top_payment_methods: Vec<PaymentMethodStat>,
    top_sources: Vec<SourceStat>,
    /// Different plans.
    plan_usage_count: i64,
    avg_recharge_amount: f64,
    first_txn_date: Option<DateTime<Utc>>,
    last_txn_date: Option<DateTime<Utc>>,
}
