//! Which partition a message goes to, as the Java client's default partitioner finds it (murmur2 over the key).

use crate::model::Timestamp;
use crate::model::replay::{Partitioner, Route};

/// The partition of a message: the origin's where the route keeps it, else by key; a null key keeps the origin's where it exists.
pub(super) fn choose(route: &Route, partitioner: Partitioner, origin: Option<i32>, at: Timestamp, key: Option<&[u8]>, id: i64) -> i32 {
    let partitions = route.target_partitions.max(1);
    let origin = origin.filter(|partition| (0..partitions).contains(partition));
    let keeps = partitioner == Partitioner::Origin && route.partition_kept_from.is_some_and(|from| at >= from);
    match (origin, key) {
        (Some(origin), _) if keeps => origin,
        (_, Some(key)) => by_key(key, partitions),
        (Some(origin), None) => origin,
        (None, None) => i32::try_from(id.rem_euclid(i64::from(partitions))).unwrap_or(0),
    }
}

/// `toPositive(murmur2(key)) % partitions`, as `org.apache.kafka.clients.producer.internals.BuiltInPartitioner` does.
pub(super) fn by_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff).cast_signed() % partitions.max(1)
}

/// `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::{Partitioner, Route, Timestamp, choose, murmur2};

    #[test]
    fn keys_are_hashed_as_the_java_client_hashes_them() {
        // The values of `UtilsTest.testMurmur2` in Apache Kafka.
        let cases: [(&[u8], i32); 8] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
            (b"21", -973_932_308),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
        }
    }

    #[test]
    fn the_origins_partition_is_kept_only_where_that_is_known_to_be_right() {
        let at = Timestamp::from_millis;
        let route = |from: Option<i64>| Route {
            route: 0,
            target: Some("orders".into()),
            target_topic_id: None,
            target_partitions: 4,
            partition_kept_from: from.map(at),
            consumer_group: None,
            inferred: false,
            settle_ms: 0,
            items: 0,
        };
        let by_key = super::by_key(b"abc", 4);
        let other = (by_key + 1) % 4;
        assert_eq!(choose(&route(Some(5)), Partitioner::Origin, Some(other), at(5), Some(b"abc"), 1), other);
        assert_eq!(
            choose(&route(Some(5)), Partitioner::Origin, Some(other), at(4), Some(b"abc"), 1),
            by_key,
            "partitions were added since"
        );
        assert_eq!(choose(&route(None), Partitioner::Origin, Some(other), at(9), Some(b"abc"), 1), by_key, "another topic");
        assert_eq!(choose(&route(Some(5)), Partitioner::Murmur2, Some(other), at(9), Some(b"abc"), 1), by_key);
        assert_eq!(choose(&route(Some(5)), Partitioner::Origin, Some(9), at(9), Some(b"abc"), 1), by_key, "there is no such partition");
        assert_eq!(choose(&route(None), Partitioner::Origin, Some(3), at(9), None, 1), 3, "a null key keeps its partition");
        assert_eq!(choose(&route(None), Partitioner::Origin, None, at(9), None, 6), 2);
    }
}
