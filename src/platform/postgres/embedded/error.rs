//! What can go wrong with the private cluster; every text says what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// PostgreSQL is not installed.
    #[error(
        "PostgreSQL is not installed (no initdb and postgres in {looked}): install it (`apt-get install postgresql`), name \
         its folder in GENCHARGE_PG_BIN, or set DATABASE_URL to a server that runs elsewhere"
    )]
    NoBinaries {
        /// Where it was looked for.
        looked: String,
    },
    /// Another major version than the data's.
    #[error(
        "the data in {cluster} belongs to PostgreSQL {needed}, installed is only {found}: install that version \
         (`apt-get install postgresql-{needed}`) or move the data with pg_upgrade"
    )]
    WrongVersion {
        /// The data.
        cluster: PathBuf,
        /// The data's major version.
        needed: String,
        /// What was found.
        found: String,
    },
    /// A file or folder.
    #[error(
        "{path}: {source}; the embedded database needs it (GENCHARGE_DATA_DIR chooses the folder, DATABASE_URL another server)"
    )]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data folder was copied while its database lives elsewhere.
    #[error(
        "{record} was made for the data folder {other}, which still exists, and names its database: two folders cannot share \
         one; remove {record} to start with an empty database"
    )]
    Copied {
        /// The record in this data folder.
        record: PathBuf,
        /// The data folder that it was made for.
        other: PathBuf,
    },
    /// The folder belongs to somebody else.
    #[error(
        "{path} belongs to the user with id {owner}: run this command as that user or as root, or choose another GENCHARGE_DATA_DIR"
    )]
    Foreign {
        /// The cluster.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// As root, but with nobody to run PostgreSQL as.
    #[error(
        "PostgreSQL does not run as root, and neither the user `postgres` nor `nobody` exists: create one, or set DATABASE_URL"
    )]
    NoAccount,
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: String,
        /// The end of what it said.
        output: String,
    },
    /// It took too long.
    #[error("the embedded database {what} within {seconds} s; see {log}")]
    TooLate {
        /// What did not happen.
        what: &'static str,
        /// The bound.
        seconds: u64,
        /// Where to look.
        log: PathBuf,
    },
    /// A statement failed.
    #[error("the embedded database refuses: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Names the path in an error of the file system.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { path, source }
}
