//! What the figures are, for the documentation: the database writes them, so nothing else is made of these types.
#![expect(dead_code, reason = "describes answers that are passed on as the database makes them")]

mod people;

use chrono::{DateTime, NaiveDate, Utc};
use utoipa::{OpenApi, ToSchema};

pub use people::{AdminsReport, UserInsightReport, UsersArchiveReport, UsersReport};

/// All of them.
#[derive(OpenApi)]
#[openapi(components(schemas(
    AdminsReport,
    BackupsReport,
    CurrentActivePlansReport,
    OffersReport,
    PlansReport,
    ReferralsReport,
    TransactionsReport,
    UsersArchiveReport,
    UsersReport,
    UserInsightReport
)))]
pub struct Shapes;

/// How many in a period.
#[derive(ToSchema)]
struct PeriodCount {
    period_label: String,
    count: i64,
}

/// How many in each period; each ends with yesterday.
#[derive(ToSchema)]
struct PeriodCounts {
    yesterday: PeriodCount,
    last_week: PeriodCount,
    last_30_days: PeriodCount,
    last_3_months: PeriodCount,
    last_6_months: PeriodCount,
    last_year: PeriodCount,
}

/// How many in a period, and how many rupees.
#[derive(ToSchema)]
struct PeriodStats {
    period_label: String,
    count: i64,
    total_amount: f64,
}

/// The same for each period.
#[derive(ToSchema)]
struct PeriodStatistics {
    yesterday: PeriodStats,
    last_week: PeriodStats,
    last_30_days: PeriodStats,
    last_3_months: PeriodStats,
    last_6_months: PeriodStats,
    last_year: PeriodStats,
}

/// Megabytes of a period's backups.
#[derive(ToSchema)]
struct PeriodSize {
    period_label: String,
    total_size_mb: i64,
    total_size_bytes: i64,
}

/// The same for each period.
#[derive(ToSchema)]
struct PeriodSizes {
    yesterday: PeriodSize,
    last_week: PeriodSize,
    last_30_days: PeriodSize,
    last_3_months: PeriodSize,
    last_6_months: PeriodSize,
    last_year: PeriodSize,
}

/// A day, or the first of a month.
#[derive(ToSchema)]
struct TrendPoint {
    date: NaiveDate,
    count: i64,
}

/// By day.
#[derive(ToSchema)]
struct Trends {
    last_7_days: Vec<TrendPoint>,
    last_30_days: Vec<TrendPoint>,
}

/// A month, by its first day.
#[derive(ToSchema)]
struct TrendMonthPoint {
    month: NaiveDate,
    count: i64,
}

/// By month.
#[derive(ToSchema)]
struct MonthlyTrends {
    last_6_months: Vec<TrendMonthPoint>,
    last_1_year: Vec<TrendMonthPoint>,
}

/// A day and its rupees.
#[derive(ToSchema)]
struct AmountPoint {
    date: NaiveDate,
    count: i64,
    total_amount: f64,
}

/// By day, with rupees.
#[derive(ToSchema)]
struct AmountTrends {
    last_7_days: Vec<AmountPoint>,
    last_30_days: Vec<AmountPoint>,
}

/// A month and its rupees.
#[derive(ToSchema)]
struct AmountMonthPoint {
    month: NaiveDate,
    count: i64,
    total_amount: f64,
}

/// By month, with rupees.
#[derive(ToSchema)]
struct AmountMonthlyTrends {
    last_6_months: Vec<AmountMonthPoint>,
    last_1_year: Vec<AmountMonthPoint>,
}

/// A part of the whole.
#[derive(ToSchema)]
struct DistributionItem {
    key: Option<String>,
    count: i64,
    percent: f64,
}

/// The last window against the one before, in percent.
#[derive(ToSchema)]
struct GrowthRates {
    week_over_week_pct: f64,
    month_over_month_pct: f64,
}

/// Who made how many.
#[derive(ToSchema)]
struct CreatorCount {
    /// The administrator; null: nobody in particular.
    created_by: Option<i64>,
    count: i64,
}

/// A number that occurs more than once.
#[derive(ToSchema)]
struct PhoneCount {
    phone_number: String,
    count: i64,
}

#[derive(ToSchema)]
struct BackupTotals {
    total_backups: i64,
}

#[derive(ToSchema)]
struct BackupDistributions {
    status: Vec<DistributionItem>,
    backup_data: Vec<DistributionItem>,
}

/// A backup.
#[derive(ToSchema)]
struct BackupItem {
    backup_id: String,
    snapshot_name: Option<String>,
    storage_url: Option<String>,
    backup_status: Option<String>,
    /// Whole megabytes.
    size_mb: Option<i64>,
    size_bytes: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<i64>,
}

/// Backups.
#[derive(ToSchema)]
pub struct BackupsReport {
    generated_at: DateTime<Utc>,
    totals: BackupTotals,
    period_counts: PeriodCounts,
    period_sizes: PeriodSizes,
    trends: Trends,
    monthly_trends: MonthlyTrends,
    distributions: BackupDistributions,
    growth_rates: GrowthRates,
    last_backup: Option<BackupItem>,
    total_storage_mb: i64,
    avg_backup_size_mb: f64,
    top_largest_backups: Vec<BackupItem>,
    recent_failures: Vec<BackupItem>,
    backups_by_creator: Vec<CreatorCount>,
}

#[derive(ToSchema)]
struct CurrentPlanTotals {
    total_active_plans: i64,
}

#[derive(ToSchema)]
struct CurrentPlanDistributions {
    by_status: Vec<DistributionItem>,
    by_plan: Vec<DistributionItem>,
}

/// A plan on a number.
#[derive(ToSchema)]
struct ActivePlanItem {
    id: i64,
    user_id: i64,
    plan_id: i64,
    phone_number: String,
    valid_from: DateTime<Utc>,
    valid_to: DateTime<Utc>,
    status: String,
}

#[derive(ToSchema)]
struct ActivePlanUser {
    user_id: Option<i64>,
    active_plan_count: i64,
}

/// Plans on numbers.
#[derive(ToSchema)]
pub struct CurrentActivePlansReport {
    generated_at: DateTime<Utc>,
    totals: CurrentPlanTotals,
    period_activations: PeriodCounts,
    period_expirations: PeriodCounts,
    trends: Trends,
    monthly_trends: MonthlyTrends,
    distributions: CurrentPlanDistributions,
    growth_rates: GrowthRates,
    avg_plan_duration_days: f64,
    upcoming_expirations: Vec<ActivePlanItem>,
    top_users: Vec<ActivePlanUser>,
    phone_number_duplicates: Vec<PhoneCount>,
}

#[derive(ToSchema)]
struct OfferTotals {
    total_offers: i64,
    special_offers: i64,
}

#[derive(ToSchema)]
struct OfferDistributions {
    by_status: Vec<DistributionItem>,
    by_offer_type: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct OfferAverages {
    avg_validity_days: f64,
}

/// An offer.
#[derive(ToSchema)]
struct OfferItem {
    offer_id: i64,
    offer_name: String,
    offer_type_id: Option<i64>,
    is_special: bool,
    offer_validity: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<i64>,
    status: Option<String>,
}

#[derive(ToSchema)]
struct OfferTypeCounts {
    offer_type_id: i64,
    offer_type_name: String,
    count: i64,
    active_count: i64,
    special_count: i64,
}

/// Offers.
#[derive(ToSchema)]
pub struct OffersReport {
    generated_at: DateTime<Utc>,
    totals: OfferTotals,
    period_counts: PeriodCounts,
    trends: Trends,
    monthly_trends: MonthlyTrends,
    distributions: OfferDistributions,
    growth_rates: GrowthRates,
    averages: OfferAverages,
    top_recent_specials: Vec<OfferItem>,
    offers_by_creator: Vec<CreatorCount>,
    offers_by_type_detailed: Vec<OfferTypeCounts>,
}

#[derive(ToSchema)]
struct PlanTotals {
    total_plans: i64,
    active_plans_count: i64,
    inactive_plans_count: i64,
}

#[derive(ToSchema)]
struct PlanDistributions {
    by_plan_type: Vec<DistributionItem>,
    by_group: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct PlanAverages {
    avg_price: f64,
    avg_validity: f64,
}

/// A plan.
#[derive(ToSchema)]
struct PlanItem {
    plan_id: i64,
    plan_name: String,
    plan_type: Option<String>,
    group_id: Option<i64>,
    validity: Option<i64>,
    price: i64,
    most_popular: bool,
    status: Option<String>,
    created_at: Option<DateTime<Utc>>,
    created_by: Option<i64>,
}

#[derive(ToSchema)]
struct TopPlanActiveCount {
    plan_id: i64,
    plan_name: Option<String>,
    active_count: i64,
}

/// Plans.
#[derive(ToSchema)]
pub struct PlansReport {
    generated_at: DateTime<Utc>,
    totals: PlanTotals,
    period_counts: PeriodCounts,
    activation_counts: PeriodCounts,
    expiration_counts: PeriodCounts,
    trends: Trends,
    monthly_trends: MonthlyTrends,
    distributions: PlanDistributions,
    averages: PlanAverages,
    growth_rates: GrowthRates,
    most_popular_plans: Vec<PlanItem>,
    top_plans_by_active_count: Vec<TopPlanActiveCount>,
    plans_by_creator: Vec<CreatorCount>,
}

#[derive(ToSchema)]
struct ReferralTotals {
    total_rewards: i64,
    total_reward_amount: f64,
    pending_rewards: i64,
    earned_rewards: i64,
}

#[derive(ToSchema)]
struct ReferralDistributions {
    by_status: Vec<DistributionItem>,
    by_amount_range: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct ReferralAverages {
    avg_reward_amount: f64,
    avg_claim_time_days: f64,
}

#[derive(ToSchema)]
struct TopReferrerItem {
    referrer_id: i64,
    total_rewards: i64,
    total_amount: f64,
}

/// Rewards for bringing customers.
#[derive(ToSchema)]
pub struct ReferralsReport {
    generated_at: DateTime<Utc>,
    totals: ReferralTotals,
    period_counts: PeriodStatistics,
    trends: AmountTrends,
    monthly_trends: AmountMonthlyTrends,
    distributions: ReferralDistributions,
    growth_rates: GrowthRates,
    averages: ReferralAverages,
    top_referrers: Vec<TopReferrerItem>,
}

/// Counts, and rupees of what succeeded.
#[derive(ToSchema)]
struct TransactionTotals {
    total_transactions: i64,
    total_amount: f64,
    total_credits: i64,
    total_debits: i64,
    total_credit_amount: f64,
    total_debit_amount: f64,
    success_count: i64,
    failed_count: i64,
    pending_count: i64,
}

#[derive(ToSchema)]
struct TransactionDistributions {
    by_type: Vec<DistributionItem>,
    by_source: Vec<DistributionItem>,
    by_status: Vec<DistributionItem>,
    by_payment_method: Vec<DistributionItem>,
    by_service_type: Vec<DistributionItem>,
}

#[derive(ToSchema)]
struct TransactionAverages {
    avg_transaction_amount: f64,
}

#[derive(ToSchema)]
struct TransactionUser {
    user_id: i64,
    total_txns: i64,
    total_amount: f64,
}

/// Transactions; amounts are those of successful ones.
#[derive(ToSchema)]
pub struct TransactionsReport {
    generated_at: DateTime<Utc>,
    totals: TransactionTotals,
    period_stats: PeriodStatistics,
    trends: AmountTrends,
    monthly_trends: AmountMonthlyTrends,
    distributions: TransactionDistributions,
    growth_rates: GrowthRates,
    averages: TransactionAverages,
    top_users: Vec<TransactionUser>,
}
