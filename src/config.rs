//! Settings: one typed struct, read once at start from the environment and an optional `.env` file.
//!
//! Every name, its default and what it means stand in [`SETTINGS`]; `.env.example` is held against it by a test.
//! All problems are reported at once, each with the setting's name and what was expected.

mod names;
mod parse;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gencharge_actors::notification::Language;

pub use names::{SETTINGS, Setting};
pub use parse::{Network, duration as parse_duration, rupees as parse_rupees};
pub use secret::{Secret, SecretKeyError, secret_key};

/// Where the process runs; production refuses what is only fit for trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: secrets are made, messages are written to files.
    Development,
    /// Real customers: everything that matters has to be given.
    Production,
}

/// Who takes the money of UPI, card and net banking payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentGateway {
    /// Built in; moves no real money.
    Sandbox,
}

/// All settings of one process.
#[derive(Clone, Debug)]
pub struct Config {
    /// `GENCHARGE_ENV`
    pub environment: Environment,
    /// `GENCHARGE_DATA_DIR`: as given, may be relative to the working directory.
    pub data_dir: PathBuf,
    /// `GENCHARGE_TIMEZONE`: days, months and analytics windows are counted in it.
    pub timezone: chrono_tz::Tz,
    /// `GENCHARGE_HOME_REGION`: two letters; ten-digit phone numbers are read as numbers of this region.
    pub home_region: String,
    /// The HTTP server.
    pub http: HttpConfig,
    /// Sign-in and tokens.
    pub auth: AuthConfig,
    /// Notices, text messages and e-mail.
    pub messages: MessagesConfig,
    /// Limits on money and recharges.
    pub recharge: RechargeConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// SQL.
    pub postgres: PostgresConfig,
    /// The other stores and the broker.
    pub services: ServicesConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `GENCHARGE_BIND`
    pub bind: SocketAddr,
    /// `GENCHARGE_HTTP_WORKERS`: threads; the number of cores by default.
    pub workers: usize,
    /// `GENCHARGE_IP_REQUESTS_PER_MINUTE`: per client address; 0 = no limit.
    pub ip_requests_per_minute: u32,
    /// `GENCHARGE_TRUSTED_PROXIES`: only from these is a forwarded client address believed.
    pub trusted_proxies: Vec<Network>,
    /// `GENCHARGE_CORS_ORIGINS`: exact origins, none by default.
    pub cors_origins: Vec<String>,
}

/// Sign-in and tokens.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// `GENCHARGE_SECRET_KEY` as given; [`secret_key`] gives the one to use, and makes one in development.
    pub secret_key: Option<Secret>,
    /// `GENCHARGE_DEV_OTP`: answers carry the one-time code.
    pub dev_otp: bool,
    /// `GENCHARGE_ACCESS_TOKEN_TTL`
    pub access_token_ttl: Duration,
    /// `GENCHARGE_REFRESH_TOKEN_TTL`
    pub refresh_token_ttl: Duration,
    /// `GENCHARGE_OTP_TTL`
    pub otp_ttl: Duration,
    /// `GENCHARGE_OTP_PER_HOUR`: codes sent to one phone number in an hour.
    pub otp_per_hour: u32,
    /// `GENCHARGE_SUPERADMIN_PHONE`: digits with an optional leading `+`; `serve` creates this admin when there is none.
    pub superadmin_phone: Option<String>,
}

/// Notices, and their ways to the outside.
#[derive(Clone, Debug)]
pub struct MessagesConfig {
    /// `GENCHARGE_SMS_URL`: the provider's endpoint; without it development writes to `sms.log`.
    pub sms_url: Option<Secret>,
    /// `GENCHARGE_SMS_KEY`: the `Authorization` header that the provider wants.
    pub sms_key: Option<Secret>,
    /// `GENCHARGE_SMS_BODY`: the JSON that the provider takes, with `{to}`, `{text}` and `{id}`.
    pub sms_body: String,
    /// `GENCHARGE_SMTP_URL`: the e-mail server; without it development writes to `email.log`.
    pub smtp_url: Option<Secret>,
    /// `GENCHARGE_EMAIL_FROM`
    pub email_from: String,
    /// `GENCHARGE_MESSAGES_PER_SECOND`: of each channel.
    pub per_second: u32,
    /// `GENCHARGE_LOW_BALANCE` (rupees), here in paise.
    pub low_balance_paise: i64,
    /// `GENCHARGE_LANGUAGE`
    pub language: Language,
}

/// Limits on money and recharges; amounts in paise.
#[derive(Clone, Debug)]
pub struct RechargeConfig {
    /// `GENCHARGE_MAX_QUEUED_PLANS`: per line.
    pub max_queued_plans: u32,
    /// `GENCHARGE_MAX_TOPUP` (rupees), here in paise: the largest single top-up.
    pub max_topup_paise: i64,
    /// `GENCHARGE_REFERRAL_REWARD` (rupees), here in paise: what a referral earns.
    pub referral_reward_paise: i64,
    /// `GENCHARGE_REFERRAL_MAX_REWARDS`: the most that one customer earns; `None` = no limit.
    pub referral_max_rewards: Option<u32>,
    /// `GENCHARGE_MAX_WALLET_BALANCE` (rupees), here in paise; `None` = no limit.
    pub max_wallet_balance_paise: Option<i64>,
    /// `GENCHARGE_WALLET_SHARDS`: wallet actors, each with its own SQL connection.
    pub wallet_shards: usize,
    /// `GENCHARGE_WALLET_MAILBOX`: orders that may wait for one of them.
    pub wallet_mailbox: usize,
    /// `GENCHARGE_PAYMENT_GATEWAY`
    pub payment_gateway: PaymentGateway,
    /// `GENCHARGE_PAYMENT_TTL`: a payment that nobody made by then expires.
    pub payment_ttl: Duration,
    /// `GENCHARGE_PAYMENT_CALLBACK_SECRET`: signs the gateway's callbacks; without it none is taken.
    pub payment_callback_secret: Option<Secret>,
}

/// Backups.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// `GENCHARGE_BACKUP_DIR`: where the files are.
    pub dir: PathBuf,
    /// `GENCHARGE_BACKUP_RETENTION`: how long scheduled backups are kept.
    pub retention: Duration,
    /// `GENCHARGE_BACKUP_DAILY`: the time of the day in the configured zone; `None` = only when asked for.
    pub daily: Option<chrono::NaiveTime>,
}

/// SQL.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// `DATABASE_URL`; without it the process starts a private cluster under the data folder.
    pub database_url: Option<Secret>,
    /// `GENCHARGE_DB_CONNECTIONS`: size of the pool.
    pub connections: u32,
    /// `GENCHARGE_PG_BIN`: folder of `initdb` and `postgres` for the embedded cluster.
    pub bin_dir: Option<PathBuf>,
    /// `GENCHARGE_PG_SHARED_BUFFERS_MB`: of the embedded cluster; from the machine's size by default.
    pub shared_buffers_mb: Option<u32>,
    /// `GENCHARGE_OUTBOX_RETENTION`: how long delivered outbox rows are kept.
    pub outbox_retention: Duration,
}

/// The other stores and the broker; all optional.
#[derive(Clone, Debug)]
pub struct ServicesConfig {
    /// `MONGODB_URL`
    pub mongodb_url: Option<Secret>,
    /// `REDIS_URL`
    pub redis_url: Option<Secret>,
    /// `GENCHARGE_REDIS_PREFIX`: every key and channel begins with it.
    pub redis_prefix: String,
    /// `AMQP_URL`
    pub amqp_url: Option<Secret>,
    /// `GENCHARGE_AMQP_PREFIX`: every exchange and queue is named with it.
    pub amqp_prefix: String,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `GENCHARGE_LOG`: a `tracing` filter, already checked.
    pub filter: String,
    /// `GENCHARGE_ACCESS_LOG`: the JSON log of requests; `None` = off.
    pub access_log: Option<PathBuf>,
}

/// Everything that is wrong with the settings, at once.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One line each, naming the setting and what is expected.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:")?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        write!(f, "\n.env.example lists every setting with its default")
    }
}

/// A value was refused; the reason is already among the reader's problems.
struct Refused;

impl Config {
    /// Reads the environment, and `.env` in the working directory for names that the environment does not have.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn load() -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let mut pairs = read_dotenv(&mut problems);
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            match value.to_str() {
                Some(value) => {
                    pairs.insert(name.to_owned(), value.to_owned());
                }
                None if names::is_ours(name) => problems.push(format!("{name}: expected text in UTF-8")),
                None => {}
            }
        }
        Config::read(pairs, problems)
    }

    /// Reads settings from pairs alone, without touching the environment or any file.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn from_map<I, K, V>(pairs: I) -> Result<Config, ConfigError>
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        Config::read(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), Vec::new())
    }

    fn read(values: BTreeMap<String, String>, problems: Vec<String>) -> Result<Config, ConfigError> {
        let mut reader = Reader { values, problems };
        for name in reader.values.keys() {
            if let Some(problem) = names::unknown(name) {
                reader.problems.push(problem);
            }
        }
        match read_all(&mut reader) {
            Ok(config) if reader.problems.is_empty() => Ok(config),
            Ok(_) | Err(Refused) => Err(ConfigError { problems: reader.problems }),
        }
    }

    /// True in production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }
}

/// `.env` in the working directory; its values never override the environment's.
fn read_dotenv(problems: &mut Vec<String>) -> BTreeMap<String, String> {
    let lines = match dotenvy::from_path_iter(".env") {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return BTreeMap::new(),
        Err(error) => {
            problems.push(format!(".env: cannot be read: {error}"));
            return BTreeMap::new();
        }
    };
    let mut pairs = BTreeMap::new();
    for line in lines {
        match line {
            Ok((name, value)) => {
                pairs.insert(name, value);
            }
            // The line itself may hold a secret, so it is not shown.
            Err(_) => {
                problems.push(".env: a line is not NAME=value; quote values with spaces or #".to_owned())
            }
        }
    }
    pairs
}

struct Reader {
    values: BTreeMap<String, String>,
    problems: Vec<String>,
}

type Parser<T> = fn(&str) -> Result<T, String>;

impl Reader {
    /// The text given for `name`; blank counts as not given.
    fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn refuse(&mut self, name: &str, problem: &str) -> Refused {
        self.problems.push(format!("{name}: {problem}"));
        Refused
    }

    /// The value given or the default.
    fn take<T>(&mut self, name: &str, parse: Parser<T>) -> Result<T, Refused> {
        let default = names::default(name).unwrap_or_default();
        parse(self.given(name).unwrap_or(default)).map_err(|expected| self.refuse(name, &expected))
    }

    /// The value given, if one is.
    fn optional<T>(&mut self, name: &str, parse: Parser<T>) -> Result<Option<T>, Refused> {
        match self.given(name).map(parse) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(expected)) => Err(self.refuse(name, &expected)),
        }
    }
}

fn read_all(r: &mut Reader) -> Result<Config, Refused> {
    let environment = r.take("GENCHARGE_ENV", parse::environment);
    // What is wrong in another setting must not hide what is wrong for production.
    let production = matches!(environment, Ok(Environment::Production));
    let data_dir = r.take("GENCHARGE_DATA_DIR", parse::path);
    let timezone = r.take("GENCHARGE_TIMEZONE", parse::timezone);
    let home_region = r.take("GENCHARGE_HOME_REGION", parse::region);
    let http = read_http(r, production);
    let auth = read_auth(r, production);
    let messages = read_messages(r, production);
    let recharge = read_recharge(r, production);
    let postgres = read_postgres(r);
    let services = read_services(r);
    let backup_dir = r.optional("GENCHARGE_BACKUP_DIR", parse::path);
    let backup_retention = r.take("GENCHARGE_BACKUP_RETENTION", parse::duration);
    let daily = r.take("GENCHARGE_BACKUP_DAILY", parse::time_of_day);
    let filter = r.take("GENCHARGE_LOG", parse::log_filter);
    let access_log = r.optional("GENCHARGE_ACCESS_LOG", parse::path);
    let data_dir = data_dir?;
    let access_log = match access_log? {
        None => Some(data_dir.join("access.log")),
        Some(path) if path.as_os_str() == "off" => None,
        Some(path) => Some(path),
    };
    let backup = BackupConfig {
        dir: backup_dir?.unwrap_or_else(|| data_dir.join("backups")),
        retention: backup_retention?,
        daily: daily?,
    };
    Ok(Config {
        environment: environment?,
        data_dir,
        timezone: timezone?,
        home_region: home_region?,
        http: http?,
        auth: auth?,
        messages: messages?,
        recharge: recharge?,
        backup,
        postgres: postgres?,
        services: services?,
        telemetry: TelemetryConfig { filter: filter?, access_log },
    })
}

fn read_http(r: &mut Reader, production: bool) -> Result<HttpConfig, Refused> {
    let bind = r.take("GENCHARGE_BIND", parse::address);
    let workers = r.optional("GENCHARGE_HTTP_WORKERS", parse::number::<1, 1024>);
    let limit = r.optional("GENCHARGE_IP_REQUESTS_PER_MINUTE", parse::number::<0, 1_000_000>);
    let trusted_proxies = r.optional("GENCHARGE_TRUSTED_PROXIES", parse::networks);
    let cors_origins = r.optional("GENCHARGE_CORS_ORIGINS", parse::origins);
    Ok(HttpConfig {
        bind: bind?,
        workers: match workers? {
            Some(workers) => parse::size(workers),
            None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        },
        ip_requests_per_minute: limit?.unwrap_or(if production { names::PRODUCTION_IP_LIMIT } else { 0 }),
        trusted_proxies: trusted_proxies?.unwrap_or_default(),
        cors_origins: cors_origins?.unwrap_or_default(),
    })
}

fn read_auth(r: &mut Reader, production: bool) -> Result<AuthConfig, Refused> {
    let secret_key = r.optional("GENCHARGE_SECRET_KEY", parse::secret_key);
    let dev_otp = r.take("GENCHARGE_DEV_OTP", parse::switch);
    let access_token_ttl = r.take("GENCHARGE_ACCESS_TOKEN_TTL", parse::duration);
    let refresh_token_ttl = r.take("GENCHARGE_REFRESH_TOKEN_TTL", parse::duration);
    let otp_ttl = r.take("GENCHARGE_OTP_TTL", parse::duration);
    let otp_per_hour = r.take("GENCHARGE_OTP_PER_HOUR", parse::number::<1, 1000>);
    let superadmin_phone = r.optional("GENCHARGE_SUPERADMIN_PHONE", parse::phone);
    if production {
        if matches!(secret_key, Ok(None)) {
            r.refuse(
                "GENCHARGE_SECRET_KEY",
                "required in production: at least 32 bytes, for example from `openssl rand -hex 32`",
            );
        }
        if matches!(dev_otp, Ok(true)) {
            r.refuse(
                "GENCHARGE_DEV_OTP",
                "refused in production: it would show one-time codes to anybody; remove it or set 0",
            );
        }
    }
    let (access_token_ttl, refresh_token_ttl) = (access_token_ttl?, refresh_token_ttl?);
    if access_token_ttl > refresh_token_ttl {
        r.refuse("GENCHARGE_ACCESS_TOKEN_TTL", "expected at most GENCHARGE_REFRESH_TOKEN_TTL");
    }
    Ok(AuthConfig {
        secret_key: secret_key?,
        dev_otp: dev_otp?,
        access_token_ttl,
        refresh_token_ttl,
        otp_ttl: otp_ttl?,
        otp_per_hour: otp_per_hour?,
        superadmin_phone: superadmin_phone?,
    })
}

fn read_messages(r: &mut Reader, production: bool) -> Result<MessagesConfig, Refused> {
    let sms_url = r.optional("GENCHARGE_SMS_URL", parse::http_url);
    let sms_key = r.optional("GENCHARGE_SMS_KEY", parse::header);
    let sms_body = r.take("GENCHARGE_SMS_BODY", parse::sms_body);
    let smtp_url = r.optional("GENCHARGE_SMTP_URL", parse::smtp_url);
    let email_from = r.take("GENCHARGE_EMAIL_FROM", parse::mailbox);
    let per_second = r.take("GENCHARGE_MESSAGES_PER_SECOND", parse::number::<1, 10_000>);
    let low_balance = r.take("GENCHARGE_LOW_BALANCE", parse::rupees);
    let language = r.take("GENCHARGE_LANGUAGE", parse::language);
    if production && matches!(sms_url, Ok(None)) {
        r.refuse(
            "GENCHARGE_SMS_URL",
            "required in production: the SMS provider's http(s) address; without it nobody can sign in",
        );
    }
    Ok(MessagesConfig {
        sms_url: sms_url?,
        sms_key: sms_key?,
        sms_body: sms_body?,
        smtp_url: smtp_url?,
        email_from: email_from?,
        per_second: per_second?,
        low_balance_paise: low_balance?,
        language: language?,
    })
}

fn read_recharge(r: &mut Reader, production: bool) -> Result<RechargeConfig, Refused> {
    let max_queued_plans = r.take("GENCHARGE_MAX_QUEUED_PLANS", parse::number::<0, 1000>);
    let payment_ttl = r.take("GENCHARGE_PAYMENT_TTL", parse::duration);
    let callback_secret = r.optional("GENCHARGE_PAYMENT_CALLBACK_SECRET", parse::secret_key);
    let max_topup = r.take("GENCHARGE_MAX_TOPUP", parse::rupees_above_zero);
    let referral_reward = r.take("GENCHARGE_REFERRAL_REWARD", parse::rupees_above_zero);
    let referral_max = r.take("GENCHARGE_REFERRAL_MAX_REWARDS", parse::number::<0, 1_000_000>);
    let max_balance = r.take("GENCHARGE_MAX_WALLET_BALANCE", parse::rupees);
    let wallet_shards = r.take("GENCHARGE_WALLET_SHARDS", parse::number::<1, 64>);
    let wallet_mailbox = r.take("GENCHARGE_WALLET_MAILBOX", parse::number::<1, 1_000_000>);
    let gateway = r.optional("GENCHARGE_PAYMENT_GATEWAY", parse::gateway);
    if production && matches!(gateway, Ok(None)) {
        r.refuse(
            "GENCHARGE_PAYMENT_GATEWAY",
            "required in production; the only one in this version is `sandbox`, which moves no real money: say so in words",
        );
    }
    Ok(RechargeConfig {
        max_queued_plans: max_queued_plans?,
        max_topup_paise: max_topup?,
        referral_reward_paise: referral_reward?,
        referral_max_rewards: Some(referral_max?).filter(|most| *most > 0),
        max_wallet_balance_paise: Some(max_balance?).filter(|paise| *paise > 0),
        wallet_shards: parse::size(wallet_shards?),
        wallet_mailbox: parse::size(wallet_mailbox?),
        payment_gateway: gateway?.unwrap_or(PaymentGateway::Sandbox),
        payment_ttl: payment_ttl?,
        payment_callback_secret: callback_secret?,
    })
}

fn read_postgres(r: &mut Reader) -> Result<PostgresConfig, Refused> {
    let database_url = r.optional("DATABASE_URL", parse::postgres_url);
    let connections = r.take("GENCHARGE_DB_CONNECTIONS", parse::number::<2, 1000>);
    let bin_dir = r.optional("GENCHARGE_PG_BIN", parse::path);
    let shared_buffers_mb = r.optional("GENCHARGE_PG_SHARED_BUFFERS_MB", parse::number::<16, 1_000_000>);
    let outbox_retention = r.take("GENCHARGE_OUTBOX_RETENTION", parse::duration);
    Ok(PostgresConfig {
        database_url: database_url?,
        connections: connections?,
        bin_dir: bin_dir?,
        shared_buffers_mb: shared_buffers_mb?,
        outbox_retention: outbox_retention?,
    })
}

fn read_services(r: &mut Reader) -> Result<ServicesConfig, Refused> {
    let mongodb_url = r.optional("MONGODB_URL", parse::mongodb_url);
    let redis_url = r.optional("REDIS_URL", parse::redis_url);
    let redis_prefix = r.take("GENCHARGE_REDIS_PREFIX", parse::word);
    let amqp_url = r.optional("AMQP_URL", parse::amqp_url);
    let amqp_prefix = r.take("GENCHARGE_AMQP_PREFIX", parse::amqp_prefix);
    Ok(ServicesConfig {
        mongodb_url: mongodb_url?,
        redis_url: redis_url?,
        redis_prefix: redis_prefix?,
        amqp_url: amqp_url?,
        amqp_prefix: amqp_prefix?,
    })
}
