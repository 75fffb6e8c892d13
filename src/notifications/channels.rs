//! The ways out: text messages through a provider's HTTP interface, e-mail through an SMTP server, and files in the data folder
//! where neither is set.

use std::path::PathBuf;
use std::time::Duration;

use chrono::SecondsFormat;
use futures_util::future::BoxFuture;
use gencharge_actors::notification::channel::{Channel, Message, SendError};
use lettre::message::{Mailbox, Message as Mail};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport as _, Tokio1Executor};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode};
use tokio::io::AsyncWriteExt as _;

use crate::config::Secret;

/// How long a provider may take to connect, and to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// Development's way out: a line a message, in a file that only its owner can read.
#[derive(Clone, Debug)]
pub struct FileChannel(pub PathBuf);

impl Channel for FileChannel {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let at = message.at.to_rfc3339_opts(SecondsFormat::Millis, true);
            let to = message.to.strip_prefix("+91").unwrap_or(&message.to);
            let text = message.text.replace(['\n', '\r'], " ");
            let line = format!("{at} {to} {}\n", text.trim_end());
            let write = async {
                let mut options = tokio::fs::OpenOptions::new();
                let mut file = options.create(true).append(true).mode(0o600).open(&self.0).await?;
                file.write_all(line.as_bytes()).await?;
                file.flush().await
            };
            write.await.map_err(|error: std::io::Error| SendError::Away(error.kind().to_string()))
        })
    }
}

/// A provider of text messages: one POST a message.
#[derive(Clone, Debug)]
pub struct HttpSms {
    client: Client,
    url: Secret,
    authorization: Option<Secret>,
    body: String,
}

impl HttpSms {
    /// Posts `body` to `url`, with `{to}`, `{text}` and `{id}` in it replaced inside of JSON strings, and `authorization` as
    /// the header of that name.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(url: Secret, authorization: Option<Secret>, body: String) -> Result<Self, reqwest::Error> {
        crate::platform::tls::use_ring();
        // A redirect would carry the code to somewhere else.
        let policy = reqwest::redirect::Policy::none();
        let client = Client::builder().connect_timeout(CONNECT).timeout(ANSWER).redirect(policy).build()?;
        Ok(Self { client, url, authorization, body })
    }

    fn request(&self, message: &Message) -> Result<reqwest::RequestBuilder, SendError> {
        let inside = |text: &str| {
            let quoted = serde_json::to_string(text).unwrap_or_default();
            quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
        };
        let parts = [("{to}", &message.to), ("{text}", &message.text), ("{id}", &message.id)];
        let mut request = self
            .client
            .post(self.url.expose())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", &message.id)
            .body(filled(&self.body, &parts.map(|(slot, value)| (slot, inside(value)))));
        if let Some(authorization) = &self.authorization {
            let mut value = HeaderValue::from_str(authorization.expose())
                .map_err(|_| SendError::Refused("GENCHARGE_SMS_KEY cannot be sent as a header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// `text` with each slot replaced once over, so that what is filled in is never searched.
fn filled(text: &str, slots: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(text.len() + 200);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match slots.iter().find(|(slot, _)| from.starts_with(slot)) {
            Some((slot, value)) => {
                out.push_str(value);
                rest = from.strip_prefix(slot).unwrap_or_default();
            }
            None => {
                out.push('{');
                rest = from.strip_prefix('{').unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

impl Channel for HttpSms {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let answer = self.request(message)?.send().await;
            let status = match answer {
                Ok(answer) => answer.status(),
                Err(error) if error.is_builder() => {
                    return Err(SendError::Refused("the request cannot be made".to_owned()));
                }
                Err(error) if error.is_timeout() => {
                    return Err(SendError::Away("no answer in time".to_owned()));
                }
                // The error's text has the address, which may hold a key.
                Err(_) => return Err(SendError::Away("no connection".to_owned())),
            };
            match status {
                status if status.is_success() => Ok(()),
                // A wrong key is the setting's fault, not the message's.
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS => {
                    Err(SendError::Away(format!("the provider answered {status}")))
                }
                status if status.is_client_error() => {
                    Err(SendError::Refused(format!("the provider answered {status}")))
                }
                status => Err(SendError::Away(format!("the provider answered {status}"))),
            }
        })
    }
}

/// An SMTP server.
#[derive(Clone, Debug)]
pub struct SmtpEmail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpEmail {
    /// Delivers to the server of `url` (`smtp://`, `smtp://...?tls=required`, `smtps://`), from `from`.
    ///
    /// # Errors
    /// What cannot be used of the two, without their secrets.
    pub fn new(url: &Secret, from: &str) -> Result<Self, String> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose())
            .map_err(
                |_| "GENCHARGE_SMTP_URL: expected smtp://user:password@host:587?tls=required or smtps://...",
            )?
            .timeout(Some(ANSWER))
            .build();
        let from = from.parse().map_err(
            |_| "GENCHARGE_EMAIL_FROM: expected an address such as GenCharge <no-reply@example.com>",
        )?;
        Ok(Self { transport, from })
    }

    fn mail(&self, message: &Message) -> Result<Mail, SendError> {
        let refused = |_| SendError::Refused("the address or the text cannot be sent".to_owned());
        let to: Mailbox =
            message.to.parse().map_err(|_| SendError::Refused("the address is none".to_owned()))?;
        Mail::builder()
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .date(message.at.into())
            .from(self.from.clone())
            .to(to)
            .subject(&message.subject)
            .header(lettre::message::header::ContentType::TEXT_PLAIN)
            .body(message.text.clone())
            .map_err(refused)
    }
}

impl Channel for SmtpEmail {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let mail = self.mail(message)?;
            // The server's own words may repeat the address: only its code is told.
            let told = |error: &SmtpError| match error.status() {
                Some(code) => format!("the server answered {code}"),
                None if error.is_timeout() => "no answer in time".to_owned(),
                None => "no connection".to_owned(),
            };
            match self.transport.send(mail).await {
                Ok(_) => Ok(()),
                Err(error) if error.is_permanent() => Err(SendError::Refused(told(&error))),
                Err(error) => Err(SendError::Away(told(&error))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_once_over() {
        let slots = [("{to}", "+91".to_owned()), ("{text}", "{to} \\\"x\\\"".to_owned())];
        assert_eq!(
            filled(r#"{"a":"{text}","b":"{to}","c":"{other}"}"#, &slots),
            r#"{"a":"{to} \"x\"","b":"+91","c":"{other}"}"#
        );
    }
}
