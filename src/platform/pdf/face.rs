//! The fonts in the program, and which of them has a character.

use std::sync::LazyLock;

use krilla::text::Font;
use rustybuzz::{Direction, Face as Shaper, UnicodeBuffer};

/// A font, ready to be measured and drawn.
pub(super) struct Face {
    font: Font,
    shaper: Shaper<'static>,
}

macro_rules! faces {
    ($($file:literal,)*) => {
        [$(include_bytes!(concat!("fonts/", $file, ".ttf")).as_slice(),)*]
    };
}

/// The bold one, for Latin text.
static BOLD: LazyLock<Option<Face>> =
    LazyLock::new(|| Face::read(include_bytes!("fonts/NotoSans-Bold.ttf").as_slice()));

/// In the order in which a character is looked for.
static REGULAR: LazyLock<Vec<Face>> = LazyLock::new(|| {
    let files: [&'static [u8]; 17] = faces![
        "NotoSans-Regular",
        "NotoSansDevanagari-Regular",
        "NotoSansBengali-Regular",
        "NotoSansGurmukhi-Regular",
        "NotoSansGujarati-Regular",
        "NotoSansOriya-Regular",
        "NotoSansTamil-Regular",
        "NotoSansTelugu-Regular",
        "NotoSansKannada-Regular",
        "NotoSansMalayalam-Regular",
        "NotoSansSinhala-Regular",
        "NotoSansArabic-Regular",
        "NotoSansHebrew-Regular",
        "NotoSansThai-Regular",
        "DroidSansFallback",
        "DejaVuSans-Symbols",
        "NotoSansSymbols2-Regular",
    ];
    files.into_iter().filter_map(Face::read).collect()
});

/// The fonts to look through, the preferred one first.
pub(super) fn faces(bold: bool) -> Vec<&'static Face> {
    BOLD.iter().filter(|_| bold).chain(REGULAR.iter()).collect()
}

impl Face {
    fn read(data: &'static [u8]) -> Option<Self> {
        Some(Self { font: Font::new(data.into(), 0)?, shaper: Shaper::from_slice(data, 0)? })
    }

    pub(super) fn font(&self) -> Font {
        self.font.clone()
    }

    /// Whether it has a glyph of its own for the character.
    pub(super) fn has(&self, character: char) -> bool {
        self.shaper.glyph_index(character).is_some()
    }

    /// How far `text` reaches, in parts of 1000 of the font's size.
    pub(super) fn advance(&self, text: &str, right_to_left: bool) -> i64 {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(if right_to_left { Direction::RightToLeft } else { Direction::LeftToRight });
        let shaped = rustybuzz::shape(&self.shaper, &[], buffer);
        let units: i64 = shaped.glyph_positions().iter().map(|glyph| i64::from(glyph.x_advance)).sum();
        units.saturating_mul(1000).checked_div(i64::from(self.shaper.units_per_em())).unwrap_or(0)
    }
}
