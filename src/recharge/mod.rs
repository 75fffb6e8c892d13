//! Recharges and top-ups: from a request to an order for the wallet actors, and from their answer to a response.

mod answer;
mod request;
mod routes;

use std::sync::Arc;

use gencharge_actors::kernel::Random;
use gencharge_actors::wallet::Wallets;

use crate::wallet::PgWalletStore;

pub use routes::{Docs, routes};

/// What the handlers need.
#[derive(Clone)]
pub struct RechargeService {
    wallets: Wallets<PgWalletStore>,
    random: Arc<dyn Random>,
}

impl RechargeService {
    /// Over the wallet actors; `random` makes keys for requests that bring none.
    #[must_use]
    pub fn new(wallets: Wallets<PgWalletStore>, random: Arc<dyn Random>) -> Self {
        Self { wallets, random }
    }
}
