//! The steps as scripts, and the values in the store.

use std::{str, time::Duration};

use bytes::Bytes;
use redis::{Cmd, Value};

use super::super::store::{Lookup, SealedToken, millis};
use crate::error::BoxError;

/// One atomic step on one entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    Read,
    Renew,
    Publish,
    Retire,
    Release,
}

/// A token as it stands under its key: `1 <stale> <fingerprint> <sealed>`.
///
/// It is past its `fresh_for` when the time to live of its key is `stale` milliseconds or less.
pub(super) struct TokenValue<'a> {
    stale: u64,
    fingerprint: &'a str,
    sealed: &'a [u8],
}

impl Script {
    /// `EVAL`, and not `EVALSHA`: no server has to know the script before, and no right but that of `EVAL` is needed.
    pub(super) fn command(self, prefix: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text()).arg(3);
        // One hash tag, so that a Cluster has all three on one node.
        for part in ["token", "lease", "retired"] {
            command.arg(format!("{prefix}{{{key}}}:{part}"));
        }
        for argument in arguments {
            command.arg(argument);
        }
        command
    }

    fn text(self) -> &'static str {
        match self {
            Self::Read => READ,
            Self::Renew => RENEW,
            Self::Publish => PUBLISH,
            Self::Retire => RETIRE,
            Self::Release => RELEASE,
        }
    }
}

impl<'a> TokenValue<'a> {
    pub(super) fn of(token: &'a SealedToken) -> Self {
        let fresh = if token.fresh_for().is_zero() { 0 } else { millis(token.fresh_for()) };
        let stale = millis(token.expires_in()).saturating_sub(fresh);
        Self { stale, fingerprint: token.fingerprint(), sealed: token.sealed() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let head = format!("1 {} {} ", self.stale, self.fingerprint);
        [head.as_bytes(), self.sealed].concat()
    }

    fn decode(value: &'a [u8]) -> Option<Self> {
        let mut parts = value.splitn(4, |byte| *byte == b' ');
        let mut text = || str::from_utf8(parts.next()?).ok();
        let (format, stale, fingerprint) = (text()?, text()?.parse().ok()?, text()?);
        let is_fingerprint = !fingerprint.is_empty() && fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let sealed = parts.next()?;
        (format == "1" && is_fingerprint).then_some(Self { stale, fingerprint, sealed })
    }
}

/// Reads the answer to [`Script::Read`]: the value, its time to live in milliseconds, and 1 with the lease.
pub(super) fn read_lookup(answer: Value) -> Result<Lookup, BoxError> {
    let Value::Array(parts) = answer else {
        return Err("the server's answer is not a list".into());
    };
    let (value, left, leased) = match parts.as_slice() {
        [Value::Nil, Value::Int(_), Value::Int(leased)] => return Ok(Lookup::new(None, *leased == 1)),
        [Value::BulkString(value), Value::Int(left), Value::Int(leased)] => (value, *left, *leased == 1),
        _ => return Err("the server's answer is not a token and two numbers".into()),
    };
    // A key that does not expire was not written here.
    let token = TokenValue::decode(value).filter(|_| left != -1).ok_or("the value under the key is not a token")?;
    let Ok(left @ 1..) = u64::try_from(left) else {
        return Ok(Lookup::new(None, leased));
    };
    let fresh_for = Duration::from_millis(left.saturating_sub(token.stale));
    let sealed = Bytes::copy_from_slice(token.sealed);
    Ok(Lookup::new(Some(SealedToken::new(sealed, token.fingerprint, Duration::from_millis(left), fresh_for)), leased))
}

// Every key that is written is read first, so that a value of another type is an error and stays as it is.

const READ: &str = "\
local token, left = redis.call('GET', KEYS[1]), 0
if token then
    left = redis.call('PTTL', KEYS[1])
    local stale = tonumber(string.match(token, '^1 (%d+) '))
    if left == -1 or not stale or left > stale then return {token, left, 0} end
end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[1] then return {token, left, 0} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {token, left, 1}";

const RENEW: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1";

const PUBLISH: &str = "\
redis.call('GET', KEYS[1])
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local published = 0
if redis.call('GET', KEYS[3]) ~= ARGV[4] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    published = 1
end
redis.call('DEL', KEYS[2])
return published";

const RETIRE: &str = "\
local token, removed = redis.call('GET', KEYS[1]), 0
redis.call('GET', KEYS[3])
if token and string.match(token, '^1 %d+ (%w+) ') == ARGV[1] then
    removed = redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
return removed";

const RELEASE: &str = "\
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])";

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn f2_a_token_goes_to_the_store_and_back_with_what_is_left() {
        let token = SealedToken::new(&b"any  bytes\xff\r\n"[..], "ab12", 10 * SECOND, 6 * SECOND);
        let value = TokenValue::of(&token).encode();
        let read =
            |left| read_lookup(Value::Array(vec![Value::BulkString(value.clone()), Value::Int(left), Value::Int(0)]));
        assert_eq!(read(10_000).unwrap().token(), Some(&token));
        let later = read(3_000).unwrap();
        let later = later.token().unwrap();
        assert_eq!((later.expires_in(), later.fresh_for()), (3 * SECOND, Duration::ZERO));
        assert!(read(-2).unwrap().token().is_none(), "expired");
        assert!(read(-1).is_err(), "a key without an end is not one of these");
    }

    #[test]
    fn f4_a_value_that_is_no_token_is_an_error() {
        for value in ["", "1", "1 2", "1 2 ab", "2 2 ab x", "1 x ab x", "1 2  x", "1 2 a-b x", "1 -2 ab x", "{\"a\":1}"]
        {
            let answer = Value::Array(vec![Value::BulkString(value.into()), Value::Int(5), Value::Int(0)]);
            assert!(read_lookup(answer).is_err(), "{value}");
        }
        for answer in [Value::Nil, Value::Okay, Value::Int(1), Value::Array(vec![]), Value::Array(vec![Value::Nil; 3])]
        {
            assert!(read_lookup(answer).is_err());
        }
    }
}
