//! Owns what Redis does with the count in one step, so that nobody else's step comes between. Knows no key by name.

use std::{sync::LazyLock, time::Duration};

use redis::{RedisError, Script, aio::MultiplexedConnection};

/// Adds a batch once. Keys: the count, the instance's last batch. Arguments: the batch, its visits, how long to remember.
/// Nil when there is no count to add to.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('GET', KEYS[1])
         if not count then return false end
         if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return tonumber(count) end
         -- What fails here must not be remembered as done.
         count = redis.call('INCRBY', KEYS[1], ARGV[2])
         redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
         return count",
    )
});

/// Raises the count to at least the argument, and returns it.
static RAISE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = tonumber(redis.call('GET', KEYS[1]) or '-1')
         if count < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) return tonumber(ARGV[1]) end
         return count",
    )
});

/// How long Redis remembers an instance's last batch: longer than any outage after which it would be sent again.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A numbered batch of visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    pub(super) visits: u64,
}

/// Adds a batch to the count under `count`, unless the instance's last batch, under `last`, is this one or a later one;
/// returns the count. `None`: there is no count to add to.
pub(super) async fn add(
    connection: &mut MultiplexedConnection,
    count: &str,
    last: &str,
    batch: Batch,
) -> Result<Option<u64>, RedisError> {
    let mut script = ADD.key(count);
    script.key(last).arg(batch.number).arg(batch.visits).arg(REMEMBERED.as_secs());
    script.invoke_async(connection).await
}

/// Raises the count under `key` to at least this, and returns it.
pub(super) async fn raise(
    connection: &mut MultiplexedConnection,
    key: &str,
    count: u64,
) -> Result<u64, RedisError> {
    RAISE.key(key).arg(count).invoke_async(connection).await
}
