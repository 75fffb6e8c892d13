//! Receipts of single transactions, as PDF.

mod document;
mod routes;
mod store;

use chrono_tz::Tz;
use sqlx::PgPool;

pub use routes::{Docs, routes};

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Receipts {
    pool: PgPool,
    zone: Tz,
}

impl Receipts {
    /// Of the transactions in `pool`; times are those of `zone`.
    #[must_use]
    pub const fn new(pool: PgPool, zone: Tz) -> Self {
        Self { pool, zone }
    }
}
