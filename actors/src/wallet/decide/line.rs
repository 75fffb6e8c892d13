//! Where a bought plan goes on its number: active at once, or behind what was bought before.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Batch, Decided};
use crate::events::{Event, SubscriptionExpired};
use crate::kernel::{ActivationMode, PhoneNumber, SubscriptionId, SubscriptionStatus};
use crate::wallet::command::{Reason, Recharge, Rejection};
use crate::wallet::state::LineState;
use crate::wallet::writes::{ExpireSubscription, NewEvent, ShiftQueue};

/// Where a new plan's window goes, and what it does to the line.
pub(super) struct Placement {
    pub(super) status: SubscriptionStatus,
    pub(super) valid_from: DateTime<Utc>,
    pub(super) valid_to: DateTime<Utc>,
    /// The active plan that ends now.
    pub(super) supersedes: Option<SubscriptionId>,
    /// How far waiting plans move.
    pub(super) shift: Option<TimeDelta>,
    /// Nothing is active, yet it waits: the lifecycle actor must look at once.
    pub(super) wake_up: bool,
}

impl Batch<'_> {
    /// Where the plan goes: see the design of queueing in `docs/recharge.md`.
    pub(super) fn place(&self, order: &Recharge, line: &LineState, days: u32) -> Decided<Placement> {
        let now = self.loaded.now;
        let validity = TimeDelta::days(i64::from(days));
        let end = |from: DateTime<Utc>| {
            from.checked_add_signed(validity).ok_or_else(|| {
                Rejection::new(Reason::PlanUnavailable, "The plan's validity cannot be represented")
            })
        };
        let idle = line.active.is_none() && line.queued == 0;
        let at_once = match order.mode {
            // Somebody else's gift never ends a plan that its owner is using: it waits behind it.
            Some(ActivationMode::Activate) => idle || line.owner == order.payer.user,
            Some(ActivationMode::Queue) => false,
            None => idle,
        };
        if at_once {
            let valid_to = end(now)?;
            let old_start_of_queue = line.active.map_or(now, |(_, ends)| ends);
            return Ok(Placement {
                status: SubscriptionStatus::Active,
                valid_from: now,
                valid_to,
                supersedes: line.active.map(|(id, _)| id),
                shift: (line.queued > 0).then(|| valid_to.signed_duration_since(old_start_of_queue)),
                wake_up: false,
            });
        }
        if line.queued >= self.limits.max_queued {
            return Err(Rejection::new(
                Reason::QueueFull,
                format!("{} plans wait for this number already: wait until one has started", line.queued),
            ));
        }
        let valid_from = line.tail_valid_to.map_or(now, |tail| tail.max(now));
        Ok(Placement {
            status: SubscriptionStatus::Queued,
            valid_from,
            valid_to: end(valid_from)?,
            supersedes: None,
            shift: None,
            wake_up: idle,
        })
    }

    pub(super) fn use_line(
        &mut self,
        number: PhoneNumber,
        line: &LineState,
        subscription: SubscriptionId,
        placement: &Placement,
        gift: bool,
    ) {
        let mut line = line.clone();
        if let Some(old) = placement.supersedes {
            self.supersede(old);
        }
        if let Some(by) = placement.shift {
            self.shift_queue(number, by);
        }
        match placement.status {
            SubscriptionStatus::Active => {
                line.active = Some((subscription, placement.valid_to));
                let moved = placement
                    .shift
                    .and_then(|by| line.tail_valid_to.and_then(|tail| tail.checked_add_signed(by)));
                line.tail_valid_to = Some(moved.unwrap_or(placement.valid_to));
            }
            SubscriptionStatus::Queued => {
                line.queued = line.queued.saturating_add(1);
                line.tail_valid_to = Some(placement.valid_to);
            }
            SubscriptionStatus::Expired => {}
        }
        if placement.wake_up {
            self.writes.wake_ups.push(number);
        }
        if gift {
            line.gifts = line.gifts.saturating_add(1);
        }
        self.loaded.lines.insert(number, line.clone());
        self.writes.lines.insert(number, line);
    }

    /// Ends a plan now, whether it is stored or of this very batch. The store tells of a stored one, which it reads.
    fn supersede(&mut self, old: SubscriptionId) {
        let now = self.loaded.now;
        let index = self.new_subscriptions.get(&old);
        let Some(subscription) = index.and_then(|index| self.writes.subscriptions.get_mut(*index)) else {
            self.writes.expired.push(ExpireSubscription { subscription_id: old, valid_to: now });
            return;
        };
        subscription.status = SubscriptionStatus::Expired;
        subscription.valid_to = now;
        let Some(event_id) = self.ids.event() else { return };
        let plan = self.loaded.catalogue.plans.get(&subscription.plan_id);
        let event = Event::SubscriptionExpired(SubscriptionExpired {
            subscription_id: old,
            txn_id: subscription.txn_id,
            user_id: subscription.user_id,
            phone: subscription.phone,
            plan_id: subscription.plan_id,
            plan_name: plan.map(|plan| plan.name.as_str().into()),
            superseded: true,
            valid_to: now,
            occurred_at: now,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: Some(subscription.txn_id), event });
    }

    fn shift_queue(&mut self, number: PhoneNumber, by: TimeDelta) {
        let shift = self.writes.shifted.entry(number).or_insert(ShiftQueue { by: TimeDelta::zero() });
        shift.by = shift.by.checked_add(&by).unwrap_or(shift.by);
        for subscription in &mut self.writes.subscriptions {
            if subscription.phone == number && subscription.status == SubscriptionStatus::Queued {
                let move_by = |time: DateTime<Utc>| time.checked_add_signed(by).unwrap_or(time);
                subscription.valid_from = move_by(subscription.valid_from);
                subscription.valid_to = move_by(subscription.valid_to);
            }
        }
    }
}
