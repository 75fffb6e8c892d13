//! What a failure says about the batch: did it certainly not happen, and is it worth trying again?

use gencharge_actors::wallet::StoreError;

use crate::http::problem::is_store_away;

/// How far a batch had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// COMMIT was not sent: whatever happens, the transaction is rolled back.
    Working,
    /// COMMIT was sent.
    Committing,
}

/// The class of `error` in `phase`.
pub fn class(error: &sqlx::Error, phase: Phase) -> StoreError {
    let answered = error.as_database_error().and_then(|database| database.code());
    let class = match (answered.as_deref(), phase) {
        // Unique violation, serialisation failure, deadlock, lock timeout, statement timeout: answered by the server, so
        // rolled back, and different next time.
        (Some("23505" | "40001" | "40P01" | "55P03" | "57014"), _) => StoreError::Conflict,
        // The server ends the session (shutdown, crash, terminated): it says so before a commit record is written, or
        // after; only the phase tells.
        (_, Phase::Committing) => StoreError::Unknown,
        (_, Phase::Working) if is_store_away(error) => StoreError::Away,
        (_, Phase::Working) => StoreError::Refused,
    };
    match class {
        StoreError::Refused => tracing::error!(error = %error, "wallet.store.refused"),
        StoreError::Conflict | StoreError::Away | StoreError::Unknown => {
            tracing::warn!(error = %error, class = %class, "wallet.store.failed");
        }
    }
    class
}
