//! The administrators' reports by name.

use super::figures::Json;
use super::store::View;
use super::{reports, transactions};

macro_rules! reports {
    ($($(#[$doc:meta])* $report:ident = $name:literal, $make:path;)*) => {
        /// A report for administrators.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Report {
            $($(#[$doc])* $report,)*
        }

        impl Report {
            /// Every report.
            pub const ALL: &[Self] = &[$(Self::$report),*];

            /// As it is called in its path.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$report => $name,)* }
            }

            /// The report of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$report),)* _ => None }
            }

            /// Its figures as `view` has them.
            ///
            /// # Errors
            /// Those of the database.
            pub async fn make(self, view: &View) -> Result<Json, sqlx::Error> {
                match self { $(Self::$report => $make(view).await,)* }
            }
        }
    };
}

reports! {
    /// Administrators.
    Admins = "admins", reports::admins;
    /// Backups.
    Backups = "backup", reports::backups;
    /// Plans on numbers.
    CurrentPlans = "current-active-plans", reports::current_plans;
    /// Offers.
    Offers = "offers", reports::offers;
    /// Plans.
    Plans = "plans", reports::plans;
    /// Referral rewards.
    Referrals = "referrals", reports::referrals;
    /// All transactions.
    Transactions = "transactions", transactions::transactions;
    /// Deleted customers.
    ArchivedUsers = "users-archive", reports::archived_users;
    /// Customers.
    Users = "users", reports::users;
}
