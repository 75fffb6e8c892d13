//! The only wiring: builds the services from the settings and the stores, gives them to the routes, and runs the server
//! with its background tasks. `serve` and the tests start the same application here.

mod actors;
mod bus;
mod channels;
mod edge;
mod parts;

pub mod stores;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{HttpServer, web};
use gencharge_actors::kernel::Paise;
use gencharge_actors::messages::{CommandHandler, Replay};
use gencharge_actors::notification::Hub;
use gencharge_actors::notification::channel::Codes;
use gencharge_actors::runtime::Universe;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use utoipa::OpenApi as _;

use crate::admins::{self, Admins};
use crate::analytics::{self, Analytics};
use crate::audit::{self, AuditLog};
use crate::auth::{self, Auth, CookieRules, Gate, Keys, Rules, UnusableSecret, listener};
use crate::autopay::{self, AutopayLists, Vault};
use crate::backups::{self, Backups};
use crate::catalogue::{self, CatalogueStore, PublicLists};
use crate::config::Config;
use crate::contact::{self, Contacts};
use crate::content::{self, Contents, Pictures};
use crate::contract;
use crate::http::documentation::{self, Documentation};
use crate::http::edge::AccessLog;
use crate::http::{openapi, server};
use crate::messages::{self, SetAside};
use crate::notifications::{self, NotificationServices, Notifications};
use crate::operations;
use crate::partners::{self, PartnerBook, PartnerCommands, PartnerService, PartnerStore};
use crate::payments::{self, Payments};
use crate::platform::bus::rabbit::Rabbit;
use crate::platform::postgres::listener::Listener;
use crate::platform::postgres::rows::LongReads;
use crate::platform::redis::{Announcer, Hearing};
use crate::platform::tls;
use crate::receipts::{self, Receipts};
use crate::recharge::{self, RechargeService};
use crate::referrals::{self, Referrals};
use crate::reports::{self, Reports};
use crate::roles::{self, Roles};
use crate::subscriptions::{self, SubscriptionLists};
use crate::transactions::{self, TransactionLists};
use crate::users::{self, Users};
use stores::{Stores, UnusableStore};

pub use parts::Parts;

/// How long requests in flight may take to end once the server is told to stop.
const DRAIN_SECONDS: u64 = 10;
/// How long a background task may take to end after that.
const TASK_PATIENCE: Duration = Duration::from_secs(5);
/// How long the actors may take to finish what they have accepted.
const ACTOR_PATIENCE: Duration = Duration::from_secs(20);
/// Unpaged lists and exports that may be sent at once; each holds a connection.
const LONG_READS: usize = 4;
/// Hints from Redis that may wait.
const HINTS: usize = 1024;
/// How long the start waits for the gate's first reading; it works without (slower), so it never fails the start.
const FIRST_READING: Duration = Duration::from_secs(2);

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The secret key.
    #[error(transparent)]
    Secret(#[from] UnusableSecret),
    /// The data folder.
    #[error("GENCHARGE_DATA_DIR: {path} cannot be made: {source}; choose a folder that can be written")]
    Folder {
        /// The folder asked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The stores beside PostgreSQL, or the collections in it.
    #[error(transparent)]
    Store(#[from] UnusableStore),
    /// A supervised actor.
    #[error("an actor cannot be started: {0}")]
    Actor(#[from] gencharge_actors::runtime::StartError),
    /// Better no start than codes that never arrive.
    #[error("{0}")]
    Messages(String),
    /// The broker's address. A broker that is away does not keep the application from starting.
    #[error("AMQP_URL: {0}")]
    Broker(String),
    /// The log of requests.
    #[error(
        "GENCHARGE_ACCESS_LOG: {path} cannot be opened: {source}; choose a file that can be written, or off"
    )]
    AccessLog {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The numbers of `/metrics`.
    #[error("the numbers for /metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The address.
    #[error(
        "GENCHARGE_BIND: cannot listen on {address}: {source}; choose another address or end what listens there"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Everything that handlers are given. One field a service; `attach` hands each to actix.
#[derive(Clone)]
struct Services {
    gate: Gate,
    auth: Auth,
    cookies: CookieRules,
    users: Users,
    admins: Admins,
    roles: Roles,
    referrals: Referrals,
    transactions: TransactionLists,
    subscriptions: SubscriptionLists,
    catalogue: CatalogueStore,
    public_lists: PublicLists,
    notifications: Notifications,
    audit_log: AuditLog,
    contacts: Contacts,
    contents: Contents,
    set_aside: SetAside,
    recharge: RechargeService,
    autopay: autopay::Services,
    partners: PartnerService,
    payments: Payments,
    receipts: Receipts,
    reports: Reports,
    analytics: Analytics,
    backups: Backups,
}

impl Services {
    fn build(
        parts: &Parts,
        stores: &Stores,
        universe: &Universe,
        codes: Codes,
        changes: &mut Listener,
        announcer: &Announcer,
    ) -> Result<Self, StartError> {
        let keys = Keys::derive(parts.secret.expose())?;
        let gate = Gate::new(keys.clone(), Arc::clone(&parts.clock), parts.pool.clone(), announcer.clone());
        let auth = Auth::new(
            Arc::clone(&stores.codes),
            Arc::clone(&parts.clock),
            Arc::clone(&parts.random),
            keys,
            gate.clone(),
            codes,
            rules(&parts.config),
        );
        let cookies = CookieRules { secure: parts.config.is_production() };
        let long_reads = LongReads::new(LONG_READS);
        let hub = Hub::new(stores.notices(&parts.pool));
        let wallets = actors::start(universe, parts, stores, &hub)?;
        let users = Users::new(
            parts.pool.clone(),
            wallets.clone(),
            Arc::clone(&parts.random),
            long_reads.clone(),
            Arc::clone(&parts.clock),
            gate.clone(),
        );
        let admins = Admins::new(parts.pool.clone(), Arc::clone(&parts.clock), gate.clone());
        let referrals = Referrals::new(parts.pool.clone(), long_reads.clone());
        let roles = Roles::new(parts.pool.clone(), Arc::clone(&parts.clock), gate.clone());
        let transactions = TransactionLists::new(
            parts.pool.clone(),
            long_reads.clone(),
            Arc::clone(&parts.clock),
            parts.config.timezone,
        );
        let reports = Reports::new(
            parts.pool.clone(),
            long_reads.clone(),
            Arc::clone(&parts.clock),
            parts.config.timezone,
        );
        let subscriptions = SubscriptionLists::new(
            parts.pool.clone(),
            long_reads.clone(),
            Arc::clone(&parts.clock),
            parts.config.timezone,
        );
        let catalogue = CatalogueStore::new(parts.pool.clone());
        let public_lists =
            PublicLists::new(catalogue.clone(), Arc::clone(&parts.clock), changes, announcer.clone());
        let notifications = Notifications::new(NotificationServices {
            hub,
            pool: parts.pool.clone(),
            documents: Arc::clone(&stores.documents),
            timezone: parts.config.timezone,
            language: parts.config.messages.language,
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
        });
        let recharge = RechargeService::new(
            wallets.clone(),
            Arc::clone(&parts.random),
            actors::dry_run(parts),
            parts.pool.clone(),
        );
        let payments = Payments::new(
            parts.pool.clone(),
            wallets.clone(),
            Arc::clone(&parts.clock),
            parts.config.timezone,
            parts.config.recharge.payment_callback_secret.clone(),
        );
        let autopay = autopay::Services::new(
            &parts.pool,
            &parts.clock,
            parts.config.timezone,
            Vault::derive(parts.secret.expose(), Arc::clone(&parts.random)).ok_or(UnusableSecret)?,
            actors::start_autopay(universe, parts, wallets.clone())?,
            AutopayLists::new(parts.pool.clone(), long_reads, catalogue.clone()),
        );
        let store = PartnerStore::new(parts.pool.clone());
        let book = PartnerBook::new(store.clone());
        if let Some(rabbit) = &stores.rabbit {
            let commands: Arc<dyn CommandHandler> =
                Arc::new(PartnerCommands::new(wallets.clone(), book.clone()));
            bus::start_commands(universe, parts, rabbit, &commands)?;
        }
        let (clock, random) = (Arc::clone(&parts.clock), Arc::clone(&parts.random));
        let partners = PartnerService::new(store, book, wallets, clock, random, stores.rabbit.clone());
        Ok(Self {
            gate,
            auth,
            cookies,
            users,
            admins,
            roles,
            referrals,
            transactions,
            subscriptions,
            catalogue,
            public_lists,
            notifications,
            audit_log: AuditLog::new(Arc::clone(&stores.documents)),
            contacts: Contacts::new(
                Arc::clone(&stores.documents),
                parts.pool.clone(),
                Arc::clone(&parts.clock),
                Arc::clone(&parts.random),
            ),
            contents: Contents::new(
                Arc::clone(&stores.documents),
                Pictures::new(&parts.config.data_dir.join("uploads"), Arc::clone(&parts.random)),
                parts.pool.clone(),
                Arc::clone(&parts.clock),
                Arc::clone(&parts.random),
            ),
            set_aside: set_aside(parts, stores),
            recharge,
            autopay,
            partners,
            payments,
            receipts: Receipts::new(parts.pool.clone(), parts.config.timezone),
            reports,
            backups: actors::start_backups(universe, parts, stores)?,
            analytics: Analytics::new(parts.pool.clone(), Arc::clone(&parts.clock), parts.config.timezone),
        })
    }

    fn attach(&self, cfg: &mut web::ServiceConfig) {
        cfg.app_data(web::Data::new(self.gate.clone()))
            .app_data(web::Data::new(self.auth.clone()))
            .app_data(web::Data::new(self.cookies))
            .app_data(web::Data::new(self.users.clone()))
            .app_data(web::Data::new(self.admins.clone()))
            .app_data(web::Data::new(self.roles.clone()))
            .app_data(web::Data::new(self.referrals.clone()))
            .app_data(web::Data::new(self.transactions.clone()))
            .app_data(web::Data::new(self.subscriptions.clone()))
            .app_data(web::Data::new(self.catalogue.clone()))
            .app_data(web::Data::new(self.public_lists.clone()))
            .app_data(web::Data::new(self.notifications.clone()))
            .app_data(web::Data::new(self.audit_log.clone()))
            .app_data(web::Data::new(self.contacts.clone()))
            .app_data(web::Data::new(self.contents.clone()))
            .app_data(web::Data::new(self.set_aside.clone()))
            .app_data(web::Data::new(self.recharge.clone()))
            .app_data(web::Data::new(self.partners.clone()))
            .app_data(web::Data::new(self.payments.clone()))
            .app_data(web::Data::new(self.receipts.clone()))
            .app_data(web::Data::new(self.reports.clone()))
            .app_data(web::Data::new(self.analytics.clone()))
            .app_data(web::Data::new(self.backups.clone()))
            .configure(|cfg| self.autopay.attach(cfg));
    }
}

fn rules(config: &Config) -> Rules {
    Rules {
        access_ttl: config.auth.access_token_ttl,
        refresh_ttl: config.auth.refresh_token_ttl,
        otp_ttl: config.auth.otp_ttl,
        otp_per_hour: config.auth.otp_per_hour,
        dev_otp: config.auth.dev_otp,
        language: config.messages.language,
        referral_reward: Paise::new(config.recharge.referral_reward_paise),
    }
}

/// Every feature's routes; mounted at the root and at `/v1`.
fn features(cfg: &mut web::ServiceConfig) {
    // The router tries them in this order: the busiest first.
    cfg.configure(recharge::routes)
        .configure(catalogue::routes)
        .configure(transactions::routes)
        .configure(subscriptions::routes)
        .configure(payments::routes)
        .configure(receipts::routes)
        .configure(notifications::routes)
        .configure(auth::routes)
        .configure(users::routes)
        .configure(reports::routes)
        .configure(analytics::routes)
        .configure(contact::routes)
        .configure(content::routes)
        .configure(audit::routes)
        .configure(backups::routes)
        .configure(roles::routes)
        .configure(referrals::routes)
        .configure(autopay::routes)
        .configure(partners::routes)
        .configure(messages::routes)
        .configure(operations::routes)
        // Last: /admin/{admin_id} would take the other paths below /admin.
        .configure(admins::routes);
}

/// What the features say of their routes, as one OpenAPI document. Every feature above stands here too; a test asks.
#[must_use]
pub fn openapi_document() -> serde_json::Value {
    openapi::document(feature_documents())
}

fn feature_documents() -> Vec<utoipa::openapi::OpenApi> {
    vec![
        auth::Docs::openapi(),
        users::Docs::openapi(),
        admins::Docs::openapi(),
        roles::Docs::openapi(),
        referrals::Docs::openapi(),
        reports::Docs::openapi(),
        analytics::Docs::openapi(),
        transactions::Docs::openapi(),
        subscriptions::Docs::openapi(),
        catalogue::Docs::openapi(),
        notifications::Docs::openapi(),
        recharge::Docs::openapi(),
        autopay::Docs::openapi(),
        contact::Docs::openapi(),
        content::Docs::openapi(),
        audit::Docs::openapi(),
        backups::Docs::openapi(),
        partners::Docs::openapi(),
        payments::Docs::openapi(),
        receipts::Docs::openapi(),
        messages::Docs::openapi(),
        operations::Docs::openapi(),
    ]
}

/// The application.
pub struct App;

impl App {
    /// Builds the services, starts the background tasks, and listens on `config.http.bind` (port 0: any free one).
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: Parts) -> Result<RunningApp, StartError> {
        tls::use_ring();
        let (codes, codes_out) = Codes::new();
        let ways = channels::ways(&parts)?;
        let mut changes = Listener::new();
        let universe = Universe::new();
        let rabbit = broker(&parts.config)?;
        let stores = Stores::open(&parts, rabbit).await?;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        let announcer = announcer(&stores, &stopping, &mut tasks);
        let services = Services::build(&parts, &stores, &universe, codes, &mut changes, &announcer)?;
        channels::start(&universe, &parts, ways, codes_out, services.notifications.hub())?;
        hear(&stores, &services, &stopping, &mut tasks);
        let document = openapi_document();
        let outside = edge::build(&parts, &stores, &universe, &document)?;
        let documentation = Documentation::new(&document);
        let notifications = services.notifications.clone();
        let (http, layer, operations) = (services.clone(), outside.layer, outside.operations);
        let server = HttpServer::new(move || {
            let services = http.clone();
            actix_web::App::new()
                .configure(server::extractors)
                .configure(move |cfg| services.attach(cfg))
                .app_data(web::Data::new(operations.clone()))
                .app_data(web::Data::new(documentation.clone()))
                .configure(features)
                .service(web::scope("/v1").configure(features))
                .configure(documentation::routes)
                .configure(contract::routes)
                .default_service(web::to(server::no_such_route))
                .wrap(layer.clone())
        });
        let server = server
            .workers(parts.config.http.workers)
            .keep_alive(edge::KEEP_ALIVE)
            .client_request_timeout(edge::HEAD_PATIENCE)
            .client_disconnect_timeout(edge::CLOSE_PATIENCE)
            .max_connections(edge::CONNECTIONS)
            .backlog(edge::BACKLOG)
            .tcp_nodelay(true)
            .disable_signals()
            .shutdown_timeout(DRAIN_SECONDS);
        let address = parts.config.http.bind;
        let bind = |source| StartError::Bind { address, source };
        let server = server.bind(address).map_err(bind)?;
        let addr = server.addrs().first().copied().unwrap_or(address);
        tasks.push(tokio::spawn(listener::run(services.gate.clone(), stopping.clone())));
        let options = parts.pool.connect_options().as_ref().clone();
        tasks.push(tokio::spawn(changes.run(options, stopping)));
        let server = server.run();
        let handle = server.handle();
        let server = tokio::spawn(server);
        first_reading(&services.gate).await;
        Ok(RunningApp { addr, handle, server, universe, notifications, stop, tasks, access_log: outside.log })
    }
}

fn set_aside(parts: &Parts, stores: &Stores) -> SetAside {
    let broker = stores.rabbit.clone().map(|rabbit| -> Arc<dyn Replay> { Arc::new(rabbit) });
    SetAside::new(parts.pool.clone(), Arc::clone(&parts.clock), broker)
}

fn broker(config: &Config) -> Result<Option<Rabbit>, StartError> {
    let services = &config.services;
    let rabbit = services.amqp_url.as_ref().map(|url| Rabbit::new(url, &services.amqp_prefix));
    rabbit.transpose().map_err(StartError::Broker)
}

/// Tells the other processes through Redis, where there is one.
fn announcer(
    stores: &Stores,
    stopping: &watch::Receiver<bool>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Announcer {
    let Some(redis) = &stores.redis else { return Announcer::default() };
    let (announcer, run) = Announcer::new(redis.clone(), stopping.clone());
    tasks.push(tokio::spawn(run));
    announcer
}

/// Hears the other processes through Redis, where there is one.
fn hear(
    stores: &Stores,
    services: &Services,
    stopping: &watch::Receiver<bool>,
    tasks: &mut Vec<JoinHandle<()>>,
) {
    let Some(redis) = &stores.redis else { return };
    let mut hearing = Hearing::default();
    let (sender, hints) = mpsc::channel(HINTS);
    hearing.subscribe(listener::CHANNEL, move |payload| {
        // One that finds no place comes through PostgreSQL too.
        let _ = sender.try_send(payload.to_owned());
    });
    let lists = services.public_lists.clone();
    hearing.subscribe(catalogue::CHANNEL, move |_| lists.forget());
    tasks.push(tokio::spawn(listener::follow(services.gate.clone(), hints)));
    tasks.push(tokio::spawn(hearing.run(redis.clone(), stopping.clone())));
}

async fn first_reading(gate: &Gate) {
    let loaded = async {
        while !gate.is_live() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(FIRST_READING, loaded).await.is_err() {
        tracing::warn!("access.first_reading_late");
    }
}

/// A started application.
pub struct RunningApp {
    /// Where it listens.
    pub addr: SocketAddr,
    handle: ServerHandle,
    server: JoinHandle<std::io::Result<()>>,
    universe: Universe,
    notifications: Notifications,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    access_log: Option<AccessLog>,
}

impl RunningApp {
    /// Ends when the server ends by itself or an actor was given up, neither of which it should; says which.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            server = &mut self.server => match server {
                Ok(Err(error)) => format!("the HTTP server ended: {error}"),
                Ok(Ok(())) | Err(_) => "the HTTP server ended by itself".to_owned(),
            },
            fatal = self.universe.given_up() => fatal.to_string(),
        }
    }

    /// Opens log files anew, for programs that rotate them.
    pub fn reopen_logs(&self) {
        if let Some(log) = &self.access_log {
            log.reopen();
        }
    }

    /// Takes no new requests, lets those in flight end, drains the actors, then ends the background tasks.
    /// True when everything ended in time.
    pub async fn stop(self) -> bool {
        // Streams never end by themselves, and the server waits for every answer in flight.
        self.notifications.end_streams();
        self.handle.stop(true).await;
        let _ = self.stop.send(true);
        let drained = self.universe.shutdown(ACTOR_PATIENCE).await;
        let mut clean = drained.is_ok();
        if let Err(error) = drained {
            tracing::warn!(error = %error, "app.actors_not_drained");
        }
        for task in self.tasks {
            clean &= matches!(tokio::time::timeout(TASK_PATIENCE, task).await, Ok(Ok(())));
        }
        if let Some(log) = self.access_log {
            clean &= tokio::task::spawn_blocking(move || log.close()).await.is_ok();
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    #[test]
    fn no_two_features_document_different_things_by_one_name() {
        let mut known = HashMap::new();
        for document in super::feature_documents() {
            let document = serde_json::to_value(document).unwrap();
            for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
                let before = known.insert(name.clone(), schema.clone());
                assert!(before.is_none_or(|before| before == *schema), "{name}");
            }
            for (path, item) in document["paths"].as_object().into_iter().flatten() {
                for (method, operation) in item.as_object().into_iter().flatten() {
                    let id = format!("operation {}", operation["operationId"]);
                    assert_eq!(known.insert(id.clone(), operation.clone()), None, "{id}: {method} {path}");
                }
            }
        }
    }
}
