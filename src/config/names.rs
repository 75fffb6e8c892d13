//! The table of settings, and what to say about a name that is not in it.

/// One setting as a user sees it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name in the environment.
    pub name: &'static str,
    /// The default as text; empty when there is none or when it depends on something else (`about` tells).
    pub default: &'static str,
    /// What it does, for `.env.example`.
    pub about: &'static str,
}

/// Requests per minute and client address in production, when nothing is set.
pub(super) const PRODUCTION_IP_LIMIT: u32 = 600;

const fn setting(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting { name, default, about }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    setting("GENCHARGE_ENV", "development", "development or production"),
    setting("GENCHARGE_BIND", "127.0.0.1:8000", "address and port of the HTTP server"),
    setting("GENCHARGE_DATA_DIR", "./data", "folder for the embedded database, keys and files"),
    setting("GENCHARGE_HTTP_WORKERS", "", "HTTP threads; the number of cores when not set"),
    setting(
        "GENCHARGE_IP_REQUESTS_PER_MINUTE",
        "",
        "per client address; 0 = off; when not set: 0 in development, 600 in production",
    ),
    setting(
        "GENCHARGE_TRUSTED_PROXIES",
        "",
        "addresses or networks (10.0.0.0/8), by comma, whose forwarded client address is believed",
    ),
    setting(
        "GENCHARGE_CORS_ORIGINS",
        "",
        "origins of browsers that may call, by comma (https://shop.example.com)",
    ),
    setting(
        "GENCHARGE_SECRET_KEY",
        "",
        "signs tokens; at least 32 bytes; required in production, made and kept in the data folder in development",
    ),
    setting("GENCHARGE_DEV_OTP", "0", "1 = answers carry the one-time code; refused in production"),
    setting("GENCHARGE_ACCESS_TOKEN_TTL", "60s", "life of an access token"),
    setting("GENCHARGE_REFRESH_TOKEN_TTL", "2d", "life of a refresh token"),
    setting("GENCHARGE_OTP_TTL", "5m", "life of a one-time code"),
    setting("GENCHARGE_OTP_PER_HOUR", "10", "one-time codes sent to one phone number in an hour"),
    setting(
        "GENCHARGE_SUPERADMIN_PHONE",
        "",
        "serve creates this admin when there is none (9000000001 in the demo data)",
    ),
    setting(
        "GENCHARGE_SMS_URL",
        "",
        "the SMS provider's address, which takes a POST a message; required in production; when not set, messages go to sms.log in the data folder",
    ),
    setting(
        "GENCHARGE_SMS_KEY",
        "",
        "sent to the SMS provider as the Authorization header, as it stands (Bearer ...)",
    ),
    setting(
        "GENCHARGE_SMS_BODY",
        "{\"to\":\"{to}\",\"text\":\"{text}\",\"id\":\"{id}\"}",
        "the JSON that the SMS provider takes: {to} the number, {text} the words, {id} the same at every try",
    ),
    setting(
        "GENCHARGE_SMTP_URL",
        "",
        "the e-mail server: smtp://user:password@host:587?tls=required or smtps://...; when not set, e-mail goes to email.log in the data folder (production: nowhere)",
    ),
    setting("GENCHARGE_EMAIL_FROM", "GenCharge <no-reply@localhost>", "the sender of e-mail"),
    setting(
        "GENCHARGE_MESSAGES_PER_SECOND",
        "50",
        "copies of notices sent by text message in a second, at most, and by e-mail; one-time codes do not wait for them",
    ),
    setting(
        "GENCHARGE_LOW_BALANCE",
        "50",
        "a customer whose wallet falls below this is told, in rupees; 0 = nobody is",
    ),
    setting("GENCHARGE_LANGUAGE", "en", "the language of notices to those who did not choose: en or hi"),
    setting(
        "GENCHARGE_PAYMENT_GATEWAY",
        "",
        "sandbox is the only one and the default in development; production wants it said in words",
    ),
    setting("GENCHARGE_PAYMENT_TTL", "15m", "a payment that is still pending after this long expires"),
    setting(
        "GENCHARGE_PAYMENT_CALLBACK_SECRET",
        "",
        "at least 32 bytes; signs the gateway's callbacks (see docs/recharge.md); without it none is taken",
    ),
    setting("GENCHARGE_MAX_QUEUED_PLANS", "12", "plans that may wait behind the active one of a number"),
    setting("GENCHARGE_MAX_TOPUP", "50000", "largest single wallet top-up, in rupees"),
    setting(
        "GENCHARGE_REFERRAL_REWARD",
        "50",
        "what bringing a customer earns, in rupees; paid with that customer's first paid recharge",
    ),
    setting(
        "GENCHARGE_REFERRAL_MAX_REWARDS",
        "50",
        "the most rewards that one customer earns by bringing others; 0 = no limit",
    ),
    setting("GENCHARGE_MAX_WALLET_BALANCE", "0", "largest wallet balance, in rupees; 0 = no limit"),
    setting(
        "GENCHARGE_WALLET_SHARDS",
        "2",
        "wallet actors, each with its own SQL connection; about one per PostgreSQL core",
    ),
    setting(
        "GENCHARGE_WALLET_MAILBOX",
        "4096",
        "orders that may wait for one wallet actor; one more is answered 503, to be sent again shortly",
    ),
    setting("GENCHARGE_HOME_REGION", "IN", "ten-digit phone numbers are numbers of this region"),
    setting(
        "GENCHARGE_TIMEZONE",
        "Asia/Kolkata",
        "days without a time in the filters of lists are days of this zone",
    ),
    setting("GENCHARGE_BACKUP_DIR", "", "folder for backups; backups in the data folder when not set"),
    setting(
        "GENCHARGE_BACKUP_DAILY",
        "02:00",
        "when the daily backup is made, in GENCHARGE_TIMEZONE; off = only when asked for",
    ),
    setting("GENCHARGE_BACKUP_RETENTION", "30d", "how long daily backups are kept; the newest one always is"),
    setting(
        "DATABASE_URL",
        "",
        "postgres://user:password@host:5432/name; when not set, a private PostgreSQL runs under the data folder",
    ),
    setting("GENCHARGE_DB_CONNECTIONS", "16", "size of the SQL connection pool"),
    setting(
        "GENCHARGE_PG_BIN",
        "",
        "folder of initdb and postgres for the embedded database; found by itself when not set",
    ),
    setting(
        "GENCHARGE_PG_SHARED_BUFFERS_MB",
        "",
        "memory of the embedded database, in MB; from the machine's size when not set",
    ),
    setting("GENCHARGE_OUTBOX_RETENTION", "2d", "how long delivered events are kept in the outbox"),
    setting(
        "MONGODB_URL",
        "",
        "documents: mongodb://user:password@host:27017/name; when not set, they are kept in PostgreSQL",
    ),
    setting(
        "REDIS_URL",
        "",
        "one-time codes and hints: redis://:password@host:6379/0; when not set, PostgreSQL has them",
    ),
    setting("GENCHARGE_REDIS_PREFIX", "gencharge", "every key and channel in Redis begins with it"),
    setting(
        "AMQP_URL",
        "",
        "RabbitMQ, amqp://user:password@host:5672/%2f: events go through it and partners' commands come from it; when not set, events stay in the process",
    ),
    setting("GENCHARGE_AMQP_PREFIX", "gencharge", "first part of the names of all exchanges and queues"),
    setting("GENCHARGE_LOG", "info", "log filter, for example info,gencharge=debug"),
    setting(
        "GENCHARGE_ACCESS_LOG",
        "",
        "file of the JSON log of requests (rename it to rotate, or send SIGHUP); access.log in the data folder when not set; off = none",
    ),
];

/// The default text of a setting.
pub(super) fn default(name: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|setting| setting.name == name).map(|setting| setting.default)
}

/// Whether the name is a setting or claims to be one.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("GENCHARGE_") || SETTINGS.iter().any(|setting| setting.name == name)
}

/// What to say about a `GENCHARGE_*` name that no setting has. Names for the tests (`GENCHARGE_TEST_*`) are let be.
pub(super) fn unknown(name: &str) -> Option<String> {
    let known = SETTINGS.iter().any(|setting| setting.name == name);
    if known || !name.starts_with("GENCHARGE_") || name.starts_with("GENCHARGE_TEST_") {
        return None;
    }
    let nearest = SETTINGS
        .iter()
        .map(|setting| (distance(name, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 5);
    Some(match nearest {
        Some((_, nearest)) => format!("{name}: no such setting; did you mean {nearest}?"),
        None => format!("{name}: no such setting"),
    })
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = i.saturating_add(1);
        next.push(left);
        for (to, pair) in b.bytes().zip(row.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            let replaced = diagonal.saturating_add(usize::from(from != to));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
