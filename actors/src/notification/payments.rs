//! What customers are told of payments that were not captured or went back.

use super::notice::Part;
use super::rules::{About, News, Page, TopUpFacts};
use crate::events::{PaymentFailed, PaymentRefunded};
use crate::kernel::EventId;

impl Page<'_> {
    /// A payment that nobody captured.
    pub(super) fn payment_failed(&mut self, id: EventId, it: &PaymentFailed) {
        let facts = TopUpFacts { txn_id: it.txn_id, amount: it.amount.to_string() };
        let key = if it.expired { "payment.expired" } else { "payment.declined" };
        self.customer(
            &About::of(id, it.occurred_at, &facts),
            (it.user_id, Part::Customer, News::Transaction),
            |words| words.say(key, &[("amount", &it.amount)]),
        );
    }

    /// Money that went back, for who paid and for whose wallet gave it.
    pub(super) fn payment_refunded(&mut self, id: EventId, it: &PaymentRefunded) {
        let facts = TopUpFacts { txn_id: it.txn_id, amount: it.amount.to_string() };
        let about = About::of(id, it.occurred_at, &facts);
        let key = if it.to_wallet { "refund.wallet" } else { "refund.gateway" };
        self.customer(&about, (it.user_id, Part::Customer, News::Transaction), |words| {
            let ended = if it.plan_cancelled { words.say("refund.ended", &[]) } else { String::new() };
            words.say(key, &[("amount", &it.amount), ("ended", &ended)])
        });
        if it.holder_id != it.user_id {
            self.customer(&about, (it.holder_id, Part::Other, News::Transaction), |words| {
                words.say("refund.holder", &[("amount", &it.amount)])
            });
        }
    }
}
