//! The supervised actors, and who feeds whom: wallets write the outbox and wake the relay, the relay hands events to the
//! bus, the bus to the notification actor and the audit log.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use gencharge_actors::autopay::{Autopay, AutopayActor};
use gencharge_actors::backup::BackupActor;
use gencharge_actors::kernel::Paise;
use gencharge_actors::lifecycle::Lifecycle;
use gencharge_actors::notification::{Announcer, Hub, HubActor, NotificationActor, NotificationParts, Rules};
use gencharge_actors::payment::{PaymentRules, PaymentSweeper, Sandbox};
use gencharge_actors::relay::OutboxSignal;
use gencharge_actors::runtime::{Spec, Stage, StartError, Universe};
use gencharge_actors::upkeep::UpkeepActor;
use gencharge_actors::wallet::{Limits, RetryLimits, WalletSettings, Wallets};
use sqlx::PgPool;

use super::Parts;
use super::bus::{self, Consumers};
use super::stores::{COLLECTIONS, Stores};
use crate::analytics::{Analytics, Keeper, PgRollUp};
use crate::audit::AuditWriter;
use crate::autopay::{PgAutopayStore, Scheduler};
use crate::backups::{BackupDesk, Backups};
use crate::config::{PaymentGateway, RechargeConfig};
use crate::notifications::{DueAnnouncements, PgPeople};
use crate::payments::PgSweepStore;
use crate::platform::bus::outbox::relay_pool;
use crate::platform::documents::upkeep::DocumentUpkeep;
use crate::platform::postgres::upkeep::PgUpkeep;
use crate::recharge::DryRun;
use crate::wallet::{PgLifecycle, PgWalletStore};

/// How often days that are over are summed for the figures of all transactions.
const ROLL_UP_EVERY: Duration = Duration::from_secs(600);

/// How often it is looked whether kept figures are to be made anew.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// How often partitions are made and old rows deleted.
const UPKEEP_EVERY: Duration = Duration::from_secs(600);

/// Starts every actor under `universe`.
///
/// # Errors
/// [`StartError`] when one cannot be started.
pub fn start(
    universe: &Universe,
    parts: &Parts,
    stores: &Stores,
    hub: &Hub,
) -> Result<Wallets<PgWalletStore>, StartError> {
    let relay_pool = relay_pool(parts.pool.connect_options().as_ref().clone());
    let signal = OutboxSignal::default();
    start_relay(universe, parts, stores, (&relay_pool, &signal), hub)?;
    start_upkeep(universe, parts, stores, relay_pool)?;
    let (pool, clock) = (parts.pool.clone(), Arc::clone(&parts.clock));
    universe.supervise(Spec::new("lifecycle"), move |probe| {
        Lifecycle::new(PgLifecycle::new(pool.clone(), Arc::clone(&clock)), probe)
    })?;
    let wallets = start_wallets(universe, parts, signal)?;
    let (pool, clock, swept) = (parts.pool.clone(), Arc::clone(&parts.clock), wallets.clone());
    universe.supervise(Spec::new("payments"), move |probe| {
        PaymentSweeper::new(PgSweepStore::new(pool.clone(), Arc::clone(&clock)), swept.clone(), probe)
    })?;
    Ok(wallets)
}

/// The bounds of wallets, from the settings.
fn limits(recharge: &RechargeConfig) -> Limits {
    Limits {
        max_queued: i32::try_from(recharge.max_queued_plans).unwrap_or(i32::MAX),
        max_top_up: Paise::new(recharge.max_topup_paise),
        max_balance: recharge.max_wallet_balance_paise.map(Paise::new),
        max_rewards: recharge.referral_max_rewards.map(i64::from),
        payments: PaymentRules {
            gateway: match recharge.payment_gateway {
                PaymentGateway::Sandbox => &Sandbox,
            },
            ttl: TimeDelta::from_std(recharge.payment_ttl).unwrap_or(TimeDelta::MAX),
        },
    }
}

/// What answers quotes: the wallets' rules on a connection of its own.
pub fn dry_run(parts: &Parts) -> DryRun {
    let options = parts.pool.connect_options().as_ref().clone();
    DryRun::new(PgWalletStore::new(options, Arc::clone(&parts.clock)), limits(&parts.config.recharge))
}

/// Starts the scheduler of autopay; its work can also be done by others.
///
/// # Errors
/// [`StartError`] when it cannot be started.
pub fn start_autopay(
    universe: &Universe,
    parts: &Parts,
    wallets: Wallets<PgWalletStore>,
) -> Result<Scheduler, StartError> {
    let clock = Arc::clone(&parts.clock);
    let store = PgAutopayStore::new(parts.pool.clone(), Arc::clone(&clock), parts.config.timezone);
    let autopay = Autopay::new(store, wallets, clock);
    let worker = autopay.clone();
    universe.supervise(Spec::new("autopay").stage(Stage::Intake), move |probe| {
        AutopayActor::new(worker.clone(), probe)
    })?;
    Ok(autopay)
}

fn start_wallets(
    universe: &Universe,
    parts: &Parts,
    signal: OutboxSignal,
) -> Result<Wallets<PgWalletStore>, StartError> {
    let recharge = &parts.config.recharge;
    let settings = WalletSettings {
        shards: recharge.wallet_shards,
        mailbox: recharge.wallet_mailbox,
        limits: limits(recharge),
        retry: RetryLimits::default(),
        random: Arc::clone(&parts.random),
        committed: Arc::new(move || signal.wake()),
    };
    let options = parts.pool.connect_options().as_ref().clone();
    let clock = Arc::clone(&parts.clock);
    Wallets::start(universe, &settings, move || PgWalletStore::new(options.clone(), Arc::clone(&clock)))
}

fn start_relay(
    universe: &Universe,
    parts: &Parts,
    stores: &Stores,
    (pool, signal): (&PgPool, &OutboxSignal),
    hub: &Hub,
) -> Result<(), StartError> {
    let live = hub.clone();
    universe.supervise(Spec::new("notification-hub"), move |probe| HubActor::new(live.clone(), probe))?;
    let told = notification_parts(parts, stores, pool, hub);
    let notifications = universe.supervise(Spec::new("notifications").stage(Stage::Sink), move |probe| {
        NotificationActor::new(told.clone(), probe)
    })?;
    let (announced, clock) = (hub.clone(), Arc::clone(&parts.clock));
    let documents = Arc::clone(&stores.documents);
    universe.supervise(Spec::new("announcer"), move |probe| {
        let due = DueAnnouncements::new(Arc::clone(&documents), announced.clone(), Arc::clone(&clock));
        Announcer::new(due, probe)
    })?;
    let audit = Arc::new(AuditWriter::new(Arc::clone(&stores.documents)));
    bus::start(universe, parts, stores, (pool, signal), &Consumers { notifications, audit })
}

fn notification_parts(parts: &Parts, stores: &Stores, pool: &PgPool, hub: &Hub) -> NotificationParts {
    let (messages, timezone) = (&parts.config.messages, parts.config.timezone);
    NotificationParts {
        store: stores.notices(pool),
        people: Arc::new(PgPeople::new(pool.clone())),
        rules: Rules {
            language: messages.language,
            low_balance: Paise::new(messages.low_balance_paise),
            day: Arc::new(move |at| at.with_timezone(&timezone).date_naive()),
        },
        hub: hub.clone(),
    }
}

/// Starts what makes and restores backups.
///
/// # Errors
/// [`StartError`] when it cannot be started.
pub fn start_backups(universe: &Universe, parts: &Parts, stores: &Stores) -> Result<Backups, StartError> {
    let desk = Arc::new(BackupDesk::new(
        &parts.config,
        parts.pool.connect_options().as_ref().clone(),
        parts.pool.clone(),
        Arc::clone(&stores.documents),
        COLLECTIONS,
        (Arc::clone(&parts.clock), Arc::clone(&parts.random)),
    ));
    let jobs = Arc::clone(&desk);
    let actor = universe.supervise(Spec::new("backups").stage(Stage::Intake), move |probe| {
        BackupActor::new(Arc::clone(&jobs), probe)
    })?;
    Ok(Backups::new(desk, actor))
}

fn start_upkeep(universe: &Universe, parts: &Parts, stores: &Stores, pool: PgPool) -> Result<(), StartError> {
    let (clock, retention) = (Arc::clone(&parts.clock), parts.config.postgres.outbox_retention);
    universe.supervise(Spec::new("upkeep").stage(Stage::Outflow), move |probe| {
        let upkeep = PgUpkeep::new(pool.clone(), Arc::clone(&clock), retention);
        UpkeepActor::new(Arc::new(upkeep), UPKEEP_EVERY, probe)
    })?;
    let (clock, documents) = (Arc::clone(&parts.clock), Arc::clone(&stores.documents));
    universe.supervise(Spec::new("document-upkeep").stage(Stage::Outflow), move |probe| {
        let upkeep = DocumentUpkeep::new(Arc::clone(&documents), COLLECTIONS, Arc::clone(&clock));
        UpkeepActor::new(Arc::new(upkeep), UPKEEP_EVERY, probe)
    })?;
    let roll_up = PgRollUp::new(parts.pool.clone(), Arc::clone(&parts.clock), parts.config.timezone);
    universe.supervise(Spec::new("analytics").stage(Stage::Outflow), move |probe| {
        UpkeepActor::new(Arc::new(roll_up.clone()), ROLL_UP_EVERY, probe)
    })?;
    let analytics = Analytics::new(parts.pool.clone(), Arc::clone(&parts.clock), parts.config.timezone);
    universe.supervise(Spec::new("analytics-figures").stage(Stage::Outflow), move |probe| {
        UpkeepActor::new(Arc::new(Keeper::new(analytics.clone())), KEEP_EVERY, probe)
    })?;
    Ok(())
}
