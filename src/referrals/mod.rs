//! Rewards for bringing customers: how they begin, and the lists of them. They are paid by the wallets
//! (`actors/src/wallet/decide/referral.rs`).

mod lists;
mod note;
mod routes;

pub use lists::Referrals;
pub use note::note;
pub use routes::{Docs, routes};
