//! Autopay: rules that recharge a number on their dates from their owner's wallet, without anybody asking.
//!
//! A rule's date is first told to the customer (the *occurrence* begins), then charged at least 24 hours later. There is one
//! occurrence per rule and date, and one idempotency key per occurrence: whatever crashes or runs at the same time, the wallet
//! does it once. Policy, in full: `docs/autopay.md`.
//!
//! | file | what it holds |
//! |---|---|
//! | `schedule` | dates, notices and tries: pure |
//! | `settle` | what follows from the answer to a try: pure |
//! | `tell` | the events of a rule |
//! | `port` | what is needed of the database and of the wallets |
//! | `work` | one batch of notices, one batch of charges |
//! | `actor` | does both for as long as the process runs |

mod actor;
mod port;
mod schedule;
mod settle;
mod tell;
#[cfg(test)]
mod tests;
mod work;

pub use actor::AutopayActor;
pub use port::{AutopayError, AutopayStore, Cashier, Claim, Debit};
pub use schedule::{NOTICE, Series, TELL_BEFORE, charge_at, moment, retry_at, tell_at};
pub use settle::{Answer, Outcome, Rule, Try, Verdict, charge_key, verdict};
pub use tell::{due_soon, settled};
pub use work::{Autopay, Done};
