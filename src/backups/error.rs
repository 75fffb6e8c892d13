//! Why a backup or a restore did not succeed.

use std::path::{Path, PathBuf};

use crate::http::{Code, Problem};
use crate::platform::documents::DocumentError;
use crate::platform::postgres::DatabaseError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A statement failed.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
    /// The scratch database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The document store.
    #[error(transparent)]
    Documents(#[from] DocumentError),
    /// The file.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what was written.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Something asked for cannot be.
    #[error("{field}: {message}")]
    Refused {
        /// Which part of the request.
        field: &'static str,
        /// What it must be.
        message: String,
    },
    /// What was restored is not what was backed up.
    #[error("the restored data is not what was backed up: {0}")]
    Differs(String),
    /// Another job is being done, here or in another process.
    #[error("another backup or restore is being done: try again when it has ended")]
    Busy,
    /// A thread of the job died.
    #[error("the job was cut off")]
    CutOff,
}

impl BackupError {
    pub(super) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(super) fn refused(field: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { field, message: message.into() }
    }
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Sql(error) => error.into(),
            BackupError::Documents(error) => error.into(),
            BackupError::Refused { field, message } => Self::field(field, message),
            BackupError::Busy => Self::new(Code::StateConflict, error.to_string()),
            BackupError::Damaged(_) | BackupError::Differs(_) => {
                Self::new(Code::StateConflict, format!("{error}: use another backup"))
            }
            BackupError::Database(_) | BackupError::File { .. } | BackupError::CutOff => {
                tracing::error!(%error, "backups.failed");
                Self::new(
                    Code::Unavailable,
                    "The backup could not be made or read: see the service's log, and that its disk has room",
                )
            }
        }
    }
}
