//! What the demo's customers did: drawn from a fixed seed, relative to the day of seeding.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{
    OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Random, SeededRandom, UserType,
};

use super::cast::Member;

/// Everything random comes from it.
const SEED: u64 = 2026;

/// Plans as customers buy them: id, rupees, days, the offer that may come with it.
type Sold = (i64, i64, i64, Option<i64>);
const PREPAID: [Sold; 5] = [
    (1, 299, 28, Some(1)),
    (2, 349, 28, Some(3)),
    (6, 469, 84, Some(1)),
    (3, 859, 84, Some(5)),
    (5, 100, 28, None),
];
const POSTPAID: [Sold; 3] = [(12, 449, 30, Some(1)), (11, 999, 30, Some(3)), (13, 1_199, 30, None)];
/// Data boosters.
const BOOSTERS: [Sold; 2] = [(7, 19, 1, Some(4)), (8, 161, 30, Some(4))];
/// The offer of a first recharge.
const FIRST: i64 = 2;
/// The offer that wants UPI.
const UPI_ONLY: i64 = 3;

/// Something that a customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Puts money into the own wallet, through the gateway.
    TopUp(Paise),
    /// Moves money from the own wallet to another's.
    Give(Paise, PhoneNumber),
    /// Buys a plan for a number.
    Recharge(PlanId, Option<OfferId>, PaymentMethod, PhoneNumber),
    /// Gets the last recharge's money back.
    Refund,
}

/// Who does what when.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// When.
    pub at: DateTime<Utc>,
    /// Who, by the place in the cast.
    pub who: usize,
    /// What.
    pub deed: Deed,
}

/// The whole story until `now`, in order of time.
pub fn story(cast: &[Member], now: DateTime<Utc>) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = cast.iter().flat_map(|member| life(member, cast, now)).collect();
    scenes.retain(|scene| scene.at < now);
    scenes.sort_by_key(|scene| (scene.at, scene.who));
    scenes
}

/// Draws for one customer: the same whoever else is there.
pub struct Dice(SeededRandom);

impl Dice {
    /// Those of the customer at `index`.
    pub fn of(index: usize) -> Self {
        Self(SeededRandom::new(SEED.saturating_add(u64::try_from(index).unwrap_or(0))))
    }

    /// From 0 to `most`, without it.
    pub fn below(&self, most: i64) -> i64 {
        i64::try_from(self.0.below(u64::try_from(most).unwrap_or(1))).unwrap_or(0)
    }

    /// True so many times of a hundred.
    pub fn chance(&self, percent: i64) -> bool {
        self.below(100) < percent
    }

    fn one_of<T: Copy>(&self, all: &[T]) -> Option<T> {
        let count = i64::try_from(all.len()).unwrap_or(0);
        all.get(usize::try_from(self.below(count)).unwrap_or(0)).copied()
    }
}

fn rupees(amount: i64) -> Paise {
    Paise::from_rupees(amount).unwrap_or_default()
}

fn life(member: &Member, cast: &[Member], now: DateTime<Utc>) -> Vec<Scene> {
    let dice = Dice::of(member.index);
    let mut scenes = Vec::new();
    let Some(user_type) = member.customer.user_type else { return scenes };
    let mut at = member.joined + TimeDelta::minutes(9);
    let mut add = |at, deed| scenes.push(Scene { at, who: member.index, deed });
    if dice.chance(15) {
        // The sandbox declines it.
        add(at, Deed::TopUp(Paise::new(19_202)));
    }
    // Some only look.
    if member.index % 9 == 5 {
        return scenes;
    }
    let sold: &[Sold] = if user_type == UserType::Prepaid { &PREPAID } else { &POSTPAID };
    let mut first = true;
    while at < now {
        let Some((plan, price, days, offer)) = dice.one_of(sold) else { break };
        let offer = if first { dice.chance(50).then_some(FIRST) } else { offer.filter(|_| dice.chance(60)) };
        let method = match dice.below(10) {
            _ if offer == Some(UPI_ONLY) => PaymentMethod::Upi,
            0..4 => PaymentMethod::Upi,
            4..8 => PaymentMethod::Wallet,
            8 => PaymentMethod::Card,
            _ => PaymentMethod::NetBanking,
        };
        if method == PaymentMethod::Wallet || dice.chance(25) {
            // A round sum that suffices.
            add(at, Deed::TopUp(rupees((price / 100 + 1 + dice.below(4)) * 100)));
        }
        let bought = Deed::Recharge(PlanId(plan), offer.map(OfferId), method, member.phone());
        add(at + TimeDelta::minutes(3), bought);
        if first && matches!(member.index, 3 | 18) {
            add(at + TimeDelta::hours(20), Deed::Refund);
        }
        first = false;
        // Most come back a little early: that plan waits for its turn.
        at += TimeDelta::days(days - 2) + TimeDelta::minutes(dice.below(3 * 1_440));
    }
    if user_type == UserType::Prepaid
        && dice.chance(40)
        && let Some((plan, _, _, offer)) = dice.one_of(&BOOSTERS)
    {
        let at = now - TimeDelta::hours(2 + dice.below(90));
        let offer = offer.filter(|_| dice.chance(50)).map(OfferId);
        if at > member.joined {
            add(at, Deed::Recharge(PlanId(plan), offer, PaymentMethod::Upi, member.phone()));
        }
    }
    for scene in presents(member, cast, &dice) {
        add(scene.0, scene.1);
    }
    scenes
}

/// Every sixth recharges the number of somebody who came before; others send money.
fn presents(member: &Member, cast: &[Member], dice: &Dice) -> Vec<(DateTime<Utc>, Deed)> {
    let Some(friend) = member.index.checked_sub(3).and_then(|index| cast.get(index)) else {
        return Vec::new();
    };
    let at = member.joined + TimeDelta::hours(30 + dice.below(60));
    match member.index % 6 {
        // Three places earlier in the cast stands one of the same type.
        0 => {
            let plan = if member.customer.user_type == Some(UserType::Prepaid) { 5 } else { 12 };
            vec![(at, Deed::Recharge(PlanId(plan), None, PaymentMethod::Upi, friend.phone()))]
        }
        4 => vec![
            (at, Deed::TopUp(rupees(200))),
            (at + TimeDelta::minutes(5), Deed::Give(rupees(150), friend.phone())),
        ],
        _ => Vec::new(),
    }
}
