//! Phone numbers: E.164 inside, ten digits at the edge for the home region.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The region whose national numbers are accepted and shown without country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Region {
    /// India: +91, ten digits starting with 6 to 9.
    #[default]
    India,
}

/// A phone number in E.164, kept as its digits: +91 98765 43210 is `919876543210`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(i64);

/// The text is not a number that can be recharged here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a mobile number: ten digits starting with 6, 7, 8 or 9, or +91 and those ten digits")]
pub struct InvalidPhone;

const INDIA: i64 = 91;
const TEN_DIGITS: i64 = 10_000_000_000;
const FIRST_MOBILE: i64 = 6_000_000_000;

impl PhoneNumber {
    /// Parses `9876543210`, `919876543210`, `+919876543210` (and `0` before ten digits).
    ///
    /// # Errors
    /// [`InvalidPhone`] for anything else: letters, spaces, other scripts' digits, landlines.
    pub fn parse(text: &str) -> Result<Self, InvalidPhone> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        if digits.is_empty() || digits.len() > 13 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidPhone);
        }
        let national = match (text.starts_with('+'), digits.len()) {
            (false, 10) => digits,
            (false, 11) => digits.strip_prefix('0').ok_or(InvalidPhone)?,
            (_, 12) => digits.strip_prefix("91").ok_or(InvalidPhone)?,
            _ => return Err(InvalidPhone),
        };
        let value: i64 = national.parse().map_err(|_| InvalidPhone)?;
        if !(FIRST_MOBILE..TEN_DIGITS).contains(&value) {
            return Err(InvalidPhone);
        }
        Ok(Self(INDIA * TEN_DIGITS + value))
    }

    /// From E.164 digits as stored.
    ///
    /// # Errors
    /// [`InvalidPhone`] when they are not a home-region mobile number.
    pub fn from_e164(digits: i64) -> Result<Self, InvalidPhone> {
        let national = digits.checked_sub(INDIA * TEN_DIGITS).ok_or(InvalidPhone)?;
        if (FIRST_MOBILE..TEN_DIGITS).contains(&national) { Ok(Self(digits)) } else { Err(InvalidPhone) }
    }

    /// E.164 digits without the plus sign.
    #[must_use]
    pub const fn e164(self) -> i64 {
        self.0
    }

    /// As clients show it: ten digits in the home region.
    #[must_use]
    pub fn national(self) -> String {
        format!("{:010}", self.0.rem_euclid(TEN_DIGITS))
    }
}

/// Never the whole number: logs must not hold phone numbers.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber(..{:02})", self.0.rem_euclid(100))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_way_of_writing_is_the_same_number(national in FIRST_MOBILE..TEN_DIGITS) {
            let plain = PhoneNumber::parse(&national.to_string()).unwrap();
            for written in [format!("+91{national}"), format!("91{national}"), format!("0{national}")] {
                prop_assert_eq!(PhoneNumber::parse(&written), Ok(plain));
            }
            prop_assert_eq!(plain.national(), national.to_string());
            prop_assert_eq!(PhoneNumber::from_e164(plain.e164()), Ok(plain));
        }
    }

    #[test]
    fn other_numbers_are_refused() {
        for bad in [
            "",
            "+",
            "12345",
            "5876543210",
            "98765 43210",
            "+1 2025550123",
            "९८७६५४३२१०",
            "98765432100000",
            "+9876543210",
        ] {
            assert_eq!(PhoneNumber::parse(bad), Err(InvalidPhone), "{bad:?}");
        }
    }

    #[test]
    fn debug_hides_the_number() {
        let phone = PhoneNumber::parse("9876543210").unwrap();
        assert_eq!(format!("{phone:?}"), "PhoneNumber(..10)");
    }
}
