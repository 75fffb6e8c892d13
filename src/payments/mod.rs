//! Payments that the gateway did not capture at once, the gateway's callbacks, and refunds.

mod callback;
mod refund;
mod routes;
mod shape;
mod store;

use std::sync::Arc;

use chrono_tz::Tz;
use gencharge_actors::kernel::Clock;
use gencharge_actors::wallet::Wallets;
use sqlx::PgPool;

use crate::config::Secret;
use crate::wallet::PgWalletStore;

pub use routes::{Docs, routes};
pub use store::PgSweepStore;

/// What the handlers need.
#[derive(Clone)]
pub struct Payments {
    store: store::PaymentStore,
    wallets: Wallets<PgWalletStore>,
    clock: Arc<dyn Clock>,
    zone: Tz,
    /// Signs callbacks; without it none is taken.
    secret: Option<Secret>,
}

impl Payments {
    /// Over the wallet actors and what `pool` holds; days are counted in `zone`.
    #[must_use]
    pub fn new(
        pool: PgPool,
        wallets: Wallets<PgWalletStore>,
        clock: Arc<dyn Clock>,
        zone: Tz,
        secret: Option<Secret>,
    ) -> Self {
        Self { store: store::PaymentStore::new(pool), wallets, clock, zone, secret }
    }
}
