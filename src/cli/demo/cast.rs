//! Who is in the demo data besides the customers of every state and type.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{AccountStatus, PhoneNumber, UserType};

use crate::users::NewCustomer;

/// Customers who stay.
const STAYING: usize = 43;
/// The first one's number; the others' follow.
const FIRST_PHONE: i64 = 919_800_000_008;
/// The story begins this many days ago.
pub const DAYS: i64 = 58;

/// Those from the 44th on delete their accounts in the end.
const NAMES: [&str; 48] = [
    "Aarav Sharma",
    "Diya Menon",
    "Kabir Singh",
    "Ananya Bose",
    "Rohan Gupta",
    "Ishita Reddy",
    "Arjun Pillai",
    "Sana Sheikh",
    "Vikram Joshi",
    "Priya Das",
    "Nikhil Kulkarni",
    "Farah Ansari",
    "Aditya Mishra",
    "Kavya Shetty",
    "Manish Yadav",
    "Leela Thomas",
    "Harpreet Gill",
    "Neha Agarwal",
    "Suresh Babu",
    "Zoya Mirza",
    "Pooja Desai",
    "Tarun Malhotra",
    "Gauri Patil",
    "Joseph Mathew",
    "Ritu Saxena",
    "Amit Chauhan",
    "Divya Krishnan",
    "Faizan Qureshi",
    "Sneha Naidu",
    "Rahul Tiwari",
    "Meghna Sen",
    "Karan Bhatia",
    "Anjali Hegde",
    "Sameer Wagle",
    "Bhavna Trivedi",
    "Deepak Rawat",
    "Nandini Rao",
    "Omkar Jadhav",
    "Parul Jain",
    "Yusuf Pathan",
    "Shreya Ghosh",
    "Varun Kapoor",
    "Tara Fernandes",
    "Mohan Lal",
    "Rekha Prasad",
    "Gopal Verma",
    "Usha Nambiar",
    "Iqbal Hussain",
];

/// A customer of the story.
#[derive(Clone, Debug)]
pub struct Member {
    /// The place in the cast: everything about the customer is drawn from it.
    pub index: usize,
    /// As inserted; the state is that of the end.
    pub customer: NewCustomer,
    /// When the customer signed up.
    pub joined: DateTime<Utc>,
    /// Who brought the customer.
    pub brought_by: Option<PhoneNumber>,
    /// The account is deleted in the end.
    pub leaves: bool,
}

impl Member {
    /// The number.
    pub const fn phone(&self) -> PhoneNumber {
        self.customer.phone
    }
}

/// Everybody, in the order in which they signed up.
pub fn cast(now: DateTime<Utc>) -> Vec<Member> {
    let begin = now - TimeDelta::days(DAYS);
    let phone = |index: usize| {
        let offset = i64::try_from(index).ok()?;
        PhoneNumber::from_e164(FIRST_PHONE.saturating_add(offset)).ok()
    };
    let member = |(index, name): (usize, &&str)| {
        let registered = index != 40;
        let customer = NewCustomer {
            phone: phone(index)?,
            name: registered.then(|| (*name).to_owned()),
            email: registered.then(|| format!("{}@example.com", name.to_ascii_lowercase().replace(' ', "."))),
            user_type: registered.then_some(if index % 3 == 2 {
                UserType::Postpaid
            } else {
                UserType::Prepaid
            }),
            status: match index {
                9 | 20 | 31 => AccountStatus::Blocked,
                14 | 27 => AccountStatus::Deactive,
                _ => AccountStatus::Active,
            },
            referral_code: format!("DEMO{:04}", index.saturating_add(8)),
        };
        let hours = i64::try_from(index).ok()?.saturating_mul(28);
        Some(Member {
            index,
            customer,
            joined: begin + TimeDelta::hours(hours) + TimeDelta::minutes(hours % 47),
            brought_by: if index % 4 == 1 && registered { phone(index / 2) } else { None },
            leaves: index >= STAYING,
        })
    };
    NAMES.iter().enumerate().filter_map(member).collect()
}
