//! What a document store must do.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge::platform::documents::mongo::MongoDocumentStore;
use gencharge::platform::documents::postgres::PgDocumentStore;
use gencharge::platform::documents::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, as_id, moment, new_id,
};
use gencharge_actors::kernel::SystemRandom;
use serde_json::{Value, json};

use crate::support::app::with_app;
use crate::support::server;

static PAGES: Collection = Collection {
    name: "test_pages",
    required: &["title", "created_at"],
    indexes: &[&["-created_at"], &["kind", "-created_at"]],
    expires: Some("until"),
};

fn document(value: Value) -> Document {
    let Value::Object(document) = value else { panic!("not an object: {value}") };
    document
}

fn at(seconds: i64) -> String {
    moment(DateTime::<Utc>::from_timestamp(1_800_000_000 + seconds, 0).unwrap())
}

fn id(number: u32) -> String {
    format!("{number:024x}")
}

fn search(filter: Filter, sort: &'static [&'static str]) -> Search {
    Search { filter, sort, offset: 0, limit: 0 }
}

/// The last digits of the ids found.
async fn found(store: &dyn DocumentStore, search: Search) -> Vec<u32> {
    let documents = store.find(&PAGES, search).await.unwrap();
    documents.iter().map(|it| u32::from_str_radix(it["_id"].as_str().unwrap(), 16).unwrap()).collect()
}

async fn matching(store: &dyn DocumentStore, filter: Filter) -> Vec<u32> {
    let counted = store.count(&PAGES, filter.clone()).await.unwrap();
    let found = found(store, search(filter, &["_id"])).await;
    assert_eq!(counted, u64::try_from(found.len()).unwrap());
    found
}

#[test]
fn postgres_keeps_documents() {
    with_app(async |app| {
        let store = PgDocumentStore::new(app.pool.clone());
        store.prepare(&[&PAGES]).await.unwrap();
        store.prepare(&[&PAGES]).await.unwrap();
        suite(&store).await;
        let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap();
        lives_end(&store, now).await;
    });
}

#[test]
fn mongodb_keeps_documents() {
    let Some(server) = server("GENCHARGE_TEST_MONGODB_URL") else { return };
    actix_web::rt::System::new().block_on(async {
        let url = format!("{}/gencharge_it_{}", server.trim_end_matches('/'), std::process::id());
        let store = MongoDocumentStore::new(&url, vec![&PAGES]).await.unwrap();
        store.prepare().await.unwrap();
        suite(&store).await;
        // Made again on what is there, as the next start does.
        MongoDocumentStore::new(&url, vec![&PAGES]).await.unwrap().prepare().await.unwrap();
        let client = mongodb::Client::with_uri_str(&url).await.unwrap();
        client.default_database().unwrap().drop().await.unwrap();
    });
}

/// Every promise of the port; the collection is empty before.
async fn suite(store: &dyn DocumentStore) {
    writes(store).await;
    filters(store).await;
    pages(store).await;
    changes(store).await;
    bad_input(store).await;
}

async fn writes(store: &dyn DocumentStore) {
    let pages = vec![
        document(
            json!({"_id": id(1), "title": "Alpha_1", "created_at": at(1), "kind": "a", "n": 9, "tags": ["x", {"y": null}]}),
        ),
        document(json!({"_id": id(2), "title": "beta 100%", "created_at": at(2), "kind": "b", "n": 10})),
        document(
            json!({"_id": id(3), "title": "Gamma (.*)", "created_at": at(3), "kind": "a", "n": -2.5, "read": false}),
        ),
        document(
            json!({"_id": id(4), "title": "δέλτα", "created_at": at(4), "kind": null, "read": true, "big": 9_007_199_254_740_993_i64}),
        ),
    ];
    assert_eq!(store.insert(&PAGES, pages.clone()).await.unwrap(), 4);
    assert_eq!(store.insert(&PAGES, Vec::new()).await.unwrap(), 0);
    // Again, with one changed and one new: those that exist stay as they are.
    let mut again = pages.clone();
    again[0].insert("title".to_owned(), "changed".into());
    again.push(document(
        json!({"_id": id(5), "title": "Epsilon", "created_at": at(4), "kind": "c", "n": "10"}),
    ));
    assert_eq!(store.insert(&PAGES, again).await.unwrap(), 1);
    let all = store.find(&PAGES, search(Filter::Everything, &["_id"])).await.unwrap();
    assert_eq!(all[..4], pages[..], "documents come back as they were given");
}

async fn filters(store: &dyn DocumentStore) {
    let equal = |field, value: Value| matching(store, Filter::Equal(field, value));
    assert_eq!(equal("kind", "a".into()).await, [1, 3]);
    assert_eq!(equal("kind", Value::Null).await, [4]);
    assert_eq!(equal("read", Value::Null).await, [1, 2, 5], "absent counts as null");
    assert_eq!(equal("read", false.into()).await, [3]);
    assert_eq!(equal("n", 10.into()).await, [2], "a number is not its text");
    assert_eq!(equal("n", "10".into()).await, [5]);
    assert_eq!(equal("_id", id(2).into()).await, [2]);
    assert_eq!(equal("_id", "nobody".into()).await, [0_u32; 0]);
    assert_eq!(equal("kind", "{\"$ne\": 1}".into()).await, [0_u32; 0]);
    assert_eq!(equal("kind", "a\0".into()).await, [0_u32; 0]);
    let one_of = |field, values: Vec<Value>| matching(store, Filter::OneOf(field, values));
    assert_eq!(one_of("kind", vec!["b".into(), Value::Null]).await, [2, 4]);
    assert_eq!(one_of("_id", vec![id(5).into(), id(1).into(), "x".into()]).await, [1, 5]);
    assert_eq!(one_of("kind", Vec::new()).await, [0_u32; 0]);
    let within =
        |field, from: Option<Value>, to: Option<Value>| matching(store, Filter::Within(field, from, to));
    assert_eq!(within("created_at", Some(at(2).into()), Some(at(4).into())).await, [2, 3]);
    assert_eq!(within("created_at", Some(at(4).into()), None).await, [4, 5]);
    assert_eq!(within("n", Some(9.into()), None).await, [1, 2], "text is not above every number");
    assert_eq!(within("n", None, Some(9.5.into())).await, [1, 3]);
    assert_eq!(within("n", None, None).await, [1, 2, 3, 5]);
    assert_eq!(within("_id", Some(id(3).into()), None).await, [3, 4, 5]);
    let contains = |text: &str| matching(store, Filter::Contains("title", text.to_owned()));
    assert_eq!(contains("A").await, [1, 2, 3]);
    assert_eq!(contains("0%").await, [2]);
    assert_eq!(contains("A_1").await, [1]);
    assert_eq!(contains(".*").await, [3], "text is no pattern");
    assert_eq!(contains("").await, [1, 2, 3, 4, 5]);
    assert_eq!(matching(store, Filter::Contains("n", "1".to_owned())).await, [5], "only text contains text");
    let (a, late) =
        (Filter::Equal("kind", "a".into()), Filter::Within("created_at", Some(at(3).into()), None));
    assert_eq!(matching(store, Filter::All(vec![a.clone(), late.clone()])).await, [3]);
    assert_eq!(matching(store, Filter::Any(vec![a, late])).await, [1, 3, 4, 5]);
    assert_eq!(matching(store, Filter::All(Vec::new())).await, [1, 2, 3, 4, 5]);
    assert_eq!(matching(store, Filter::Any(Vec::new())).await, [0_u32; 0]);
}

async fn pages(store: &dyn DocumentStore) {
    let all = |sort| found(store, search(Filter::Everything, sort));
    assert_eq!(all(&["-created_at"]).await, [5, 4, 3, 2, 1]);
    assert_eq!(all(&["created_at"]).await, [1, 2, 3, 4, 5]);
    assert_eq!(all(&["kind", "-created_at"]).await, [4, 3, 1, 2, 5], "null comes first");
    let no_text =
        Filter::Any(vec![Filter::Within("n", Some((-9).into()), None), Filter::Equal("n", Value::Null)]);
    assert_eq!(found(store, search(no_text, &["-n"])).await, [2, 1, 3, 4], "numbers by value, then null");
    let page = |offset, limit| Search { filter: Filter::Everything, sort: &["-created_at"], offset, limit };
    assert_eq!(found(store, page(1, 2)).await, [4, 3]);
    assert_eq!(found(store, page(4, 2)).await, [1]);
    assert_eq!(found(store, page(9, 2)).await, [0_u32; 0]);
}

async fn changes(store: &dyn DocumentStore) {
    let a = || Filter::Equal("kind", "a".into());
    let set = document(json!({"read": true, "extra": {"by": 7}, "title": "set"}));
    assert_eq!(store.update(&PAGES, a(), set).await.unwrap(), 2);
    let changed = store.find(&PAGES, search(a(), &["_id"])).await.unwrap();
    assert_eq!(changed[0]["extra"], json!({"by": 7}));
    assert_eq!((&changed[0]["title"], &changed[0]["n"]), (&json!("set"), &json!(9)), "the rest stays");
    assert_eq!(store.update(&PAGES, Filter::Any(Vec::new()), Document::new()).await.unwrap(), 0);
    assert_eq!(store.delete(&PAGES, a()).await.unwrap(), 2);
    assert_eq!(matching(store, Filter::Everything).await, [2, 4, 5]);
    assert_eq!(store.delete(&PAGES, Filter::Everything).await.unwrap(), 3);
}

async fn bad_input(store: &dyn DocumentStore) {
    let refused = async |value: Value| {
        let error = store.insert(&PAGES, vec![document(value)]).await.unwrap_err();
        assert!(matches!(error, DocumentError::Refused(_)), "{error}");
    };
    refused(json!({"title": "no id", "created_at": at(1)})).await;
    refused(json!({"_id": "short", "title": "t", "created_at": at(1)})).await;
    refused(json!({"_id": id(9), "created_at": at(1)})).await;
    let operator = Filter::Equal("kind", json!({"$ne": "a"}));
    assert!(matches!(store.count(&PAGES, operator).await, Err(DocumentError::Refused(_))));
    for set in [json!({"_id": id(8)}), json!({"a.b": 1}), json!({"$set": {"title": "t"}})] {
        let update = store.update(&PAGES, Filter::Everything, document(set)).await;
        assert!(matches!(update, Err(DocumentError::Refused(_))), "{update:?}");
    }
    assert_eq!(matching(store, Filter::Everything).await, [0_u32; 0]);
}

/// For stores that are told to end lives.
async fn lives_end(store: &dyn DocumentStore, now: DateTime<Utc>) {
    let until = |number, until: Value| {
        document(json!({"_id": id(number), "title": "t", "created_at": at(0), "until": until}))
    };
    let pages =
        vec![until(1, at(-2).into()), until(2, at(-1).into()), until(3, at(1).into()), until(4, Value::Null)];
    store.insert(&PAGES, pages).await.unwrap();
    assert_eq!(store.expire(&PAGES, now, 1).await.unwrap(), 1);
    assert_eq!(store.expire(&PAGES, now, 10).await.unwrap(), 1);
    assert_eq!(store.expire(&PAGES, now, 10).await.unwrap(), 0);
    assert_eq!(matching(store, Filter::Everything).await, [3, 4]);
    assert_eq!(store.expire(&PAGES, now + TimeDelta::days(1), 10).await.unwrap(), 1);
}

#[test]
fn ids_grow_with_time() {
    let early = new_id(DateTime::from_timestamp(1_800_000_000, 0).unwrap(), &SystemRandom);
    let late = new_id(DateTime::from_timestamp(1_800_000_001, 0).unwrap(), &SystemRandom);
    assert!(early < late);
    assert_eq!(as_id(&early.to_uppercase()), Some(early));
    assert_eq!(as_id("65a1b2c3d4e5f6071829304"), None);
    assert_eq!(as_id("g5a1b2c3d4e5f60718293041"), None);
}
