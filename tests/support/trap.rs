//! A clock that panics in the middle of a wallet batch, once: of what a test gives an application, a batch asks only the time.

use std::backtrace::Backtrace;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Clock, ManualClock};

/// A manual clock with a trap that is not set at first; clones share both.
#[derive(Clone)]
pub struct TrapClock {
    clock: ManualClock,
    /// Wallet batches until one panics; 0 when none will.
    left: Arc<AtomicUsize>,
}

impl TrapClock {
    /// Shows the time of `clock`.
    pub fn of(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), left: Arc::default() }
    }

    /// The `nth` wallet batch that asks the time from now on panics, its rows locked and nothing written.
    pub fn panic_in_batch(&self, nth: usize) {
        self.left.store(nth, Ordering::SeqCst);
    }
}

impl Clock for TrapClock {
    fn now(&self) -> DateTime<Utc> {
        let set = self.left.load(Ordering::SeqCst) > 0;
        if set && Backtrace::force_capture().to_string().contains("PgWalletStore") {
            assert_ne!(self.left.fetch_sub(1, Ordering::SeqCst), 1, "on purpose: in the middle of a batch");
        }
        self.clock.now()
    }
}
