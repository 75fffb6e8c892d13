//! Payments through a gateway: the port, the sandbox behind it, and the actor that ends what nobody paid.
//!
//! A payment is begun inside the wallet's batch, so the port answers at once and without I/O: whether the money is there
//! already, is still to come, or was declined. What is still to come is kept as a [`crate::wallet::Payment`] until the
//! gateway calls back or its time is up; then a [`crate::wallet::Settle`] goes to the payer's wallet.

mod sweeper;

use std::fmt::Debug;

use chrono::TimeDelta;

use crate::kernel::Paise;

pub use sweeper::{Due, PaymentSweeper, SweepError, SweepStore};

/// What a gateway says of a new payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The money is there.
    Captured,
    /// It may come; the gateway will say. `late`: it comes by itself this long after the payment's time was up.
    Pending {
        /// Only the sandbox knows.
        late: Option<TimeDelta>,
    },
    /// It will not come.
    Declined,
}

/// A payment gateway.
pub trait Gateway: Debug + Send + Sync {
    /// Begins a payment of `amount`, above zero. Called inside of a batch: it must not block.
    fn begin(&self, amount: Paise) -> Begun;
}

/// The built-in gateway: it moves no real money. It captures at once, unless the amount, whatever its hundreds of rupees,
/// tells it otherwise: 91.01 stays pending, 92.02 is declined, 93.03 is captured a minute after its time was up.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox;

impl Gateway for Sandbox {
    fn begin(&self, amount: Paise) -> Begun {
        match amount.get().rem_euclid(10_000) {
            9_101 => Begun::Pending { late: None },
            9_202 => Begun::Declined,
            9_303 => Begun::Pending { late: Some(TimeDelta::minutes(1)) },
            _ => Begun::Captured,
        }
    }
}

/// Captures everything at once: for dry runs.
#[derive(Clone, Copy, Debug)]
pub struct Willing;

impl Gateway for Willing {
    fn begin(&self, _: Paise) -> Begun {
        Begun::Captured
    }
}

/// How payments are taken.
#[derive(Clone, Copy, Debug)]
pub struct PaymentRules {
    /// By whom.
    pub gateway: &'static dyn Gateway,
    /// How long a payment may stay pending.
    pub ttl: TimeDelta,
}

impl Default for PaymentRules {
    fn default() -> Self {
        Self { gateway: &Sandbox, ttl: TimeDelta::minutes(15) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_told_amounts_are_special() {
        let begun = |text: &str| Sandbox.begin(Paise::parse(text).unwrap());
        assert_eq!(begun("91.01"), Begun::Pending { late: None });
        assert_eq!(begun("1291.01"), Begun::Pending { late: None });
        assert_eq!(begun("192.02"), Begun::Declined);
        assert!(matches!(begun("93.03"), Begun::Pending { late: Some(_) }));
        let special =
            (1..=10_000).filter(|paise| Sandbox.begin(Paise::new(*paise)) != Begun::Captured).count();
        assert_eq!(special, 3);
    }
}
