//! What the features stand on: stores, folders, processes. Nothing in here knows a feature.

pub mod bus;
pub mod data_folder;
pub mod documents;
pub mod postgres;
pub mod tls;
