//! A report as a PDF table. It is built whole, and therefore bounded.
#![expect(clippy::float_arithmetic, reason = "places on a page; every figure is text already")]

use actix_web::web::Bytes;

use super::{Row, cells};
use crate::platform::pdf::{self, Canvas, Pdf, PdfError, Style};
use crate::reports::definition::Column;

/// Rows in one document: about a hundred pages.
pub const MOST_ROWS: u32 = 5_000;

const WIDTH: f32 = pdf::HEIGHT;
const HEIGHT: f32 = pdf::WIDTH;
const MARGIN: f32 = 28.0;
const LINE: f32 = 11.0;
const GAP: f32 = 4.0;
const FIRST_LINE: f32 = 72.0;
const LINES: usize = 44;
/// Rows that decide how wide the columns are.
const SAMPLE: usize = 60;
/// Characters beyond which a column gets no wider, and below which no narrower.
const CHARACTERS: (usize, usize) = (5, 26);

const TITLE: Style = Style { size: 13.0, bold: true, faint: false };
const NAME: Style = Style { size: 6.5, bold: true, faint: false };
const CELL: Style = Style { size: 6.5, bold: false, faint: false };
const FOOT: Style = Style { size: 7.0, bold: false, faint: true };

/// A document of these rows. Takes about half a millisecond for each: not for a thread that serves others.
///
/// # Errors
/// [`PdfError`] when it cannot be made.
pub fn document(title: &str, columns: &'static [Column], rows: &[Row]) -> Result<Bytes, PdfError> {
    let widths = widths(columns, rows);
    let mut pdf = Pdf::new(title);
    let empty = [rows];
    let pages: Vec<&[Row]> = if rows.is_empty() { empty.to_vec() } else { rows.chunks(LINES).collect() };
    for (index, page) in pages.iter().enumerate() {
        pdf.page_of(WIDTH, HEIGHT, |canvas| {
            canvas.text(MARGIN, 44.0, TITLE, title);
            let foot = format!("Page {} of {} · {} rows", index.saturating_add(1), pages.len(), rows.len());
            canvas.text_before(WIDTH - MARGIN, HEIGHT - 20.0, FOOT, &foot);
            draw(canvas, columns, page, &widths);
        })?;
    }
    pdf.finish().map(Bytes::from)
}

fn draw(canvas: &mut Canvas<'_>, columns: &'static [Column], rows: &[Row], widths: &[f32]) {
    let mut x = MARGIN;
    for (column, width) in columns.iter().zip(widths) {
        canvas.text(x, FIRST_LINE - LINE, NAME, &pdf::fit(column.name, NAME, *width));
        x += width + GAP;
    }
    canvas.rule(MARGIN, WIDTH - MARGIN, FIRST_LINE - LINE + 3.0);
    let mut y = FIRST_LINE;
    for row in rows {
        let mut x = MARGIN;
        for ((column, cell), width) in cells(columns, &row.cells).zip(widths) {
            let text = pdf::fit(cell.unwrap_or(""), CELL, *width);
            if column.kind.is_number() {
                canvas.text_before(x + width, y, CELL, &text);
            } else {
                canvas.text(x, y, CELL, &text);
            }
            x += width + GAP;
        }
        y += LINE;
    }
}

/// The page's width, shared out by what the first rows need.
fn widths(columns: &[Column], rows: &[Row]) -> Vec<f32> {
    let (narrow, wide) = CHARACTERS;
    let need = |index: usize, column: &Column| {
        let cells = rows.iter().take(SAMPLE).filter_map(|row| row.cells.get(index)?.as_deref());
        let longest = cells.map(|text| text.chars().count()).max().unwrap_or(0);
        let characters = longest.max(column.name.chars().count()).clamp(narrow, wide);
        f32::from(u8::try_from(characters).unwrap_or(u8::MAX))
    };
    let needs: Vec<f32> = columns.iter().enumerate().map(|(index, column)| need(index, column)).collect();
    let gaps = f32::from(u8::try_from(columns.len()).unwrap_or(u8::MAX)) * GAP;
    let unit = (WIDTH - 2.0 * MARGIN - gaps) / needs.iter().sum::<f32>().max(1.0);
    needs.into_iter().map(|need| need * unit).collect()
}
