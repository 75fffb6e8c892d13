//! Autopay: customers' rules, their dates, and the instruments that they keep. The rules of dates and tries are in
//! `gencharge_actors::autopay`; the policy is `docs/autopay.md`.

mod admin;
mod credentials;
mod cycles;
mod due;
mod lists;
mod request;
mod routes;
mod rules;
mod seed;
mod shape;
mod vault;

use std::sync::Arc;

use actix_web::web;
use chrono_tz::Tz;
use gencharge_actors::autopay::Autopay;
use gencharge_actors::kernel::Clock;
use gencharge_actors::wallet::Wallets;
use sqlx::PgPool;

use self::credentials::Credentials;
use self::due::DueDates;
use self::rules::AutopayRules;
use crate::wallet::PgWalletStore;

pub use cycles::PgAutopayStore;
pub use lists::AutopayLists;
pub use routes::{Docs, routes};
pub use seed::{NewDemoRule, insert_demo_rule};
pub use vault::Vault;

/// Notices and charges, over PostgreSQL and the wallet actors.
pub type Scheduler = Autopay<PgAutopayStore, Wallets<PgWalletStore>>;

/// What the handlers are given.
#[derive(Clone)]
pub struct Services {
    rules: AutopayRules,
    lists: AutopayLists,
    due: DueDates,
    credentials: Credentials,
}

impl Services {
    /// Over the shared pool and the scheduler; days and months are those of `zone`.
    #[must_use]
    pub fn new(
        pool: &PgPool,
        clock: &Arc<dyn Clock>,
        zone: Tz,
        vault: Vault,
        scheduler: Scheduler,
        lists: AutopayLists,
    ) -> Self {
        let (pool, clock) = (|| pool.clone(), || Arc::clone(clock));
        Self {
            rules: AutopayRules::new(pool(), clock(), zone),
            lists,
            due: DueDates::new(pool(), clock(), scheduler),
            credentials: Credentials::new(pool(), clock(), vault),
        }
    }

    /// Hands each to actix.
    pub fn attach(&self, cfg: &mut web::ServiceConfig) {
        cfg.app_data(web::Data::new(self.rules.clone()))
            .app_data(web::Data::new(self.lists.clone()))
            .app_data(web::Data::new(self.due.clone()))
            .app_data(web::Data::new(self.credentials.clone()));
    }
}
