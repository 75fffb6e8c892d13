//! A report as an Office Open XML workbook (ECMA-376), written as a stream: the common libraries build the whole file first,
//! which for a million rows is neither quick to begin nor small.

use std::io::{Error, Result, Write};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Bytes;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::{Row, Writer, cells, harmless};
use crate::reports::definition::Column;

/// Rows that a sheet can hold, the names included.
const SHEET_ROWS: u32 = 1_048_576;
/// Characters that a cell can hold.
const CELL_CHARACTERS: usize = 32_767;

const CONTENT_TYPES: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";
const RELATIONSHIPS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";

/// What was written and not yet taken.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Writes one sheet after the other, then what names them.
pub struct XlsxWriter {
    columns: &'static [Column],
    sink: Sink,
    zip: Option<ZipWriter<StreamWriter<Sink>>>,
    sheets: u32,
    /// Rows in the open sheet.
    rows: u32,
}

impl XlsxWriter {
    /// A workbook with these columns.
    ///
    /// # Errors
    /// Never: it is written into memory.
    pub fn new(columns: &'static [Column]) -> Result<Self> {
        let sink = Sink::default();
        let zip = ZipWriter::new_stream(sink.clone());
        let mut writer = Self { columns, sink, zip: Some(zip), sheets: 0, rows: 0 };
        writer.open_sheet()?;
        Ok(writer)
    }

    fn zip(&mut self) -> Result<&mut ZipWriter<StreamWriter<Sink>>> {
        self.zip.as_mut().ok_or_else(|| Error::other("the workbook has ended"))
    }

    fn file(&mut self, name: &str) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .large_file(true);
        self.zip()?.start_file(name, options).map_err(Error::other)
    }

    fn open_sheet(&mut self) -> Result<()> {
        self.sheets = self.sheets.saturating_add(1);
        self.rows = 1;
        let name = format!("xl/worksheets/sheet{}.xml", self.sheets);
        self.file(&name)?;
        let mut head = format!(
            "{DECLARATION}<worksheet xmlns=\"{MAIN}\"><sheetViews><sheetView workbookViewId=\"0\">\
             <pane ySplit=\"1\" topLeftCell=\"A2\" state=\"frozen\"/></sheetView></sheetViews><cols>\
             <col min=\"1\" max=\"{}\" width=\"18\" customWidth=\"1\"/></cols><sheetData><row>",
            self.columns.len().max(1)
        );
        for column in self.columns {
            text_cell(&mut head, column.name, " s=\"1\"");
        }
        head.push_str("</row>");
        self.zip()?.write_all(head.as_bytes())
    }

    fn close_sheet(&mut self) -> Result<()> {
        self.zip()?.write_all(b"</sheetData></worksheet>")
    }

    fn part(&mut self, name: &str, body: &str) -> Result<()> {
        self.file(name)?;
        self.zip()?.write_all(format!("{DECLARATION}{body}").as_bytes())
    }

    /// What tells a program what the sheets are.
    fn parts(&mut self) -> Result<()> {
        let sheets = 1..=self.sheets;
        let each = |form: &dyn Fn(u32) -> String| sheets.clone().map(form).collect::<String>();
        let types = each(&|n| {
            format!(
                "<Override PartName=\"/xl/worksheets/sheet{n}.xml\" ContentType=\"{CONTENT_TYPES}.worksheet+xml\"/>"
            )
        });
        let names = each(&|n| format!("<sheet name=\"Sheet{n}\" sheetId=\"{n}\" r:id=\"rId{n}\"/>"));
        let links = each(&|n| {
            format!(
                "<Relationship Id=\"rId{n}\" Type=\"{RELATIONSHIPS}/worksheet\" Target=\"worksheets/sheet{n}.xml\"/>"
            )
        });
        self.part(
            "xl/styles.xml",
            &format!(
                "<styleSheet xmlns=\"{MAIN}\"><fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font>\
                 <font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts><fills count=\"2\"><fill><patternFill \
                 patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills><borders count=\"1\">\
                 <border><left/><right/><top/><bottom/><diagonal/></border></borders><cellStyleXfs count=\"1\"><xf/></cellStyleXfs>\
                 <cellXfs count=\"2\"><xf xfId=\"0\"/><xf fontId=\"1\" xfId=\"0\" applyFont=\"1\"/></cellXfs></styleSheet>"
            ),
        )?;
        self.part(
            "xl/workbook.xml",
            &format!(
                "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{RELATIONSHIPS}\"><sheets>{names}</sheets></workbook>"
            ),
        )?;
        self.part(
            "xl/_rels/workbook.xml.rels",
            &format!(
                "<Relationships xmlns=\"{PACKAGE}/relationships\">{links}<Relationship Id=\"rIdS\" \
                 Type=\"{RELATIONSHIPS}/styles\" Target=\"styles.xml\"/></Relationships>"
            ),
        )?;
        self.part(
            "_rels/.rels",
            &format!(
                "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"rId1\" \
                 Type=\"{RELATIONSHIPS}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        )?;
        self.part(
            "[Content_Types].xml",
            &format!(
                "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" \
                 ContentType=\"application/xml\"/><Override PartName=\"/xl/workbook.xml\" \
                 ContentType=\"{CONTENT_TYPES}.sheet.main+xml\"/><Override PartName=\"/xl/styles.xml\" \
                 ContentType=\"{CONTENT_TYPES}.styles+xml\"/>{types}</Types>"
            ),
        )
    }
}

impl Writer for XlsxWriter {
    fn rows(&mut self, rows: &[Row]) -> Result<()> {
        let mut xml = String::with_capacity(rows.len().saturating_mul(1024));
        for row in rows {
            if self.rows >= SHEET_ROWS {
                let full = std::mem::take(&mut xml);
                self.zip()?.write_all(full.as_bytes())?;
                self.close_sheet()?;
                self.open_sheet()?;
            }
            self.rows = self.rows.saturating_add(1);
            xml.push_str("<row>");
            for (column, cell) in cells(self.columns, &row.cells) {
                match cell {
                    None => xml.push_str("<c/>"),
                    Some(number) if column.kind.is_number() => {
                        xml.push_str("<c><v>");
                        xml.push_str(number);
                        xml.push_str("</v></c>");
                    }
                    Some(text) => text_cell(&mut xml, &harmless(column.kind, text), ""),
                }
            }
            xml.push_str("</row>");
        }
        self.zip()?.write_all(xml.as_bytes())
    }

    fn end(&mut self) -> Result<()> {
        self.close_sheet()?;
        self.parts()?;
        let zip = self.zip.take().ok_or_else(|| Error::other("the workbook has ended"))?;
        zip.finish().map(drop).map_err(Error::other)
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.sink.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A cell with its text in place; characters that XML cannot hold become spaces.
fn text_cell(xml: &mut String, text: &str, style: &str) {
    xml.push_str("<c t=\"inlineStr\"");
    xml.push_str(style);
    xml.push_str("><is><t xml:space=\"preserve\">");
    for character in text.chars().take(CELL_CHARACTERS) {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\t' | '\n' => xml.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push(' '),
            _ => xml.push(character),
        }
    }
    xml.push_str("</t></is></c>");
}
