//! Backups: made in one snapshot, compressed and sealed with a checksum, kept in a folder, restored into a scratch database
//! and compared there before anybody may switch to it. See `docs/backups.md`.

mod dump;
mod error;
mod file;
mod load;
mod routes;
mod rows;
mod schedule;
mod service;
mod totals;

pub use dump::{Choice, Range};
pub use error::BackupError;
pub use routes::{Docs, routes};
pub use service::{BACKUP_LOGS, BackupDesk, Backups, Done, NewBackup, Order, Restoration};
