//! Rows as bytes, a chunk at a time: what has been written is taken and sent before the next chunk is read.

mod csv;
mod json;
pub mod pdf;
mod xlsx;

use actix_web::web::Bytes;

pub use self::csv::CsvWriter;
pub use self::json::JsonWriter;
pub use self::xlsx::XlsxWriter;
use super::definition::{Column, Kind};
use super::service::{Cells, Row};

/// Writes a report in one format.
pub trait Writer: Send {
    /// Adds rows.
    ///
    /// # Errors
    /// When they cannot be written in this format.
    fn rows(&mut self, rows: &[Row]) -> std::io::Result<()>;

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be ended.
    fn end(&mut self) -> std::io::Result<()>;

    /// Takes what is written so far.
    fn take(&mut self) -> Bytes;
}

/// The cells of a row with their columns.
fn cells<'a>(columns: &'a [Column], cells: &'a Cells) -> impl Iterator<Item = (&'a Column, Option<&'a str>)> {
    columns.iter().zip(cells).map(|(column, cell)| (column, cell.as_deref()))
}

/// Text as a spreadsheet may have it: what people wrote never becomes a formula.
fn harmless(kind: Kind, text: &str) -> std::borrow::Cow<'_, str> {
    let formula = kind == Kind::Text && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}").into() } else { text.into() }
}
