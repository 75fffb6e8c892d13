//! Wallets: the actors that own every movement of money.
//!
//! A [`Command`] goes to the shard of its payer's wallet. A shard drains what waits into one batch, and the batch becomes
//! one database transaction: lock what it touches in id order, [`decide`] each command in turn on an overlay of the locked
//! state, write everything at once, commit. Only then does anyone get an answer.
//!
//! | file | what it holds |
//! |---|---|
//! | `command` | what can be asked, and the answers |
//! | `payment` | payments that are not captured at once, refunds |
//! | `state` | what a batch loads: wallets, lines, keys |
//! | `decide` | the rules, pure; a room for each kind of command |
//! | `writes` | what a batch writes |
//! | `store` | the port to the database, and how its failures are classed |
//! | `batch` | one batch from touch to answers, with its retries |
//! | `shard` | the actor, and [`Wallets`], which the rest of the program talks to |

mod batch;
mod command;
mod decide;
mod payment;
mod shard;
mod state;
mod store;
mod writes;

#[cfg(test)]
mod simulation;

pub use batch::{KeyWatch, RetryLimits, run_batch};
pub use command::{
    Asked, Close, Command, Done, Fund, KeyOrigin, Order, OrderKey, Payer, Reason, Receipt, Recharge, Refusal,
    Rejection, Subscription, TopUp, Transaction,
};
pub use decide::{Decisions, Limits, decide};
pub use payment::{
    Payment, PaymentStanding, Purchase, Refund, RefundStanding, RefundWay, Settle, Settlement,
};
pub use shard::{Shard, ShardFactory, WalletSettings, Wallets};
pub use state::{IdBlock, Ids, LineState, Loaded, Referral, StoredKey, StoredOutcome, Touch, WalletState};
pub use store::{StoreError, WalletStore};
pub use writes::{
    Bought, CancelPlan, ClosedWallet, EndedReferral, ExpireSubscription, NewEvent, NewKey, NewPayment,
    NewPosting, NewRefund, OfferUse, SettledPayment, ShiftQueue, Writes,
};
