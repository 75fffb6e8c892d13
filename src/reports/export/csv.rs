//! A report as CSV (RFC 4180), with a byte order mark: without it spreadsheets take UTF-8 for something else.

use std::io::Result;

use actix_web::web::Bytes;

use super::{Row, Writer, cells, harmless};
use crate::reports::definition::Column;

/// Writes a line of names and a line for each row.
pub struct CsvWriter {
    columns: &'static [Column],
    buffer: Vec<u8>,
}

impl CsvWriter {
    /// A file with these columns.
    ///
    /// # Errors
    /// Never for names as ours are.
    pub fn new(columns: &'static [Column]) -> Result<Self> {
        let mut writer = Self { columns, buffer: "\u{feff}".into() };
        writer.write(std::iter::once(columns.iter().map(|column| column.name.into())))?;
        Ok(writer)
    }

    fn write<'a, L>(&mut self, lines: impl Iterator<Item = L>) -> Result<()>
    where
        L: Iterator<Item = std::borrow::Cow<'a, str>>,
    {
        let mut csv = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(std::mem::take(&mut self.buffer));
        for line in lines {
            for cell in line {
                csv.write_field(cell.as_bytes())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        self.buffer = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(())
    }
}

impl Writer for CsvWriter {
    fn rows(&mut self, rows: &[Row]) -> Result<()> {
        let columns = self.columns;
        self.write(rows.iter().map(|row| {
            cells(columns, &row.cells)
                .map(|(column, cell)| cell.map_or("".into(), |text| harmless(column.kind, text)))
        }))
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.buffer))
    }
}
