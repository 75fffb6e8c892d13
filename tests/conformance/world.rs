//! Who calls, and what the table's words between < and > stand for: each is made anew, through the API.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::table::{Body, Operation, Who};
use crate::support::app::{Answer, SignedIn, TestApp};
use crate::support::eventually;

/// The demo's first customer, and its first administrator.
pub const CUSTOMER: &str = "9800000001";
const SUPER_ADMIN: &str = "9000000001";
/// A picture of one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// An application with something in every list.
pub struct World<'a> {
    pub app: &'a TestApp,
    made: u32,
    tokens: HashMap<String, String>,
    code: String,
    databases: Vec<String>,
}

impl<'a> World<'a> {
    /// Adds to the demo data what no list should lack.
    pub async fn new(app: &'a TestApp) -> Self {
        let mut world =
            Self { app, made: 0, tokens: HashMap::new(), code: String::new(), databases: Vec::new() };
        let (customer, root) = (world.token("customer").await, world.token("super admin").await);
        world
            .make(&customer, "/recharge/wallet/topup", json!({ "amount": 2000, "payment_method": "UPI" }))
            .await;
        let recharge = json!({ "phone_number": CUSTOMER, "plan_id": 1, "payment_method": "Wallet", "source": "recharge" });
        world.make(&customer, "/recharge/subscribe", recharge).await;
        let instrument = json!({ "payment_type": "upi", "credentials": { "upi_id": "asha@okbank" } });
        let saved =
            app.request(Method::PUT, "/autopay/autopay_credentials").bearer_auth(&customer).json(&instrument);
        app.send(saved).await.ok();
        for thing in ["new autopay", "new contact", "new content", "new backup", "own notice"] {
            world.value(thing).await;
        }
        let gone = world.value("new user").await;
        let deletion = app.request(Method::DELETE, &format!("/user/admin/{gone}")).bearer_auth(&root);
        app.send(deletion).await.ok();
        world
            .make(
                &root,
                "/notification/announcement",
                json!({ "description": "To all", "recipient_type": "all_admin" }),
            )
            .await;
        world
    }

    /// Drops the databases that were made.
    pub async fn end(self) {
        let root = self.tokens["super admin"].clone();
        for database in &self.databases {
            let dropped = async || {
                let backups = self.app.get("/backup/backup/", &root).await.ok();
                let told = backups.to_string().contains(&format!("\"{database}\""));
                told.then_some(())
            };
            eventually("the end of a restore", Duration::from_secs(60), dropped).await;
            let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
            sqlx::query(AssertSqlSafe(drop)).execute(&self.app.pool).await.unwrap();
        }
    }

    /// The token of whoever may call `operation`.
    pub async fn caller(&mut self, operation: &Operation) -> Option<String> {
        let caller = match (&operation.caller, &operation.who) {
            (_, Who::Anyone) => return None,
            (Some(caller), _) => caller.trim_matches(['<', '>']).to_owned(),
            (None, Who::Customer | Who::SignedIn) => "customer".to_owned(),
            (None, Who::Permission(permission)) => permission.clone(),
        };
        Some(self.token(&caller).await)
    }

    /// A token of `caller`: one of the words below, or a permission such as `Users:read`, of an administrator who has nothing
    /// else.
    pub async fn token(&mut self, caller: &str) -> String {
        if let Some(known) = self.tokens.get(caller) {
            return known.clone();
        }
        let token = match caller {
            "new customer" => return self.new_customer().await.1.access,
            "paused customer" => {
                let token = self.new_customer().await.1.access;
                self.make(&token, "/user/me/deactivate", Value::Null).await;
                return token;
            }
            "customer" => self.app.sign_in(CUSTOMER).await.access,
            "super admin" => self.app.sign_in(SUPER_ADMIN).await.access,
            permission => self.administrator_with(permission).await,
        };
        self.tokens.insert(caller.to_owned(), token.clone());
        token
    }

    async fn administrator_with(&mut self, permission: &str) -> String {
        let root = Box::pin(self.token("super admin")).await;
        let mut grants = Vec::new();
        if let Some((resource, action)) = permission.split_once(':') {
            let all = self.app.get("/role/permissions/all", &root).await.ok();
            let row = all.as_array().unwrap().iter().find(|row| row["resource"] == resource);
            let row = row.unwrap_or_else(|| panic!("there is no {resource}"));
            grants.push(json!({ "permission_id": row["permission_id"], action: true }));
        }
        let name = self.unused("Only ");
        self.make(&root, "/role/", json!({ "role_name": name, "permissions": grants })).await;
        let phone = self.unused_phone();
        self.new_admin(&phone, &name).await;
        self.app.sign_in(&phone).await.access
    }

    async fn new_admin(&mut self, phone: &str, role: &str) -> Value {
        let root = Box::pin(self.token("super admin")).await;
        let email = format!("{}@example.com", self.unused("admin"));
        let body = json!({ "name": "Nila Das", "email": email, "phone_number": phone, "role_name": role });
        self.make(&root, "/admin/", body).await
    }

    async fn new_customer(&mut self) -> (String, SignedIn) {
        let phone = self.unused_phone();
        let tokens = self.app.sign_up(&phone).await;
        (phone, tokens)
    }

    fn unused(&mut self, word: &str) -> String {
        self.made += 1;
        format!("{word}{}", self.made)
    }

    fn unused_phone(&mut self) -> String {
        self.made += 1;
        format!("97{:08}", self.made)
    }

    async fn make(&self, token: &str, path: &str, body: Value) -> Value {
        self.app.post(path, token, body).await.ok()
    }

    async fn make_as_root(&mut self, path: &str, body: Value, id: &str) -> String {
        let root = Box::pin(self.token("super admin")).await;
        plain(&self.make(&root, path, body).await[id])
    }

    /// `text` with every word between < and > replaced.
    pub async fn filled(&mut self, text: &str) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('<') {
            let (word, behind) = after.split_once('>').unwrap();
            filled.push_str(before);
            filled.push_str(&self.value(word).await);
            rest = behind;
        }
        filled + rest
    }

    async fn value(&mut self, word: &str) -> String {
        let (name, month) = (self.unused("Thing "), self.app.clock.now() + TimeDelta::days(30));
        match word {
            "new phone" => self.unused_phone(),
            "new email" => format!("{}@example.com", self.unused("somebody")),
            "new name" => name,
            "a month on" => month.to_rfc3339(),
            "a month on, naive" => month.naive_utc().format("%Y-%m-%dT%H:%M:%S").to_string(),
            "its code" => self.code.clone(),
            "phone signing up" => {
                let phone = self.unused_phone();
                let answer = self.make("", "/auth/signup", json!({ "phone_number": phone })).await;
                self.code = plain(&answer["dev_otp"]);
                phone
            }
            "phone of new customer" => self.new_customer().await.0,
            "phone signing in" => {
                let phone = self.new_customer().await.0;
                self.code = self.app.login_code(&phone).await;
                phone
            }
            "new refresh token" => self.new_customer().await.1.refresh,
            "new user" => {
                let token = self.new_customer().await.1.access;
                plain(&self.app.get("/user/me", &token).await.ok()["user_id"])
            }
            "blocked user" => {
                let user = Box::pin(self.value("new user")).await;
                self.make_as_root(&format!("/user/admin/block/{user}"), Value::Null, "user_id").await
            }
            "referral code" => {
                let token = self.token("customer").await;
                plain(&self.app.get("/user/me", &token).await.ok()["referral_code"])
            }
            "new admin" => {
                let phone = self.unused_phone();
                plain(&self.new_admin(&phone, "Viewer").await["admin_id"])
            }
            "phone of new admin" => {
                let phone = self.unused_phone();
                self.new_admin(&phone, "Viewer").await;
                phone
            }
            "new role" => self.make_as_root("/role/", json!({ "role_name": name }), "role_id").await,
            "new group" => {
                self.make_as_root("/plans/plan-group", json!({ "group_name": name }), "group_id").await
            }
            "new plan" => {
                let plan = json!({ "plan_name": name, "plan_type": "prepaid", "price": 10, "validity": 28 });
                self.make_as_root("/plans/plan", plan, "plan_id").await
            }
            "new offer type" => {
                self.make_as_root("/offers/offer_type", json!({ "offer_type_name": name }), "offer_type_id")
                    .await
            }
            "new offer" => {
                self.make_as_root("/offers/offers", json!({ "offer_name": name }), "offer_id").await
            }
            "new backup" => {
                let body = json!({ "backup_data": name, "description": "", "tables": [{ "table_name": "plan_groups" }] });
                let root = self.token("super admin").await;
                let free = async || {
                    let made = self.app.post("/backup/backup/create", &root, body.clone()).await;
                    (made.status != 409).then_some(made)
                };
                let made = eventually("the end of the job before", Duration::from_secs(60), free).await;
                plain(&made.ok()["backup_id"])
            }
            word => self.own_value(word).await,
        }
    }

    /// What belongs to the demo's customer, or to nobody.
    async fn own_value(&mut self, word: &str) -> String {
        let customer = self.token("customer").await;
        match word {
            "new autopay" => {
                let plan: i64 = Box::pin(self.value("new plan")).await.parse().unwrap();
                let due = Box::pin(self.value("a month on")).await;
                let rule = json!({ "plan_id": plan, "phone_number": CUSTOMER, "tag": "regular", "next_due_date": due });
                plain(&self.make(&customer, "/autopay/create_autopay", rule).await["autopay_id"])
            }
            "own notice" => {
                self.make(
                    &customer,
                    "/recharge/wallet/topup",
                    json!({ "amount": 1, "payment_method": "UPI" }),
                )
                .await;
                let own = async || {
                    let notices = self.app.get("/notification/my", &customer).await.ok();
                    let own =
                        notices.as_array().unwrap().iter().find(|notice| notice["recipient_type"] == "user");
                    own.map(|notice| plain(&notice["_id"]))
                };
                eventually("a notice", Duration::from_secs(10), own).await
            }
            "new contact" => {
                let email = format!("{}@example.com", self.unused("ravi"));
                let form = json!({ "name": "Ravi", "email": email, "description": "Where is my plan?" });
                plain(&self.make("", "/contact-form/contacts/", form).await["_id"])
            }
            "new content" => {
                let root = self.token("super admin").await;
                let form =
                    Form::new().text("content_type", "FAQ").text("title", "How?").part("image", picture());
                let request =
                    self.app.request(Method::POST, "/content/admin").bearer_auth(root).multipart(form);
                plain(&self.app.send(request).await.ok()["_id"])
            }
            "new database" => {
                let here: String = sqlx::query_scalar("SELECT current_database()::text")
                    .fetch_one(&self.app.pool)
                    .await
                    .unwrap();
                let name = self.unused(&format!("{here}_c"));
                self.databases.push(name.clone());
                name
            }
            word => panic!("nothing is called {word}"),
        }
    }

    /// Calls `operation` in this way and form. One backup or restore is done at a time: another waits for its turn.
    pub async fn call(
        &mut self,
        operation: &Operation,
        way: &(String, String),
        body: Option<&Body>,
    ) -> Answer {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let databases = self.databases.len();
            let answer = self.call_once(operation, way, body).await;
            if answer.status != 409 || operation.domain != "Backup" || Instant::now() > deadline {
                return answer;
            }
            self.databases.truncate(databases);
        }
    }

    async fn call_once(
        &mut self,
        operation: &Operation,
        (method, path): &(String, String),
        body: Option<&Body>,
    ) -> Answer {
        let token = self.caller(operation).await;
        let path = self.whole(operation, path).await;
        let mut request = self.app.request(method.parse().unwrap(), &path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let request = match body {
            None => request,
            Some(Body::Json(text)) => {
                request.header("content-type", "application/json").body(self.filled(text).await)
            }
            Some(Body::Form(text)) => request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(self.filled(text).await),
            Some(Body::Multipart(text)) => request.multipart(form(text)),
            Some(Body::Cookie(text)) => request.header("cookie", self.filled(text).await),
            Some(Body::Bearer(text)) => request.bearer_auth(self.filled(text).await),
        };
        self.app.send(request).await
    }

    /// The path with its parts in place.
    async fn whole(&mut self, operation: &Operation, path: &str) -> String {
        let mut whole = path.to_owned();
        for (name, value) in &operation.parts {
            let slot = format!("{{{name}}}");
            if whole.contains(&slot) {
                whole = whole.replace(&slot, &self.filled(value).await);
            }
        }
        assert!(!whole.contains('{'), "{whole}: the table does not say what stands there");
        whole
    }
}

fn form(text: &str) -> Form {
    text.split('&').fold(Form::new(), |form, pair| {
        let (name, value) = pair.split_once('=').unwrap();
        if value == "<picture>" {
            form.part(name.to_owned(), picture())
        } else {
            form.text(name.to_owned(), value.to_owned())
        }
    })
}

fn picture() -> Part {
    Part::bytes(GIF).file_name("picture.gif").mime_str("image/gif").unwrap()
}

fn plain(value: &Value) -> String {
    assert!(!value.is_null(), "nothing is there");
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
