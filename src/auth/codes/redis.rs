//! Codes in Redis: a hash for each number, changed by scripts, which nothing interrupts. Times are in milliseconds and
//! come from the caller; a hash goes away by itself when neither its code nor its hour counts any more.

use chrono::DateTime;
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::{PhoneNumber, UserType};
use redis::Script;

use super::{COOL_DOWN, Claim, CodeError, CodeStore, HOUR, Issued, MAX_TRIES, NewCode, Taken, wait};
use crate::platform::redis::Redis;

/// ARGV: now, cool-down, hour, per hour, purpose, hash, expiry, user type. Nothing when the code is kept; else when the
/// last one was sent, when its hour began, and 1 when the hour is full.
const ISSUE: &str = "
local now = tonumber(ARGV[1])
local old = redis.call('HMGET', KEYS[1], 'used', 'sent_at', 'window_start', 'window_sent')
local start, sent = ARGV[1], 1
if old[1] then
    local same_hour = tonumber(old[3]) > now - tonumber(ARGV[3])
    local full = same_hour and tonumber(old[4]) >= tonumber(ARGV[4])
    local early = old[1] == '0' and tonumber(old[2]) > now - tonumber(ARGV[2])
    if full or early then return {old[2], old[3], full and '1' or '0'} end
    if same_hour then start, sent = old[3], tonumber(old[4]) + 1 end
end
redis.call('HSET', KEYS[1], 'purpose', ARGV[5], 'hash', ARGV[6], 'used', '0', 'tries', '0', 'sent_at', ARGV[1],
    'expires_at', ARGV[7], 'window_start', start, 'window_sent', sent, 'user_type', ARGV[8])
redis.call('PEXPIRE', KEYS[1], math.max(tonumber(ARGV[7]) - now, tonumber(ARGV[3])))
return {}
";

/// ARGV: now, most tries, purpose, hash. What the signup said when the code is right, and nothing else.
const TAKE: &str = "
local code = redis.call('HMGET', KEYS[1], 'purpose', 'hash', 'used', 'tries', 'expires_at', 'user_type')
if code[1] ~= ARGV[3] or code[3] ~= '0' or tonumber(code[4]) >= tonumber(ARGV[2])
    or tonumber(code[5]) <= tonumber(ARGV[1]) then return false end
redis.call('HINCRBY', KEYS[1], 'tries', 1)
if code[2] ~= ARGV[4] then return false end
redis.call('HSET', KEYS[1], 'used', '1')
return code[6]
";

/// Codes in Redis.
#[derive(Clone)]
pub struct RedisCodes {
    redis: Redis,
    issue: Script,
    take: Script,
}

impl RedisCodes {
    /// Works through `redis`.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self { redis, issue: Script::new(ISSUE), take: Script::new(TAKE) }
    }

    fn key(&self, phone: PhoneNumber) -> String {
        self.redis.key(&format!("otp:{}", phone.e164()))
    }
}

impl CodeStore for RedisCodes {
    fn issue(&self, code: NewCode) -> BoxFuture<'_, Result<Issued, CodeError>> {
        Box::pin(async move {
            let mut issue = self.issue.key(self.key(code.phone));
            issue
                .arg(code.now.timestamp_millis())
                .arg(COOL_DOWN.num_milliseconds())
                .arg(HOUR.num_milliseconds())
                .arg(code.per_hour)
                .arg(code.purpose.as_str())
                .arg(code.hash.as_slice())
                .arg((code.now + code.ttl).timestamp_millis())
                .arg(code.user_type.map_or("", UserType::as_str));
            let refusal: Vec<i64> = self.redis.run(&issue).await?;
            let [sent_at, window_start, full] = refusal.as_slice() else { return Ok(Issued::Yes) };
            let at = |millis: &i64| DateTime::from_timestamp_millis(*millis).unwrap_or(code.now);
            Ok(wait(at(sent_at), at(window_start), *full == 1, code.now))
        })
    }

    fn take(&self, claim: Claim) -> BoxFuture<'_, Result<Option<Taken>, CodeError>> {
        Box::pin(async move {
            let mut take = self.take.key(self.key(claim.phone));
            take.arg(claim.now.timestamp_millis())
                .arg(MAX_TRIES)
                .arg(claim.purpose.as_str())
                .arg(claim.hash.as_slice());
            let right: Option<String> = self.redis.run(&take).await?;
            Ok(right.map(|user_type| Taken { user_type: user_type.parse().ok() }))
        })
    }
}
