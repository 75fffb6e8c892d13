//! PDF documents with text in any script: fonts in the program, lines cut into runs that one font can draw, and a page to
//! draw them on. Sizes and places are points from the top left corner.

mod face;
mod text;

use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point};
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::TextDirection;

/// The width of a page, in points (A4).
pub const WIDTH: f32 = 595.0;
/// The height of a page, in points (A4).
pub const HEIGHT: f32 = 842.0;

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// In points.
    pub size: f32,
    /// Latin letters are bold; other scripts have one weight.
    pub bold: bool,
    /// Grey instead of black.
    pub faint: bool,
}

/// The document cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the PDF cannot be made: {0}")]
pub struct PdfError(String);

/// A document in the making.
pub struct Pdf {
    document: Document,
}

impl Pdf {
    /// An empty document.
    #[must_use]
    pub fn new(title: &str) -> Self {
        let mut document = Document::new();
        let metadata = Metadata::new().title(title.to_owned()).creator("GenCharge".to_owned());
        document.set_metadata(metadata);
        Self { document }
    }

    /// Adds a page.
    ///
    /// # Errors
    /// [`PdfError`] when it cannot be.
    pub fn page(&mut self, draw: impl FnOnce(&mut Canvas<'_>)) -> Result<(), PdfError> {
        self.page_of(WIDTH, HEIGHT, draw)
    }

    /// Adds a page of another size, in points.
    ///
    /// # Errors
    /// [`PdfError`] when a page of that size cannot be.
    pub fn page_of(
        &mut self,
        width: f32,
        height: f32,
        draw: impl FnOnce(&mut Canvas<'_>),
    ) -> Result<(), PdfError> {
        let size = PageSettings::from_wh(width, height).ok_or_else(|| PdfError("page size".to_owned()))?;
        let mut page = self.document.start_page_with(size);
        {
            // The surface and then the page end where they are dropped.
            let mut canvas = Canvas { surface: page.surface() };
            draw(&mut canvas);
        }
        page.finish();
        Ok(())
    }

    /// The document's bytes.
    ///
    /// # Errors
    /// [`PdfError`] when they cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, PdfError> {
        self.document.finish().map_err(|error| PdfError(format!("{error:?}")))
    }
}

/// A page to draw on.
pub struct Canvas<'a> {
    surface: Surface<'a>,
}

impl Canvas<'_> {
    /// Draws a line of text with its left end at `x`, standing on `y`.
    pub fn text(&mut self, x: f32, y: f32, style: Style, line: &str) {
        let line = text::printable(line);
        let grey = if style.faint { 110 } else { 0 };
        self.surface.set_stroke(None);
        self.surface
            .set_fill(Some(Fill { paint: rgb::Color::new(grey, grey, grey).into(), ..Fill::default() }));
        let mut before = 0;
        for run in text::runs(&line, style.bold) {
            let direction =
                if run.right_to_left { TextDirection::RightToLeft } else { TextDirection::LeftToRight };
            let at = Point::from_xy(right_of(x, before, style.size), y);
            self.surface.draw_text(at, run.face.font(), style.size, run.text, false, direction);
            before = before.saturating_add(run.face.advance(run.text, run.right_to_left));
        }
    }

    /// The same with its right end at `x`.
    pub fn text_before(&mut self, x: f32, y: f32, style: Style, line: &str) {
        let width = text::advance(&text::printable(line), style.bold);
        self.text(right_of(x, width.saturating_neg(), style.size), y, style, line);
    }

    /// Draws a thin line from `from` to `to` at height `y`.
    pub fn rule(&mut self, from: f32, to: f32, y: f32) {
        let mut path = PathBuilder::new();
        path.move_to(from, y);
        path.line_to(to, y);
        let Some(path) = path.finish() else { return };
        self.surface.set_fill(None);
        let paint = rgb::Color::new(190, 190, 190).into();
        self.surface.set_stroke(Some(Stroke { paint, width: 0.7, ..Stroke::default() }));
        self.surface.draw_path(&path);
    }
}

/// The start of `line` that is at most `width` wide, with an ellipsis when it is not all of it.
#[must_use]
pub fn fit(line: &str, style: Style, width: f32) -> String {
    let line = text::printable(line);
    let fits = |line: &str| right_of(0.0, text::advance(line, style.bold), style.size) <= width;
    if fits(&line) {
        return line;
    }
    // At most this many characters are ever of interest: a page is not wider.
    let ends: Vec<usize> = line.char_indices().map(|(at, _)| at).take(400).collect();
    let shortened = |end: usize| format!("{}…", line.get(..end).unwrap_or_default().trim_end());
    let count = ends.partition_point(|end| fits(&shortened(*end)));
    shortened(count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0))
}

/// `x` and `thousandths` of `size` more.
#[expect(clippy::float_arithmetic, reason = "places on a page; money is text long before")]
fn right_of(x: f32, thousandths: i64, size: f32) -> f32 {
    // A page is at most some thousand points wide: what does not fit is far outside of it anyway.
    let bounded = thousandths.clamp(-30_000_000, 30_000_000);
    let whole = i16::try_from(bounded.div_euclid(1000)).unwrap_or(i16::MAX);
    let rest = i16::try_from(bounded.rem_euclid(1000)).unwrap_or(0);
    x + (f32::from(whole) + f32::from(rest) / 1000.0) * size
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { size: 10.0, bold: false, faint: false };

    #[test]
    fn long_lines_are_cut_to_what_fits() {
        assert_eq!(fit("Asha", STYLE, 100.0), "Asha");
        let cut = fit(&"आशा राव ".repeat(2_000), STYLE, 100.0);
        assert!(cut.ends_with('…') && cut.chars().count() < 40, "{cut}");
        assert!(right_of(0.0, text::advance(&cut, false), 10.0) <= 100.0);
    }

    #[test]
    fn a_document_of_strange_text_is_a_document() {
        let mut pdf = Pdf::new("Test");
        pdf.page(|canvas| {
            canvas.text(50.0, 50.0, STYLE, "a\u{0}b 😀 محمد \u{10FFFF} \u{202E}x");
            canvas.text_before(500.0, 80.0, Style { bold: true, ..STYLE }, "₹ 1,299.00");
            canvas.rule(50.0, 500.0, 100.0);
        })
        .unwrap();
        assert!(pdf.finish().unwrap().starts_with(b"%PDF-"));
    }
}
