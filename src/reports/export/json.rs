//! A report as a JSON list.

use std::io::{Result, Write as _};

use actix_web::web::Bytes;

use super::{Row, Writer, cells};
use crate::reports::definition::Column;

/// Writes `[{"column":value,...},...]`.
pub struct JsonWriter {
    columns: &'static [Column],
    buffer: Vec<u8>,
    begun: bool,
}

impl JsonWriter {
    /// A list of rows with these columns.
    #[must_use]
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, buffer: b"[".to_vec(), begun: false }
    }
}

impl Writer for JsonWriter {
    fn rows(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            self.buffer.extend_from_slice(if self.begun { b",{" } else { b"{" });
            self.begun = true;
            for (index, (column, cell)) in cells(self.columns, &row.cells).enumerate() {
                if index > 0 {
                    self.buffer.push(b',');
                }
                serde_json::to_writer(&mut self.buffer, column.name)?;
                self.buffer.push(b':');
                match cell {
                    None => self.buffer.extend_from_slice(b"null"),
                    Some(text) if column.kind.is_json() => self.buffer.write_all(text.as_bytes())?,
                    Some(text) => serde_json::to_writer(&mut self.buffer, text)?,
                }
            }
            self.buffer.push(b'}');
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.buffer.push(b']');
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.buffer))
    }
}
