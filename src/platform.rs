//! What the features stand on: stores, folders, processes. Nothing in here knows a feature.

pub mod bus;
pub mod data_folder;
pub mod documents;
pub mod open_files;
pub mod pdf;
pub mod postgres;
pub mod redis;
pub mod tls;

use futures_util::future::BoxFuture;

/// A server beside PostgreSQL that was configured.
pub trait Server: Send + Sync {
    /// What it is.
    fn name(&self) -> &'static str;

    /// Whether it answers now; within a few seconds.
    fn answers(&self) -> BoxFuture<'_, bool>;
}
