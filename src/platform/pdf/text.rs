//! Lines of text in any script: cut into runs of one direction and one font, in the order in which they are seen.

use unicode_bidi::BidiInfo;

use super::face::{Face, faces};

/// A piece of a line that one font can draw.
pub(super) struct Run<'a> {
    pub(super) text: &'a str,
    pub(super) face: &'static Face,
    pub(super) right_to_left: bool,
}

/// Text without what no line can hold: control characters become spaces.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The runs of a line, from left to right.
pub(super) fn runs(line: &str, bold: bool) -> Vec<Run<'_>> {
    let faces = faces(bold);
    let bidi = BidiInfo::new(line, None);
    let mut seen = Vec::new();
    for paragraph in &bidi.paragraphs {
        let (levels, ranges) = bidi.visual_runs(paragraph, paragraph.range.clone());
        for range in ranges {
            let right_to_left = levels.get(range.start).is_some_and(|level| level.is_rtl());
            let mut part: Vec<Run<'_>> = by_font(line.get(range).unwrap_or_default(), &faces)
                .into_iter()
                .map(|(text, face)| Run { text, face, right_to_left })
                .collect();
            if right_to_left {
                part.reverse();
            }
            seen.extend(part);
        }
    }
    seen
}

/// Cuts where another font is needed. What belongs to its neighbours (spaces, signs, joiners) stays with the font before
/// it, if that has it.
fn by_font<'a>(text: &'a str, faces: &[&'static Face]) -> Vec<(&'a str, &'static Face)> {
    let mut parts: Vec<(usize, &'static Face)> = Vec::new();
    for (at, character) in text.char_indices() {
        let current = parts.last().map(|(_, face)| *face);
        let joins = matches!(character, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}');
        let neutral = character == ' ' || character.is_ascii_punctuation();
        let stays = current.filter(|face| joins || (neutral && face.has(character)));
        let found = stays.or_else(|| faces.iter().copied().find(|face| face.has(character)));
        let Some(face) = found.or(current).or(faces.first().copied()) else { continue };
        if current.is_none_or(|current| !std::ptr::eq(current, face)) {
            parts.push((at, face));
        }
    }
    let ends = parts.iter().skip(1).map(|(at, _)| *at).chain([text.len()]).collect::<Vec<_>>();
    parts.into_iter().zip(ends).filter_map(|((from, face), to)| Some((text.get(from..to)?, face))).collect()
}

/// How far a line reaches, in parts of 1000 of its size.
pub(super) fn advance(line: &str, bold: bool) -> i64 {
    runs(line, bold).iter().map(|run| run.face.advance(run.text, run.right_to_left)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<(&str, bool)> {
        runs(line, false).iter().map(|run| (run.text, run.right_to_left)).collect()
    }

    #[test]
    fn a_line_is_cut_where_script_or_direction_changes() {
        assert_eq!(texts("Asha Rao"), [("Asha Rao", false)]);
        assert_eq!(texts("आशा Rao"), [("आशा ", false), ("Rao", false)]);
        assert_eq!(texts("Ali محمد"), [("Ali ", false), ("محمد", true)]);
        // The paragraph's direction is that of its first letter.
        assert_eq!(texts("محمد 12"), [("12", false), ("محمد ", true)]);
        assert_eq!(texts("王小明"), [("王小明", false)]);
    }

    #[test]
    fn every_script_has_a_font_and_strange_text_does_no_harm() {
        for text in [
            "अ", "অ", "ਅ", "અ", "ଅ", "அ", "అ", "ಅ", "അ", "අ", "ع", "א", "ก", "中", "가", "あ", "Ж", "₹", "😀",
        ] {
            let character = text.chars().next().unwrap();
            let runs = runs(text, false);
            assert!(runs.len() == 1 && runs[0].face.has(character), "{text}");
            assert!(advance(text, false) > 0, "{text}");
        }
        for text in [
            "",
            "\u{202E}abc",
            "\u{200D}",
            "a\u{0301}\u{0301}\u{0301}",
            "👨\u{200D}👩\u{200D}👧",
            "\u{10FFFF}",
            "אב\u{2067}c",
        ] {
            let runs = runs(text, true);
            let bytes: usize = runs.iter().map(|run| run.text.len()).sum();
            assert_eq!(bytes, text.len(), "{text:?}");
        }
        assert_eq!(printable("a\nb\0c"), "a b c");
    }
}
