//! What every feature's routes share: problem documents, parameters, pages, money in JSON, the outermost layer (request
//! ids, limits, numbers, the access log) and the documentation.

pub mod array;
pub mod days;
pub mod documentation;
pub mod edge;
mod faults;
pub mod json;
pub mod list;
pub mod openapi;
pub mod orders;
pub mod page;
pub mod params;
pub mod problem;
pub mod server;

pub use faults::Faults;
pub use problem::{Code, FieldError, Problem};
