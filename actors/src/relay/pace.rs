//! How fast the relay goes: gently while events are young, without pause when they get old.

use std::time::Duration;

/// When the next cycle may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// At once.
    None,
    /// After this time, whatever happens meanwhile.
    For(Duration),
    /// When woken or after `poll`, but not before `at_least`.
    UntilWoken {
        /// The shortest wait: collects what comes in a burst.
        at_least: Duration,
        /// The longest wait: finds batches of other processes and of crashed ones.
        poll: Duration,
    },
}

/// The pace. Payments come first: while the oldest event is younger than `gentle`, the relay works at most an eighth of
/// the time; while it is younger than `brisk`, half of it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest wait when nothing is known to wait.
    pub poll: Duration,
    /// The shortest wait between two small cycles.
    pub quick: Duration,
    /// The shortest wait after a cycle of at least `many` events: the cost per event falls with the size.
    pub steady: Duration,
    /// From so many events on a cycle is not small.
    pub many: usize,
    /// Younger than this: an eighth.
    pub gentle: Duration,
    /// Younger than this: half.
    pub brisk: Duration,
    /// The wait after a failure.
    pub failed: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(200),
            quick: Duration::from_millis(20),
            steady: Duration::from_millis(50),
            many: 64,
            gentle: Duration::from_secs(1),
            brisk: Duration::from_millis(2500),
            failed: Duration::from_secs(1),
        }
    }
}

impl Pace {
    /// The wait after a cycle that delivered `events` in `busy`; the oldest of them was of age `lag`.
    #[must_use]
    pub fn after(&self, events: usize, busy: Duration, lag: Duration) -> Pause {
        if events < self.many {
            Pause::UntilWoken { at_least: self.quick, poll: self.poll }
        } else if lag < self.gentle {
            Pause::For(self.steady.max(busy.saturating_mul(7)))
        } else if lag < self.brisk {
            Pause::For(busy)
        } else {
            Pause::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_the_faster() {
        let pace = Pace::default();
        let ms = Duration::from_millis;
        assert_eq!(pace.after(0, ms(1), ms(0)), Pause::UntilWoken { at_least: ms(20), poll: ms(200) });
        assert_eq!(pace.after(1000, ms(10), ms(300)), Pause::For(ms(70)));
        assert_eq!(pace.after(1000, ms(100), ms(300)), Pause::For(ms(700)));
        assert_eq!(pace.after(1000, ms(100), ms(1500)), Pause::For(ms(100)));
        assert_eq!(pace.after(1000, ms(100), ms(2500)), Pause::None);
    }
}
