//! The outermost layer, what operators read, and the server's bounds.

use std::sync::Arc;
use std::time::Duration;

use gencharge_actors::runtime::Universe;
use prometheus::Registry;
use serde_json::Value;

use super::stores::Stores;
use super::{Parts, StartError};
use crate::http::edge::{AccessLog, Edge, HttpMeters};
use crate::http::openapi;
use crate::operations::Operations;
use crate::platform::data_folder;

/// An idle connection is closed after this long.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// A client may take this long to send the head of a request.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// A client may take this long to take the end of a connection.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// Connections of one worker; more wait in the backlog.
pub(super) const CONNECTIONS: usize = 10_000;
/// Connections that wait to be accepted.
pub(super) const BACKLOG: u32 = 4096;

/// What stands around the routes.
pub(super) struct Outside {
    pub(super) layer: Edge,
    pub(super) operations: Operations,
    pub(super) log: Option<AccessLog>,
}

/// Builds it; opens the access log.
pub(super) fn build(
    parts: &Parts,
    stores: &Stores,
    universe: &Universe,
    document: &Value,
) -> Result<Outside, StartError> {
    let registry = Registry::new();
    let meters = HttpMeters::new(&registry)?;
    let log = access_log(parts)?;
    let layer = Edge::new(
        &parts.config.http,
        Arc::clone(&parts.clock),
        Arc::clone(&parts.random),
        meters,
        log.clone(),
        openapi::allowed_methods(document),
    );
    let operations = Operations::new(
        universe.clone(),
        parts.pool.clone(),
        (stores.servers.clone(), stores.rabbit.clone()),
        registry,
        log.clone(),
    );
    Ok(Outside { layer, operations, log })
}

fn access_log(parts: &Parts) -> Result<Option<AccessLog>, StartError> {
    let Some(path) = &parts.config.telemetry.access_log else { return Ok(None) };
    let folder = &parts.config.data_dir;
    if path.starts_with(folder) {
        data_folder::create(folder).map_err(|source| StartError::Folder { path: folder.clone(), source })?;
    }
    let opened = AccessLog::open(path, parts.config.http.workers);
    opened.map(Some).map_err(|source| StartError::AccessLog { path: path.clone(), source })
}
