//! A private PostgreSQL cluster under the data folder, reached by a unix socket that only its user (and root) can open.
//!
//! One process owns it: it holds the lock `postgres.owner`, starts the cluster, watches it and starts it again when it
//! was killed. Others that use the same data folder attach: each holds `postgres.users` shared. The last one to leave
//! stops the cluster. Locks end with their process, so after a `kill -9` of the owner another user, or the next start,
//! takes over what still runs.

mod binaries;
mod error;
mod place;
mod postmaster;
mod server_settings;

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, PostgresConfig};
use crate::platform::data_folder;
use binaries::Binaries;
pub use error::EmbeddedError;
use error::at;
use place::Place;
use postmaster::{Postmaster, Stage};

/// The cluster's superuser and the database of the same name.
const NAME: &str = "gencharge";
/// Between two looks at the cluster.
const WATCH: Duration = Duration::from_millis(500);
/// The longest pause between attempts to start a cluster that does not start.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A start after a crash replays at most `max_wal_size` of log.
const START: Duration = Duration::from_secs(600);
/// For the owner's first start, seen by one that attaches, and for an end that is under way.
const ATTACH: Duration = Duration::from_secs(120);
/// For `initdb`.
const CREATE: Duration = Duration::from_secs(120);
/// Between two looks at locks and files.
const LOOK: Duration = Duration::from_millis(20);

/// This process' hold on the private cluster. Dropping it without [`Embedded::close`] leaves the cluster running for
/// the next start to take over, as a crash does.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    place: Place,
    stop: watch::Sender<bool>,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    data: PathBuf,
    settings: PostgresConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    users: File,
    /// Held while this process owns the cluster.
    owner: Option<File>,
    /// The postmaster, when this process started it.
    child: Option<Child>,
}

/// What [`Embedded::ensure_running`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Another process owns the cluster and sees to it.
    Attached,
    /// It ran already.
    Running,
    /// It did not run and was started.
    Started,
}

impl Embedded {
    /// Attaches to the running cluster of the data folder, or starts it; creates it at the first time.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, a folder cannot be used, or the cluster does not start.
    pub async fn open(config: &Config) -> Result<Embedded, EmbeddedError> {
        let data = data_folder::create(&config.data_dir).map_err(at(&config.data_dir))?;
        let users = lock_file(&data.join("postgres.users"))?;
        share(&users, &data).await?;
        let state = Mutex::new(State { users, owner: None, child: None });
        let shared = Arc::new(Shared { data, settings: config.postgres.clone(), state });
        let place = match shared.reach().await {
            Ok(place) => place,
            Err(error) => {
                if let Some(place) = Place::recorded(&shared.data) {
                    shared.leave(&place).await;
                }
                return Err(error);
            }
        };
        let (stop, stopped) = watch::channel(false);
        let watcher = tokio::spawn(keep_watching(Arc::clone(&shared), stopped));
        Ok(Embedded { shared, place, stop, watcher })
    }

    /// How to connect.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(&self.place, NAME)
    }

    /// Sees to it that the cluster runs, if this process owns it or can become its owner. The background watcher calls
    /// this twice a second.
    ///
    /// # Errors
    /// When the cluster does not start.
    pub async fn ensure_running(&self) -> Result<Found, EmbeddedError> {
        self.shared.ensure_running().await
    }

    /// Whether this process owns the cluster: it started it, or took it over.
    pub async fn is_owner(&self) -> bool {
        self.shared.state.lock().await.owner.is_some()
    }

    /// Lets go of the cluster, and stops it when nobody else uses it. Bounded.
    pub async fn close(self) {
        // The watcher may have ended already.
        let _ = self.stop.send(true);
        let mut watcher = self.watcher;
        if timeout(Duration::from_secs(90), &mut watcher).await.is_err() {
            watcher.abort();
        }
        self.shared.leave(&self.place).await;
    }
}

impl Shared {
    /// Waits for a cluster that answers and has our database. One that dies in between is looked at again.
    async fn reach(&self) -> Result<Place, EmbeddedError> {
        let begun = Instant::now();
        loop {
            let place = self.wait_until_usable().await?;
            match create_database(&place).await {
                Ok(()) => return Ok(place),
                Err(error) if is_passing(&error) && begun.elapsed() < ATTACH => {
                    tracing::debug!(%error, "the embedded database does not answer yet");
                    sleep(LOOK).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Becomes the owner and starts the cluster, or waits for the owner to have it ready.
    async fn wait_until_usable(&self) -> Result<Place, EmbeddedError> {
        let deadline = Instant::now() + ATTACH;
        loop {
            let found = self.ensure_running().await?;
            if let Some(place) = Place::recorded(&self.data)
                && Postmaster::find(&place.cluster()).is_some_and(|running| {
                    running.stage() == Stage::Ready && running.listens_in(&place.socket)
                })
            {
                match found {
                    Found::Attached => {
                        tracing::info!(data_folder = %self.data.display(), "using the database of the process that runs already")
                    }
                    Found::Running => tracing::info!("took over the database that was still running"),
                    Found::Started => {}
                }
                return Ok(place);
            }
            if Instant::now() > deadline {
                return Err(EmbeddedError::TooLate {
                    what: "did not become ready (another process is starting it)",
                    seconds: ATTACH.as_secs(),
                    log: self.data.join("postgres"),
                });
            }
            sleep(LOOK).await;
        }
    }

    async fn ensure_running(&self) -> Result<Found, EmbeddedError> {
        let mut state = self.state.lock().await;
        if state.owner.is_none() {
            let file = lock_file(&self.data.join("postgres.owner"))?;
            if file.try_lock().is_err() {
                return Ok(Found::Attached);
            }
            state.owner = Some(file);
        }
        if let Some(status) = postmaster::reap(&mut state.child) {
            tracing::error!(%status, "the embedded database ended by itself");
        }
        if let Some(place) = Place::recorded(&self.data)
            && Postmaster::find(&place.cluster())
                .is_some_and(|running| running.stage() == Stage::Ready && running.listens_in(&place.socket))
        {
            return Ok(Found::Running);
        }
        self.start(&mut state.child).await?;
        Ok(Found::Started)
    }

    /// Brings the cluster from whatever state it is in to one that accepts connections.
    async fn start(&self, child: &mut Option<Child>) -> Result<(), EmbeddedError> {
        let data = self.data.clone();
        let place = blocking(move || Place::prepare(&data)).await??;
        let cluster = place.cluster();
        let begun = Instant::now();
        let mut spoken = begun;
        while begun.elapsed() < START {
            match Postmaster::find(&cluster) {
                None if child.is_some() => {
                    if postmaster::reap(child).is_some() {
                        return Err(startup_failed(&place));
                    }
                }
                None => {
                    let binaries = self.find_binaries(&cluster).await?;
                    create_cluster(&place, &binaries).await?;
                    postmaster::clear_orphans(&place).await;
                    self.write_settings(&place, &binaries).await?;
                    *child = Some(postmaster::spawn(&place, &binaries)?);
                }
                Some(running) => match running.stage() {
                    Stage::Ready if running.listens_in(&place.socket) => {
                        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                        tracing::info!(folder = %place.home.display(), milliseconds, "embedded database ready");
                        return Ok(());
                    }
                    // It listens where nobody looks: the data folder was moved, or its socket was swept away.
                    Stage::Ready => {
                        running.stop(&cluster, child).await;
                    }
                    Stage::Starting | Stage::Stopping => {}
                },
            }
            if spoken.elapsed() > Duration::from_secs(5) {
                spoken = Instant::now();
                tracing::info!(
                    seconds = begun.elapsed().as_secs(),
                    "the embedded database is still starting"
                );
            }
            sleep(LOOK).await;
        }
        Err(EmbeddedError::TooLate {
            what: "did not start",
            seconds: START.as_secs(),
            log: place.log_folder(),
        })
    }

    async fn find_binaries(&self, cluster: &Path) -> Result<Binaries, EmbeddedError> {
        let (wanted, cluster) = (self.settings.bin_dir.clone(), cluster.to_owned());
        blocking(move || binaries::find(wanted.as_deref(), &cluster)).await?
    }

    async fn write_settings(&self, place: &Place, binaries: &Binaries) -> Result<(), EmbeddedError> {
        let (place, binaries, settings) = (place.clone(), binaries.clone(), self.settings.clone());
        blocking(move || {
            let machine = server_settings::Machine::measure(&place.home);
            let text = server_settings::text(
                machine,
                &place.socket,
                &place.log_folder(),
                settings.connections,
                settings.shared_buffers_mb,
                wal_compression(&place, &binaries),
            );
            let path = place.settings_file();
            let draft = path.with_extension("conf.new");
            fs::write(&draft, text).map_err(at(&draft))?;
            fs::set_permissions(&draft, fs::Permissions::from_mode(0o644)).map_err(at(&draft))?;
            fs::rename(&draft, &path).map_err(at(&path))
        })
        .await?
    }

    /// Gives up this process' share; the last one out stops the cluster.
    async fn leave(&self, place: &Place) {
        let mut state = self.state.lock().await;
        // Not upgraded in place: that would not be atomic either, and a plain unlock says what is meant.
        let alone = state.users.unlock().is_ok() && state.users.try_lock().is_ok();
        if !alone {
            if state.owner.take().is_some() {
                tracing::info!("another process uses the embedded database: it stays running");
            }
            return;
        }
        // An owner that is leaving too may hold the lock for a moment more.
        let deadline = Instant::now() + Duration::from_secs(15);
        while state.owner.is_none() {
            match lock_file(&self.data.join("postgres.owner")) {
                Ok(file) if file.try_lock().is_ok() => state.owner = Some(file),
                _ if Instant::now() > deadline => return,
                _ => sleep(LOOK).await,
            }
        }
        if let Some(running) = Postmaster::find(&place.cluster()) {
            if running.stop(&place.cluster(), &mut state.child).await {
                tracing::info!("embedded database stopped");
            } else {
                tracing::error!(log_folder = %place.log_folder().display(), "the embedded database did not stop; the next start takes it over");
            }
        }
    }
}

/// Watches until told to stop; a watcher that panics is replaced.
async fn keep_watching(shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let round = tokio::spawn(watch_cluster(Arc::clone(&shared), stopped.clone()));
        if let Err(error) = round.await {
            tracing::error!(%error, "the watcher of the embedded database failed; a new one begins");
        }
    }
}

async fn watch_cluster(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut pause = WATCH;
    loop {
        // An error means that the handle is gone: nobody is left to watch for.
        match timeout(pause, stopped.wait_for(|stop| *stop)).await {
            Ok(_) => return,
            Err(_elapsed) => {}
        }
        match shared.ensure_running().await {
            Ok(Found::Started) => {
                tracing::warn!("the embedded database had ended and was started again");
                pause = WATCH;
            }
            Ok(Found::Attached | Found::Running) => pause = WATCH,
            Err(error) => {
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                tracing::error!(%error, retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "the embedded database cannot be started");
            }
        }
    }
}

fn lock_file(path: &Path) -> Result<File, EmbeddedError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(at(path))
}

/// Takes a share in the cluster; waits while the last user is stopping it.
async fn share(users: &File, data: &Path) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + ATTACH;
    while users.try_lock_shared().is_err() {
        if Instant::now() > deadline {
            return Err(EmbeddedError::TooLate {
                what: "was still being stopped by another process and could not be used",
                seconds: ATTACH.as_secs(),
                log: data.join("postgres"),
            });
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// `initdb`, beside the final name: a cluster exists as a whole or not at all.
async fn create_cluster(place: &Place, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let cluster = place.cluster();
    if cluster.join("PG_VERSION").exists() {
        return Ok(());
    }
    tracing::info!(folder = %cluster.display(), version = binaries.major, "creating the embedded database (once)");
    let draft = place.home.join("cluster.new");
    let mut outcome = initdb(place, binaries, &draft, "C.UTF-8").await?;
    if outcome.as_ref().is_err_and(|output| output.contains("locale")) {
        outcome = initdb(place, binaries, &draft, "C").await?;
    }
    outcome.map_err(|output| EmbeddedError::Program { program: "initdb".to_owned(), output })?;
    fs::rename(&draft, &cluster).map_err(at(&cluster))
}

/// The inner result: what `initdb` said when it failed.
async fn initdb(
    place: &Place,
    binaries: &Binaries,
    draft: &Path,
    locale: &str,
) -> Result<Result<(), String>, EmbeddedError> {
    if draft.exists() {
        fs::remove_dir_all(draft).map_err(at(draft))?;
    }
    let program = binaries.program("initdb");
    let mut command = tokio::process::Command::from(place.command(&program));
    // `trust` is for the socket alone, which nobody but the cluster's user and root can reach; there is no TCP.
    command
        .args(["--username", NAME, "--auth-local", "trust", "--auth-host", "reject", "--encoding", "UTF8"])
        .args(["--locale", locale, "--pgdata"])
        .arg(draft)
        .kill_on_drop(true);
    let late = |_| EmbeddedError::TooLate {
        what: "was not created by initdb",
        seconds: CREATE.as_secs(),
        log: place.home.clone(),
    };
    let output = timeout(CREATE, command.output()).await.map_err(late)?.map_err(at(&program))?;
    Ok(if output.status.success() { Ok(()) } else { Err(tail(&String::from_utf8_lossy(&output.stderr))) })
}

/// `lz4` where the server was built with it.
fn wal_compression(place: &Place, binaries: &Binaries) -> &'static str {
    let mut probe = place.command(&binaries.program("postgres"));
    probe.arg("-D").arg(place.cluster()).args(["-c", "wal_compression=lz4", "-C", "wal_compression"]);
    if probe.output().is_ok_and(|output| output.status.success()) { "lz4" } else { "on" }
}

fn startup_failed(place: &Place) -> EmbeddedError {
    // What it said before its own log began, and in it.
    let newest = fs::read_dir(place.log_folder())
        .into_iter()
        .flatten()
        .flatten()
        .max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok())
        .map(|entry| entry.path());
    let read = |path: PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut said = read(place.startup_log()).unwrap_or_default();
    said.push_str(&newest.and_then(|path| read(path).ok()).unwrap_or_default());
    let output = format!("{} (logs in {})", tail(&said), place.log_folder().display());
    EmbeddedError::Program { program: "postgres".to_owned(), output }
}

/// The last lines, for an error's text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

fn connect_options(place: &Place, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(&place.socket)
        .port(5432)
        .username(NAME)
        .password("")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// Whether the server is starting, ending or just gone, so that another look is worth it.
fn is_passing(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_)) || matches!(code(error).as_deref(), Some("57P01" | "57P02" | "57P03"))
}

/// `initdb` makes no database of our name.
async fn create_database(place: &Place) -> Result<(), sqlx::Error> {
    match connect_options(place, NAME).connect().await {
        Ok(connection) => return connection.close().await,
        Err(error) if code(&error).as_deref() == Some("3D000") => {}
        Err(error) => return Err(error),
    }
    let mut connection = connect_options(place, "postgres").connect().await?;
    let created = sqlx::query("CREATE DATABASE gencharge").execute(&mut connection).await;
    connection.close().await?;
    match created {
        // Another process was faster.
        Err(error) if matches!(code(&error).as_deref(), Some("42P04" | "23505")) => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EmbeddedError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| at(Path::new("a blocking task"))(std::io::Error::other(error)))
}
