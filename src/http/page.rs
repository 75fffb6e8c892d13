//! Pages of lists, in the four ways the API names them.

/// One page of a list: how many rows to skip and how many to give (`None`: all of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows before the page.
    pub offset: i64,
    /// Rows on the page; `None` is everything.
    pub limit: Option<i64>,
}

impl Page {
    /// From `page` (1 is the first; 0 counts as 1) and `size` (0 is everything).
    #[must_use]
    pub fn numbered(page: u32, size: u32) -> Self {
        let size = i64::from(size);
        let before = i64::from(page.max(1)).saturating_sub(1);
        Self {
            offset: if size == 0 { 0 } else { before.saturating_mul(size) },
            limit: (size > 0).then_some(size),
        }
    }

    /// From `skip` or `offset`, and `limit` (0 is everything).
    #[must_use]
    pub fn offset(skip: u32, limit: u32) -> Self {
        Self { offset: i64::from(skip), limit: (limit > 0).then_some(i64::from(limit)) }
    }
}

/// How many pages of `size` rows `total` rows make (size 0: one, or none when there are no rows).
#[must_use]
pub fn page_count(total: i64, size: u32) -> i64 {
    match i64::from(size) {
        0 => i64::from(total > 0),
        size => total.saturating_add(size - 1).div_euclid(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_sizes() {
        assert_eq!(Page::numbered(0, 10), Page { offset: 0, limit: Some(10) });
        assert_eq!(Page::numbered(3, 10), Page { offset: 20, limit: Some(10) });
        assert_eq!(Page::numbered(3, 0), Page { offset: 0, limit: None });
        assert_eq!(page_count(0, 10), 0);
        assert_eq!(page_count(21, 10), 3);
        assert_eq!(page_count(21, 0), 1);
    }
}
