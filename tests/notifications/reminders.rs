//! Plans about to end.

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;

use super::own::notices;
use crate::support::app::with_settings;
use crate::support::money::{ASHA, SUBSCRIBE, recharge};

#[test]
fn a_plan_about_to_end_is_told_once_in_three_ways_whatever_runs_beside() {
    with_settings(&[("GENCHARGE_ACCESS_TOKEN_TTL", "4h")], async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 5000).await;
        app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        // It ends in 25 hours.
        sqlx::query("UPDATE subscriptions SET valid_from = $1 - interval '27 days', valid_to = $1 + interval '25 hours'")
            .bind(app.clock.now())
            .execute(&app.pool)
            .await
            .unwrap();
        let another = app.start_another().await;
        let before = notices(app, &asha, 2).await.len();
        app.clock.advance(TimeDelta::minutes(30));
        assert_eq!(app.count("SELECT count(*) FROM bill_reminders").await, 0);
        app.clock.advance(TimeDelta::minutes(31));
        let told = notices(app, &asha, before + 3).await;
        let mut kinds: Vec<_> = told[..3].iter().map(|notice| notice["type"].as_str().unwrap()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["email", "in-app", "message"]);
        assert!(told[0]["description"].as_str().unwrap().contains(" ends on "));
        // Another process starts afresh and looks at all of them again.
        assert!(another.stop().await);
        let another = app.start_another().await;
        app.clock.advance(TimeDelta::minutes(5));
        app.fund(&asha, 9).await;
        let later = notices(app, &asha, before + 4).await;
        assert_eq!(later.len(), before + 4);
        assert_eq!(app.count("SELECT count(*) FROM bill_reminders").await, 1);
        assert!(another.stop().await);
    });
}
