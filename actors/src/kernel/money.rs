//! Money as whole paise. There is no float anywhere near it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in paise (1 rupee = 100 paise). May be negative: a posting's debit side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Paise(i64);

/// Why text is not an amount, or why a sum cannot be formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not ASCII digits with at most one dot (signs, exponents, spaces and other scripts' digits are refused).
    #[error("must be a decimal number such as 199 or 199.50, in ASCII digits, without sign or exponent")]
    Malformed,
    /// Finer than a paisa.
    #[error("must have at most two decimals")]
    TooPrecise,
    /// Beyond what an amount can hold.
    #[error("is too large")]
    OutOfRange,
}

impl Paise {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount accepted from text: 10 billion rupees.
    pub const MAX_INPUT: Self = Self(1_000_000_000_000);

    /// From whole paise.
    #[must_use]
    pub const fn new(paise: i64) -> Self {
        Self(paise)
    }

    /// From whole rupees; `None` when it does not fit.
    #[must_use]
    pub fn from_rupees(rupees: i64) -> Option<Self> {
        rupees.checked_mul(100).map(Self)
    }

    /// The amount in paise.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Sum, unless it overflows.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, unless it overflows.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The same amount on the other side of the ledger; `None` only for `i64::MIN`.
    #[must_use]
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }

    /// `percent` of the amount (0 to 100), rounded down to a whole paisa.
    #[must_use]
    pub fn percent(self, percent: u8) -> Option<Self> {
        self.0.checked_mul(i64::from(percent)).map(|scaled| Self(scaled.div_euclid(100)))
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// True above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// The whole rupees in it, fraction dropped (towards zero).
    #[must_use]
    pub const fn rupees(self) -> i64 {
        self.0 / 100
    }

    /// Parses rupees as people write them: `199`, `199.5`, `199.50`.
    ///
    /// # Errors
    /// [`MoneyError`] for anything else: signs, exponents, other digits, a third decimal, too large.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(MoneyError::Malformed),
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(MoneyError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 2 {
            return Err(MoneyError::TooPrecise);
        }
        let rupees: i64 = whole.parse().map_err(|_| MoneyError::OutOfRange)?;
        let paise: i64 = match fraction.len() {
            0 => 0,
            1 => fraction.parse::<i64>().map_err(|_| MoneyError::Malformed)?.saturating_mul(10),
            _ => fraction.parse().map_err(|_| MoneyError::Malformed)?,
        };
        rupees
            .checked_mul(100)
            .and_then(|whole| whole.checked_add(paise))
            .map(Self)
            .filter(|amount| *amount <= Self::MAX_INPUT)
            .ok_or(MoneyError::OutOfRange)
    }
}

/// Two decimals, always: `199.00`, `-0.05`.
impl fmt::Display for Paise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn printing_and_parsing_agree(paise in 0..=Paise::MAX_INPUT.get()) {
            let amount = Paise::new(paise);
            prop_assert_eq!(Paise::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn text_never_panics_and_never_goes_negative(text in "\\PC{0,24}") {
            if let Ok(amount) = Paise::parse(&text) {
                prop_assert!(!amount.is_negative());
            }
        }
    }

    #[test]
    fn only_plain_decimals_pass() {
        for bad in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", " 1", "1 ", "١٢", "0x1", "NaN", "1.2.3", "inf"]
        {
            assert_eq!(Paise::parse(bad), Err(MoneyError::Malformed), "{bad:?}");
        }
        assert_eq!(Paise::parse("1.005"), Err(MoneyError::TooPrecise));
        assert_eq!(Paise::parse("99999999999999999999"), Err(MoneyError::OutOfRange));
        assert_eq!(Paise::parse("10000000000.01"), Err(MoneyError::OutOfRange));
        assert_eq!(Paise::parse("199.500"), Ok(Paise::new(19_950)));
        assert_eq!(Paise::parse("0.07"), Ok(Paise::new(7)));
    }

    #[test]
    fn percent_rounds_down() {
        assert_eq!(Paise::new(29_999).percent(25), Some(Paise::new(7_499)));
    }
}
