//! Content of the pages: texts and images, kept as documents and files; administrators write, everyone reads.

mod form;
mod picture;
mod routes;
mod service;

pub use picture::Pictures;
pub use routes::{Docs, routes};
pub use service::{CONTENT, Contents};
