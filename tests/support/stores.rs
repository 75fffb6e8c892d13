//! The stores beside PostgreSQL, when the suite runs on them: each test has names of its own in them.

/// A test's part of MongoDB and Redis, where their addresses are given.
pub struct Stores {
    mongodb: Option<String>,
    redis: Option<String>,
    prefix: String,
}

impl Stores {
    /// The part of the test with this name.
    pub fn of_test(name: &str) -> Self {
        let given = |setting| std::env::var(setting).ok().filter(|address: &String| !address.is_empty());
        let mongodb = given("GENCHARGE_TEST_MONGODB_URL");
        Self {
            mongodb: mongodb.map(|server| format!("{}/{name}", server.trim_end_matches('/'))),
            redis: given("GENCHARGE_TEST_REDIS_URL"),
            prefix: name.to_owned(),
        }
    }

    /// The settings that an application needs for it.
    pub fn settings(&self) -> Vec<(&str, &str)> {
        let mut settings = vec![("GENCHARGE_REDIS_PREFIX", self.prefix.as_str())];
        settings.extend(self.mongodb.as_deref().map(|url| ("MONGODB_URL", url)));
        settings.extend(self.redis.as_deref().map(|url| ("REDIS_URL", url)));
        settings
    }

    /// Removes what the test left; keys in Redis end by themselves.
    pub async fn remove(&self) {
        if let Some(url) = &self.mongodb {
            let client = mongodb::Client::with_uri_str(url).await.unwrap();
            client.default_database().unwrap().drop().await.unwrap();
        }
    }
}
