//! The demo's two months of history: about fifty customers and what they did, through the wallets' own rules.
//!
//! Everything is drawn from a fixed seed, relative to the moment of seeding. Customers who are there already, or whose number
//! is somebody else's, are left alone, so that a second run adds nothing.

mod cast;
mod documents;
mod story;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{
    AccountStatus, AdminId, Clock as _, Digest128, ManualClock, Paise, PaymentMethod, PhoneNumber, PlanId,
    Source, UserId, UserType,
};
use gencharge_actors::payment::PaymentRules;
use gencharge_actors::wallet::{
    Close, Command, KeyOrigin, Limits, Order, OrderKey, Payer, Reason, Recharge, Refund, Refusal, TopUp,
    Transaction,
};
use sqlx::PgConnection;

pub use self::cast::DAYS;
use self::cast::{Member, cast};
use self::story::{Deed, Dice, Scene, story};
use crate::autopay::{NewDemoRule, insert_demo_rule};
use crate::users::{self, DemoWishes};
use crate::wallet::Recorder;

pub use documents::seed_documents;

/// What was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Customers, with those who have left again.
    pub customers: usize,
    /// Orders that were done.
    pub orders: usize,
    /// Orders that were decided against: the catalogue is no longer the demo's.
    pub refused: usize,
}

/// The demo's own limits, whatever the settings say.
fn limits() -> Limits {
    Limits {
        max_queued: 12,
        max_top_up: Paise::new(5_000_000),
        max_balance: None,
        max_rewards: None,
        payments: PaymentRules::default(),
    }
}

/// Adds the customers that are missing, and their history. Run it inside a transaction, after the catalogue.
///
/// # Errors
/// Those of the database.
pub async fn seed_history(
    db: &mut PgConnection,
    reward: Paise,
    now: DateTime<Utc>,
) -> Result<Added, sqlx::Error> {
    let all = cast(now);
    let users =
        users::insert_demo_members(db, all.iter().map(|member| (&member.customer, member.joined))).await?;
    if users.is_empty() {
        return Ok(Added::default());
    }
    for member in all.iter().filter(|member| users.contains_key(&member.phone())) {
        // Not by somebody who had one of the demo's numbers before: that wallet is in use.
        if let Some(referrer) = member.brought_by.filter(|phone| users.contains_key(phone)) {
            users::brought_by(db, member.phone(), referrer, reward, member.joined).await?;
        }
    }
    for parent in ["transactions", "postings"] {
        sqlx::query("SELECT ensure_partitions($1, 'month', $2, $3)")
            .bind(parent)
            .bind(now - TimeDelta::days(DAYS))
            .bind(now)
            .execute(&mut *db)
            .await?;
    }
    sqlx::query("SELECT pg_advisory_xact_lock_shared(4201)").execute(&mut *db).await?;
    let mut stage = Stage::new(users, admin(db).await?, now);
    for scene in story(&all, now) {
        stage.play(db, &all, &scene).await?;
    }
    stage.end(db, &all, now).await?;
    // Days that were summed already have grown.
    sqlx::query("DELETE FROM analytics_reach").execute(db).await?;
    Ok(stage.added)
}

/// The demo's first manager, who gives money back.
async fn admin(db: &mut PgConnection) -> Result<AdminId, sqlx::Error> {
    let id: Option<i64> = sqlx::query_scalar(
        "SELECT min(admin_id) FROM admins JOIN roles USING (role_id) WHERE role_name = 'Manager'",
    )
    .fetch_one(db)
    .await?;
    Ok(AdminId(id.unwrap_or(1)))
}

/// Where the story is played: those who are in it, and its time.
struct Stage {
    users: HashMap<PhoneNumber, UserId>,
    admin: AdminId,
    clock: ManualClock,
    recorder: Recorder,
    /// Each one's last recharge.
    last: HashMap<usize, Transaction>,
    added: Added,
}

impl Stage {
    fn new(users: HashMap<PhoneNumber, UserId>, admin: AdminId, now: DateTime<Utc>) -> Self {
        let clock = ManualClock::at(now - TimeDelta::days(DAYS));
        let recorder = Recorder::new(Arc::new(clock.clone()));
        let added = Added { customers: users.len(), ..Added::default() };
        Self { users, admin, clock, recorder, last: HashMap::new(), added }
    }

    fn payer(&self, phone: PhoneNumber) -> Option<Payer> {
        Some(Payer { user: *self.users.get(&phone)?, phone: Some(phone) })
    }

    async fn play(
        &mut self,
        db: &mut PgConnection,
        all: &[Member],
        scene: &Scene,
    ) -> Result<(), sqlx::Error> {
        let Some(payer) = all.get(scene.who).and_then(|member| self.payer(member.phone())) else {
            return Ok(());
        };
        let Some(command) = self.command(payer, scene) else { return Ok(()) };
        self.clock.advance(scene.at - self.clock.now());
        self.record(db, scene.who, command).await
    }

    fn command(&self, payer: Payer, scene: &Scene) -> Option<Command> {
        let top_up = |number, amount, method| Command::TopUp(TopUp { payer, number, amount, method });
        Some(match scene.deed {
            Deed::TopUp(amount) => top_up(payer.phone?, amount, PaymentMethod::Upi),
            Deed::Give(amount, to) => {
                self.users.get(&to)?;
                top_up(to, amount, PaymentMethod::Wallet)
            }
            Deed::Recharge(plan, offer, method, number) => {
                self.users.get(&number)?;
                Command::Recharge(Recharge {
                    payer,
                    number,
                    plan,
                    offer,
                    method,
                    wallet_amount: None,
                    mode: None,
                    source: Source::Recharge,
                })
            }
            Deed::Refund => Command::Refund(Box::new(Refund {
                payer,
                of: self.last.get(&scene.who)?.clone(),
                cashback: Paise::ZERO,
                amount: None,
                admin: self.admin,
                role: "Manager".to_owned(),
                reason: Some("Bought by mistake".to_owned()),
            })),
        })
    }

    async fn record(
        &mut self,
        db: &mut PgConnection,
        who: usize,
        command: Command,
    ) -> Result<(), sqlx::Error> {
        let number = Digest128(u128::try_from(self.added.orders + self.added.refused).unwrap_or(0));
        let key = OrderKey { key: number, request: number, origin: KeyOrigin::Internal };
        let order = Order { command, key, asked: None };
        for answer in self.recorder.record(db, &[order], &limits()).await? {
            match answer {
                Ok(done) => {
                    self.added.orders = self.added.orders.saturating_add(1);
                    let transaction = done.receipt.transaction;
                    if transaction.subscription_id.is_some() {
                        self.last.insert(who, transaction);
                    }
                }
                // Meant to be declined; its failed transaction is written.
                Err(Refusal::Rejected { rejection, .. }) if rejection.reason == Reason::PaymentDeclined => {
                    self.added.orders = self.added.orders.saturating_add(1);
                }
                Err(_) => self.added.refused = self.added.refused.saturating_add(1),
            }
        }
        Ok(())
    }

    /// What holds today: plans, states, wishes and rules; and some leave.
    async fn end(
        &mut self,
        db: &mut PgConnection,
        all: &[Member],
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        self.clock.advance(now - self.clock.now());
        let phones: Vec<i64> = self.users.keys().map(|phone| phone.e164()).collect();
        self.recorder.bring_up_to_date(db, &phones).await?;
        for member in all {
            let Some(payer) = self.payer(member.phone()) else { continue };
            let dice = Dice::of(member.index.saturating_add(1_000));
            if member.leaves {
                self.leave(db, member, payer).await?;
                continue;
            }
            users::set_demo_wishes(db, payer.user, &wishes(&dice)).await?;
            if member.customer.status == AccountStatus::Active {
                for rule in rules(member, payer, &dice, now) {
                    insert_demo_rule(db, &rule).await?;
                }
            } else {
                users::set_demo_status(db, payer.user, member.customer.status, now).await?;
            }
        }
        Ok(())
    }

    async fn leave(
        &mut self,
        db: &mut PgConnection,
        member: &Member,
        payer: Payer,
    ) -> Result<(), sqlx::Error> {
        let close = Close { user: payer.user, phone: member.phone(), by: None };
        let before = self.added;
        self.record(db, member.index, Command::Close(close)).await?;
        if self.added.orders == before.orders {
            // An empty wallet need not be closed.
            self.added = before;
            users::archive_empty(db, payer.user, self.clock.now()).await?;
        }
        Ok(())
    }
}

fn wishes(dice: &Dice) -> DemoWishes {
    DemoWishes {
        email: dice.chance(75),
        sms: dice.chance(80),
        marketing: dice.chance(40),
        reminders: dice.chance(85),
        promotions: dice.chance(50),
        transactions: dice.chance(90),
        language: dice.chance(15).then_some("hi"),
    }
}

/// Up to two rules, most of them enabled, due in 7 to 60 days.
fn rules(member: &Member, payer: Payer, dice: &Dice, now: DateTime<Utc>) -> Vec<NewDemoRule> {
    let Some(user_type) = member.customer.user_type else { return Vec::new() };
    let plans: [i64; 2] = if user_type == UserType::Prepaid { [1, 2] } else { [12, 11] };
    let count = usize::try_from(dice.below(3)).unwrap_or(0);
    let rule = |plan: &i64| NewDemoRule {
        user: payer.user,
        phone: member.phone(),
        plan: PlanId(*plan),
        once: dice.chance(25),
        monthly: dice.chance(40),
        enabled: dice.chance(80),
        due: now + TimeDelta::days(7 + dice.below(54)) + TimeDelta::hours(dice.below(10)),
        set_at: now - TimeDelta::hours(1 + dice.below(48)),
    };
    plans.iter().take(count).map(rule).collect()
}
