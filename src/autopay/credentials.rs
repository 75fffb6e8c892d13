//! A customer's saved payment instrument. Nothing charges it: autopay pays from the wallet.

use std::sync::Arc;

use gencharge_actors::kernel::{Clock, UserId};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgPool;
use utoipa::ToSchema;

use super::vault::{Sealed, Vault, drop_secrets, masked};
use crate::http::{Code, Problem};

/// The largest instrument, as JSON.
const MOST_BYTES: usize = 4096;
/// The kinds of instrument.
const TYPES: [&str; 3] = ["upi", "bank", "card"];

/// A saved instrument as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AutoPayCredentialOut {
    /// `upi`, `bank` or `card`.
    payment_type: String,
    /// The fields given, with masked values.
    #[schema(value_type = Object)]
    credentials: Value,
    /// Unique id.
    id: i64,
    /// Whose it is.
    user_id: i64,
}

/// Why an instrument was not saved or shown.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Wrong input.
    #[error("{0}: {1}")]
    Field(&'static str, String),
    /// None is saved.
    #[error("none is saved")]
    Missing,
    /// It was sealed under another key, or changed.
    #[error("the record cannot be opened")]
    Unreadable,
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

impl From<CredentialError> for Problem {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Field(field, message) => Self::field(field, message),
            CredentialError::Missing => Self::not_found("Saved payment instrument"),
            CredentialError::Unreadable => Self::new(
                Code::StateConflict,
                "The saved instrument can no longer be read (the service's key has changed): save it again",
            ),
            CredentialError::Store(error) => error.into(),
        }
    }
}

/// Id, type, format, nonce and sealed text.
type Row = (i64, String, i16, Vec<u8>, Vec<u8>);

/// Saved instruments.
#[derive(Clone)]
pub struct Credentials {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    vault: Vault,
}

impl Credentials {
    /// Over the shared pool, sealed by `vault`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, vault: Vault) -> Self {
        Self { pool, clock, vault }
    }

    /// Saves the one instrument of a customer, in place of an earlier one.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub async fn save(
        &self,
        user: UserId,
        payment_type: &str,
        mut fields: Map<String, Value>,
    ) -> Result<AutoPayCredentialOut, CredentialError> {
        if !TYPES.contains(&payment_type) {
            return Err(CredentialError::Field(
                "payment_type",
                format!("must be one of: {}", TYPES.join(" ")),
            ));
        }
        drop_secrets(&mut fields);
        let credentials = Value::Object(fields);
        let text = credentials.to_string();
        if credentials.as_object().is_none_or(Map::is_empty) || text.len() > MOST_BYTES {
            let message = format!("must have a field besides security codes, and at most {MOST_BYTES} bytes");
            return Err(CredentialError::Field("credentials", message));
        }
        let sealed = self.vault.seal(user.get(), text.as_bytes()).map_err(|_| CredentialError::Unreadable)?;
        let id = sqlx::query_scalar(
            "INSERT INTO autopay_credentials (user_id, payment_type, format, nonce, sealed, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (user_id) DO UPDATE SET payment_type = excluded.payment_type, format = excluded.format,
                 nonce = excluded.nonce, sealed = excluded.sealed, updated_at = excluded.updated_at
             RETURNING credential_id",
        )
        .bind(user.get())
        .bind(payment_type)
        .bind(sealed.format)
        .bind(sealed.nonce)
        .bind(sealed.text)
        .bind(self.clock.now())
        .fetch_one(&self.pool)
        .await?;
        let payment_type = payment_type.to_owned();
        Ok(AutoPayCredentialOut { payment_type, credentials: masked(&credentials), id, user_id: user.get() })
    }

    /// A customer's instrument, masked.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub async fn show(&self, user: UserId) -> Result<AutoPayCredentialOut, CredentialError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT credential_id, payment_type, format, nonce, sealed FROM autopay_credentials WHERE user_id = $1",
        )
        .bind(user.get())
        .fetch_optional(&self.pool)
        .await?;
        let (id, payment_type, format, nonce, text) = row.ok_or(CredentialError::Missing)?;
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::error!(user.id = user.get(), error = %error, "autopay.credentials_unreadable");
            CredentialError::Unreadable
        };
        let plain =
            self.vault.open(user.get(), &Sealed { format, nonce, text }).map_err(|e| unreadable(&e))?;
        let plain: Value = serde_json::from_slice(&plain).map_err(|e| unreadable(&e))?;
        Ok(AutoPayCredentialOut { payment_type, credentials: masked(&plain), id, user_id: user.get() })
    }
}
