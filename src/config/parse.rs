//! From text to typed values. Each parser's error says what is expected, and never repeats a secret.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use gencharge_actors::notification::Language;

use super::{Environment, PaymentGateway, Secret};

/// The longest duration accepted: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The largest amount accepted: a hundred crore rupees.
const LARGEST_RUPEES: i64 = 1_000_000_000;

/// An address or a network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in this network; an IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

pub(super) fn environment(text: &str) -> Result<Environment, String> {
    match text {
        "development" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err(expected("development or production", text)),
    }
}

pub(super) fn gateway(text: &str) -> Result<PaymentGateway, String> {
    match text {
        "sandbox" => Ok(PaymentGateway::Sandbox),
        _ => Err(expected("sandbox", text)),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| expected("an IP address and a port, such as 127.0.0.1:8000", text))
}

pub(super) fn timezone(text: &str) -> Result<chrono_tz::Tz, String> {
    text.parse().map_err(|_| expected("a time zone of the IANA database, such as Asia/Kolkata", text))
}

pub(super) fn region(text: &str) -> Result<String, String> {
    match text {
        "IN" => Ok(text.to_owned()),
        _ => Err(expected("IN (the only region this version knows)", text)),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(expected("0 or 1", text)),
    }
}

pub(super) fn number<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    digits(text)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (MIN..=MAX).contains(number))
        .ok_or_else(|| expected(&format!("a whole number from {MIN} to {MAX}"), text))
}

/// A count of things in memory; every supported machine has at least 32 bits.
pub(super) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A time of the day (`02:00`), or `off`.
pub(super) fn time_of_day(text: &str) -> Result<Option<chrono::NaiveTime>, String> {
    if text == "off" {
        return Ok(None);
    }
    let parsed = chrono::NaiveTime::parse_from_str(text, "%H:%M");
    parsed.map(Some).map_err(|_| expected("a time of the day such as 02:00, or off", text))
}

/// A duration such as `60s`, `5m`, `2h` or `2d`: more than zero and at most ten years.
///
/// # Errors
/// What is expected, and the text that was given.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = || {
        let unit = text.chars().next_back()?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let count = digits(text.strip_suffix(unit)?)?;
        Some(Duration::from_secs(count.checked_mul(seconds)?))
    };
    parsed()
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| expected("a duration above zero such as 60s, 5m, 2h or 2d", text))
}

/// An amount in rupees with at most two decimals (`50000`, `199.50`), as paise.
///
/// # Errors
/// What is expected, and the text that was given.
pub fn rupees(text: &str) -> Result<i64, String> {
    let parsed = || {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "00"));
        let paise = match decimals.len() {
            1 => digits(decimals)?.checked_mul(10)?,
            2 => digits(decimals)?,
            _ => return None,
        };
        let whole = i64::try_from(digits(whole)?).ok().filter(|rupees| *rupees <= LARGEST_RUPEES)?;
        whole.checked_mul(100)?.checked_add(i64::try_from(paise).ok()?)
    };
    parsed().ok_or_else(|| expected("an amount in rupees with at most two decimals, such as 50000", text))
}

pub(super) fn rupees_above_zero(text: &str) -> Result<i64, String> {
    rupees(text)?
        .checked_sub(1)
        .filter(|rest| *rest >= 0)
        .and_then(|rest| rest.checked_add(1))
        .ok_or_else(|| expected("an amount in rupees above zero, such as 50000", text))
}

pub(super) fn networks(text: &str) -> Result<Vec<Network>, String> {
    list(text)
        .map(|item| {
            network(item)
                .ok_or_else(|| expected("addresses or networks by comma, such as 127.0.0.1,10.0.0.0/8", item))
        })
        .collect()
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(u8::try_from(digits(prefix)?).ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(longest);
    (prefix <= longest).then_some(Network { address, prefix })
}

pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    list(text)
        .map(|item| {
            let host =
                item.strip_prefix("https://").or_else(|| item.strip_prefix("http://")).unwrap_or_default();
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
            if host.is_empty() || !plain {
                return Err(expected(
                    "origins by comma, such as https://shop.example.com (no path, no *)",
                    item,
                ));
            }
            Ok(item.to_ascii_lowercase())
        })
        .collect()
}

pub(super) fn phone(text: &str) -> Result<String, String> {
    let number = text.strip_prefix('+').unwrap_or(text);
    if (10..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("expected a phone number: ten digits, or + and up to fifteen digits".to_owned())
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(expected("a log filter such as info or info,gencharge=debug", text)),
    }
}

pub(super) fn secret_key(text: &str) -> Result<Secret, String> {
    if text.len() < 32 {
        return Err("expected at least 32 bytes, for example from `openssl rand -hex 32`".to_owned());
    }
    Ok(Secret::new(text))
}

pub(super) fn http_url(text: &str) -> Result<Secret, String> {
    url(text, &["https://", "http://"], "an address such as https://sms.example.com/send")
}

pub(super) fn smtp_url(text: &str) -> Result<Secret, String> {
    let what = "an address such as smtp://user:password@host:587?tls=required";
    let url = url(text, &["smtp://", "smtps://"], what)?;
    let usable = lettre::AsyncSmtpTransport::<lettre::Tokio1Executor>::from_url(text).is_ok();
    if usable { Ok(url) } else { Err(format!("expected {what}")) }
}

pub(super) fn mailbox(text: &str) -> Result<String, String> {
    let usable = text.parse::<lettre::message::Mailbox>().is_ok();
    if usable {
        Ok(text.to_owned())
    } else {
        Err(expected("an address such as Shop <no-reply@example.com>", text))
    }
}

/// A header's value; not repeated, as it is a key.
pub(super) fn header(text: &str) -> Result<Secret, String> {
    let usable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if usable { Ok(Secret::new(text)) } else { Err("expected printable ASCII on one line".to_owned()) }
}

pub(super) fn sms_body(text: &str) -> Result<String, String> {
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|body| body.is_object());
    let usable = is_json && text.contains("{to}") && text.contains("{text}");
    if usable {
        Ok(text.to_owned())
    } else {
        Err(expected("a JSON object with {to} and {text} in its strings", text))
    }
}

pub(super) fn language(text: &str) -> Result<Language, String> {
    Language::of(text).ok_or_else(|| expected("en or hi", text))
}

pub(super) fn postgres_url(text: &str) -> Result<Secret, String> {
    let what = "an address such as postgres://user:password@host:5432/name";
    let url = url(text, &["postgres://", "postgresql://"], what)?;
    text.parse::<sqlx::postgres::PgConnectOptions>().map(|_| url).map_err(|_| format!("expected {what}"))
}

pub(super) fn mongodb_url(text: &str) -> Result<Secret, String> {
    url(text, &["mongodb://", "mongodb+srv://"], "an address such as mongodb://host:27017/gencharge")
}

pub(super) fn redis_url(text: &str) -> Result<Secret, String> {
    url(text, &["redis://"], "an address such as redis://host:6379/0")
}

/// A short plain name.
pub(super) fn word(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, - or _".to_owned())
    }
}

pub(super) fn amqp_url(text: &str) -> Result<Secret, String> {
    let what = "an address such as amqp://user:password@host:5672/%2f";
    let secret = url(text, &["amqp://", "amqps://"], what)?;
    // The reader's own words could show the password.
    secret.expose().parse::<lapin::uri::AMQPUri>().map_err(|_| format!("expected {what}"))?;
    Ok(secret)
}

pub(super) fn amqp_prefix(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=60).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(expected("1 to 60 letters, digits, dots, dashes or underscores", text))
    }
}

/// Addresses may hold passwords, so a refused one is not shown.
fn url(text: &str, schemes: &[&str], what: &str) -> Result<Secret, String> {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or_default();
    if rest.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!("expected {what}"));
    }
    Ok(Secret::new(text))
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// ASCII digits only: no sign, no blanks, no other script.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn expected(what: &str, given: &str) -> String {
    format!("expected {what}, not {given:?}")
}
