//! What every feature's routes share: problem documents, parameters, pages, money in JSON, request ids and the log.

pub mod days;
pub mod json;
pub mod list;
pub mod page;
pub mod params;
pub mod problem;
pub mod request_log;
pub mod server;

pub use problem::{Code, FieldError, Problem};
