//! The receipt on its page.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{Category, Paise, PhoneNumber, Source, TxnStatus, TxnType};

use super::store::Receipt;
use crate::platform::pdf::{Canvas, Pdf, PdfError, Style, fit};

const LEFT: f32 = 60.0;
const VALUES: f32 = 220.0;
const RIGHT: f32 = 535.0;
/// From where values begin to the right edge.
const ROOM: f32 = 315.0;
const TITLE: Style = Style { size: 22.0, bold: true, faint: false };
const TEXT: Style = Style { size: 11.0, bold: false, faint: false };
const STRONG: Style = Style { size: 11.0, bold: true, faint: false };
const FAINT: Style = Style { size: 9.0, bold: false, faint: true };

/// Draws it; times are those of `zone`.
///
/// # Errors
/// [`PdfError`].
pub fn draw(receipt: &Receipt, zone: Tz) -> Result<Vec<u8>, PdfError> {
    let mut pdf = Pdf::new(&format!("Receipt {}", receipt.transaction.txn_id.get()));
    pdf.page(|canvas| {
        canvas.text(LEFT, 80.0, TITLE, "Receipt");
        canvas.text_before(RIGHT, 80.0, STRONG, "GenCharge");
        canvas.text(LEFT, 98.0, FAINT, said(receipt));
        canvas.rule(LEFT, RIGHT, 112.0);
        let mut lines = Lines { canvas, next: 140 };
        for (label, value) in facts(receipt, zone) {
            lines.fact(label, &value);
        }
        lines.rule();
        for (label, amount) in amounts(receipt) {
            lines.amount(label, amount, TEXT);
        }
        lines.rule();
        let total =
            if receipt.transaction.status == TxnStatus::Success { "Total" } else { "Nothing was charged of" };
        lines.amount(total, receipt.transaction.amount, STRONG);
        if receipt.refunded.is_positive() {
            lines.amount("Given back since", receipt.refunded, TEXT);
        }
        lines.canvas.text(
            LEFT,
            790.0,
            FAINT,
            "Amounts are in Indian rupees. Made by a computer: valid without a signature.",
        );
    })?;
    pdf.finish()
}

/// Lines one below the other.
struct Lines<'a, 'b> {
    canvas: &'a mut Canvas<'b>,
    /// How far down the next one stands, in points.
    next: u16,
}

impl Lines<'_, '_> {
    fn down(&mut self, by: u16) -> f32 {
        let at = self.next;
        self.next = at.saturating_add(by);
        f32::from(at)
    }

    fn fact(&mut self, label: &str, value: &str) {
        let y = self.down(20);
        self.canvas.text(LEFT, y, Style { size: 11.0, ..FAINT }, label);
        self.canvas.text(VALUES, y, TEXT, &fit(value, TEXT, ROOM));
    }

    fn amount(&mut self, label: &str, amount: Paise, style: Style) {
        let y = self.down(20);
        self.canvas.text(LEFT, y, style, label);
        self.canvas.text_before(RIGHT, y, style, &format!("₹ {amount}"));
    }

    fn rule(&mut self) {
        let y = self.down(22);
        self.canvas.rule(LEFT, RIGHT, y);
    }
}

/// What happened, in a sentence.
const fn said(receipt: &Receipt) -> &'static str {
    let transaction = &receipt.transaction;
    match (transaction.status, transaction.category, transaction.txn_type, transaction.source) {
        (TxnStatus::Failed, ..) => "A payment that failed",
        (TxnStatus::Pending, ..) => "A payment that is pending",
        (_, _, TxnType::Credit, Source::Refund) => "Money given back",
        (_, _, TxnType::Debit, Source::Refund) => "A top-up given back",
        (_, Category::Service, ..) => "A plan for a mobile number",
        (_, _, _, Source::ReferralReward) => "A reward for a referral",
        (_, _, TxnType::Debit, _) => "Money sent from a wallet",
        (_, _, TxnType::Credit, Source::WalletTopup) => "Money put into a wallet",
        (_, _, TxnType::Credit, _) => "Cashback into a wallet",
    }
}

fn facts(receipt: &Receipt, zone: Tz) -> Vec<(&'static str, String)> {
    let transaction = &receipt.transaction;
    let time = |at: DateTime<Utc>| at.with_timezone(&zone).format("%d %b %Y, %H:%M:%S %Z").to_string();
    let number = |phone: Option<PhoneNumber>| phone.map(PhoneNumber::national);
    let rows = [
        ("Receipt number", Some(transaction.txn_id.get().to_string())),
        ("Date", Some(time(transaction.created_at))),
        ("Status", Some(transaction.status.as_str().to_owned())),
        ("Customer", receipt.name.clone()),
        ("From number", number(transaction.from_phone)),
        ("For number", number(transaction.to_phone)),
        ("Plan", receipt.plan.clone()),
        ("Offer", receipt.offer.clone()),
        ("Valid from", receipt.window.map(|(from, _)| time(from))),
        ("Valid to", receipt.window.map(|(_, to)| time(to))),
        ("Paid by", transaction.payment_method.map(|method| method.as_str().to_owned())),
        ("Payment reference", transaction.payment_transaction_id.clone()),
    ];
    rows.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

fn amounts(receipt: &Receipt) -> Vec<(&'static str, Paise)> {
    let transaction = &receipt.transaction;
    let rows = [
        ("Price", transaction.price),
        ("Discount", transaction.discount.filter(|discount| discount.is_positive())),
        ("From the wallet", transaction.wallet_amount.filter(|part| part.is_positive())),
        ("Through the payment gateway", transaction.gateway_amount.filter(|part| part.is_positive())),
    ];
    rows.into_iter().filter_map(|(label, amount)| Some((label, amount?))).collect()
}
