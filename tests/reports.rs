//! Reports over HTTP: every one, in every form it takes.

use std::io::{Cursor, Read as _};

use gencharge::app::openapi_document;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, with_app};

const ADMIN: &str = "9000000001";
const CUSTOMER: &str = "9800000001";

/// The path of each report with what is documented of it.
fn reports() -> Vec<(String, Value)> {
    let document = openapi_document();
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .filter(|(path, _)| path.starts_with("/reports/"))
        .map(|(path, item)| (path.clone(), item.clone()))
        .collect()
}

/// A value that a parameter of this schema takes.
fn sample(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    match (schema["type"].as_str().unwrap(), schema["format"].as_str(), schema["pattern"].as_str()) {
        ("array", ..) => json!([sample(&schema["items"])]),
        ("integer", ..) => json!(1),
        ("number", ..) => json!(1.5),
        ("boolean", ..) => json!(true),
        (_, Some("date-time"), _) => json!("2026-01-31T10:00:00+05:30"),
        (_, Some("uuid"), _) => json!("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        (_, _, Some(_)) => json!("9876543210"),
        _ => json!("x%_'\\"),
    }
}

async fn recharges(app: &TestApp, token: &str, count: usize) {
    for index in 0..count {
        let request = app
            .request(Method::POST, "/recharge/subscribe")
            .bearer_auth(token)
            .header("Idempotency-Key", format!("report-{index}"))
            .json(&json!({ "phone_number": CUSTOMER, "plan_id": 1, "payment_method": "UPI" }));
        app.send(request).await.ok();
    }
}

#[test]
fn every_report_answers_by_get_and_by_post_with_every_filter_and_order_that_it_documents() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let customer = app.sign_in(CUSTOMER).await.access;
        recharges(app, &customer, 2).await;
        let reports = reports();
        assert_eq!(reports.len(), 13);
        for (path, item) in reports {
            let (reader, stranger) =
                if path.starts_with("/reports/me/") { (&customer, &admin) } else { (&admin, &customer) };
            assert_eq!(app.get(&path, "").await.problem(), "not_authenticated", "{path}");
            assert_eq!(app.get(&path, stranger).await.problem(), "forbidden", "{path}");
            let all = app.get(&path, reader).await;
            let total = all.headers["x-total-count"].to_str().unwrap().to_owned();
            let rows = all.ok();
            assert_eq!(rows.as_array().unwrap().len().to_string(), total, "{path}");
            assert_eq!(app.post(&path, reader, json!({})).await.ok(), rows, "{path}");
            let columns = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]
                ["properties"]
                .as_object()
                .unwrap();
            for row in rows.as_array().unwrap() {
                assert!(row.as_object().unwrap().keys().eq(columns.keys()), "{path}: {row}");
            }
            for parameter in item["get"]["parameters"].as_array().unwrap() {
                let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
                let words = schema["enum"].as_array().cloned().unwrap_or_else(|| vec![sample(schema)]);
                for value in words {
                    let answer = app.post(&path, reader, json!({ name: value })).await;
                    assert_eq!(answer.status, 200, "{path} {name} {value}: {answer:?}");
                }
                let answer = app.get(&format!("{path}?{name}=%00none"), reader).await;
                assert_eq!(answer.problem(), "invalid_input", "{path} {name}");
                assert_eq!(answer.json["errors"][0]["field"], name);
            }
        }
    });
}

#[test]
fn filters_pages_and_orders_of_the_transactions_report() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let customer = app.sign_in(CUSTOMER).await.access;
        recharges(app, &customer, 3).await;
        let path = "/reports/transactions-report";
        let all =
            app.get(&format!("{path}?sources=recharge&order_by=txn_id&order_dir=asc"), &admin).await.ok();
        let ids: Vec<i64> =
            all.as_array().unwrap().iter().map(|row| row["txn_id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), 3);
        assert!(ids.is_sorted());
        assert_eq!(all[0]["amount"], "299.00");
        assert_eq!(all[0]["to_phone_number"], CUSTOMER);
        let page = app
            .get(&format!("{path}?sources=recharge&order_by=txn_id&order_dir=asc&limit=1&offset=1"), &admin)
            .await;
        assert_eq!(page.headers["x-total-count"], "3");
        assert_eq!(page.ok()[0]["txn_id"], ids[1]);
        // Without a limit, what is left out is still left out.
        let rest = app.get(&format!("{path}?sources=recharge&offset=1"), &admin).await.ok();
        assert_eq!(rest.as_array().unwrap().len(), 2);
        let by_id = format!("{path}?txn_ids={}&txn_ids={}", ids[0], ids[2]);
        assert_eq!(app.get(&by_id, &admin).await.ok().as_array().unwrap().len(), 2);
        let count =
            async |filters: Value| app.post(path, &admin, filters).await.ok().as_array().unwrap().len();
        assert_eq!(
            count(json!({ "sources": ["recharge"], "min_amount": 299, "max_amount": "299.00" })).await,
            3
        );
        assert_eq!(count(json!({ "sources": ["recharge"], "min_amount": 299.01 })).await, 0);
        assert_eq!(count(json!({ "sources": ["recharge"], "payment_methods": ["Card", "UPI"] })).await, 3);
        assert_eq!(count(json!({ "sources": ["recharge"], "to_phone_numbers": [CUSTOMER] })).await, 3);
        assert_eq!(count(json!({ "sources": ["recharge"], "created_to": "2020-01-01" })).await, 0);
        let own = app.get("/reports/me/transactions-report?sources=recharge", &customer).await.ok();
        assert_eq!(own.as_array().unwrap().len(), 3);
    });
}

#[test]
fn downloads_are_files_that_programs_can_open_and_formulas_in_names_stay_text() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        sqlx::query("UPDATE users SET name = '=1+1 & <\"रुपया ₹\">, x' WHERE phone = 919800000001")
            .execute(&app.pool)
            .await
            .unwrap();
        let path = "/reports/users-report?phone_numbers=9800000001";
        let csv = app.get(&format!("{path}&export_type=csv"), &admin).await;
        assert_eq!(csv.headers["content-disposition"], "attachment; filename=users_report.csv");
        assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
        let mut lines = csv::Reader::from_reader(csv.text.trim_start_matches('\u{feff}').as_bytes());
        assert_eq!(lines.headers().unwrap().get(1), Some("name"));
        let line = lines.records().next().unwrap().unwrap();
        assert_eq!(line.get(1), Some("'=1+1 & <\"रुपया ₹\">, x"));
        assert_eq!(line.get(3), Some("9800000001"));

        let request = app.request(Method::GET, &format!("{path}&export_type=excel")).bearer_auth(&admin);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=users_report.xlsx");
        let bytes = answer.bytes().await.unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut sheet = String::new();
        archive.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
        assert!(sheet.contains("'=1+1 &amp; &lt;\"रुपया ₹\"&gt;, x"), "{sheet}");
        for part in ["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels"] {
            archive.by_name(part).unwrap();
        }

        let request = app.request(Method::GET, &format!("{path}&export_type=pdf")).bearer_auth(&admin);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/pdf");
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 2_000);
        if let Ok(path) = std::env::var("GENCHARGE_TEST_KEEP_PDF") {
            std::fs::write(path, bytes).unwrap();
        }
    });
}
