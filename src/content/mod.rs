//! Content of the pages: texts and images, kept as documents and files; administrators write, everyone reads.

mod form;
mod picture;
mod routes;
mod seed;
mod service;

pub use picture::Pictures;
pub use routes::{Docs, routes};
pub use seed::{SeedError, seed_content};
pub use service::{CONTENT, Contents};
