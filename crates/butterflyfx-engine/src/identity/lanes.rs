//! The identities of many relationships, sixteen at a time.
//!
//! The text of a relationship's identity fits one block of BLAKE3, so hashing it is one call of the compression function,
//! seven rounds over sixteen words that depend on each other. Sixteen side by side, each in a lane of the processor's
//! vectors, took 30 ns each where one after the other took 134, on a machine that was busy with builds. The function is that of the BLAKE3
//! paper (J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, 2020), section 2.2.

use super::{
    RELATIONSHIP_PREFIX, RELATIONSHIP_TEXT_BYTES_MAX, RelationshipId, SubstrateId, relationship_text,
};
use crate::model::Relationship;
use crate::relationship_type::RelationshipType;
use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u32x16};
use smallvec::SmallVec;
use std::sync::LazyLock;

/// Relationships hashed side by side.
const LANES: usize = 16;

/// Fewer are hashed one after the other: all lanes take as long as three do so.
const WORTH_IT: usize = 4;

/// Words of a block.
const WORDS: usize = 16;

/// The first words, where all texts are alike.
const ALIKE: usize = RELATIONSHIP_PREFIX.len() / 4;

/// Words that a text may reach into.
const REACHED: usize = RELATIONSHIP_TEXT_BYTES_MAX.div_ceil(4);

/// The first chunk, its last block, and the root: all in one.
const FLAGS: u32 = 1 | 2 | 8;

/// The initial value, which is that of SHA-256.
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// In which order the next round takes the words.
const ORDER: [usize; WORDS] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];

/// What this processor's vectors can do.
static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// A word of each of the texts.
type Lanes = [u32; LANES];

/// The texts of up to sixteen relationships.
struct Blocks {
    words: [Lanes; WORDS],
    lengths: Lanes,
}

impl Blocks {
    fn new() -> Blocks {
        let mut words = [[0; LANES]; WORDS];
        for (word, bytes) in words.iter_mut().zip(RELATIONSHIP_PREFIX.chunks_exact(4)) {
            *word = [le(bytes); LANES];
        }
        Blocks { words, lengths: [0; LANES] }
    }

    #[inline]
    fn set(&mut self, lane: usize, rel_type: RelationshipType, source: SubstrateId, target: SubstrateId) {
        let (text, length) = relationship_text(rel_type, source, target);
        for (word, bytes) in self.words[..REACHED].iter_mut().zip(text.chunks(4)).skip(ALIKE) {
            word[lane] = le(bytes);
        }
        self.lengths[lane] = length as u32;
    }
}

#[inline]
fn le(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

/// Compresses each lane's block; the first two words of each hash.
#[inline(always)]
fn compress<S: Simd>(simd: S, blocks: &Blocks, first: &mut Lanes, second: &mut Lanes) {
    let alike = |word: u32| u32x16::splat(simd, word);
    let mut words: [u32x16<S>; WORDS] = std::array::from_fn(|at| u32x16::from_slice(simd, &blocks.words[at]));
    let mut state: [u32x16<S>; WORDS] = std::array::from_fn(|at| match at {
        14 => u32x16::from_slice(simd, &blocks.lengths),
        15 => alike(FLAGS),
        // The counter of a first chunk.
        12 | 13 => alike(0),
        _ => alike(INITIAL[at % 8]),
    });
    // Closures would not be compiled for the vectors of the caller.
    macro_rules! rotate {
        ($lanes:expr, $by:expr) => {{
            let lanes = $lanes;
            (lanes >> $by) | (lanes << (32 - $by))
        }};
    }
    macro_rules! half {
        ($a:expr, $b:expr, $c:expr, $d:expr, $word:expr, $one:expr, $two:expr) => {
            state[$a] += state[$b] + words[$word];
            state[$d] = rotate!(state[$d] ^ state[$a], $one);
            state[$c] += state[$d];
            state[$b] = rotate!(state[$b] ^ state[$c], $two);
        };
    }
    macro_rules! mix {
        ($a:expr, $b:expr, $c:expr, $d:expr, $word:expr) => {
            half!($a, $b, $c, $d, $word, 16, 12);
            half!($a, $b, $c, $d, $word + 1, 8, 7);
        };
    }
    for _ in 0..7 {
        mix!(0, 4, 8, 12, 0);
        mix!(1, 5, 9, 13, 2);
        mix!(2, 6, 10, 14, 4);
        mix!(3, 7, 11, 15, 6);
        mix!(0, 5, 10, 15, 8);
        mix!(1, 6, 11, 12, 10);
        mix!(2, 7, 8, 13, 12);
        mix!(3, 4, 9, 14, 14);
        words = std::array::from_fn(|at| words[ORDER[at]]);
    }
    (state[0] ^ state[8]).store_slice(first);
    (state[1] ^ state[9]).store_slice(second);
}

/// The identity of each relationship, in order, as [`RelationshipId::of`] gives it.
pub(crate) fn of_each(
    relationships: &[(RelationshipType, SubstrateId, SubstrateId)],
    mut give: impl FnMut(RelationshipId),
) {
    let mut blocks = None;
    for some in relationships.chunks(LANES) {
        if some.len() < WORTH_IT {
            some.iter().for_each(|&(kind, source, target)| give(RelationshipId::of(kind, source, target)));
            continue;
        }
        let blocks = blocks.get_or_insert_with(Blocks::new);
        for (lane, &(kind, source, target)) in some.iter().enumerate() {
            blocks.set(lane, kind, source, target);
        }
        let (mut first, mut second) = ([0; LANES], [0; LANES]);
        dispatch!(*LEVEL, simd => compress(simd, blocks, &mut first, &mut second));
        for (low, high) in first.iter().zip(&second).take(some.len()) {
            give(RelationshipId((u64::from(*low) | u64::from(*high) << 32).swap_bytes()));
        }
    }
}

/// Gives relationships, which are complete otherwise, their identities.
pub(crate) fn identify(relationships: &mut [Relationship]) {
    let ends: SmallVec<[_; 16]> =
        relationships.iter().map(|one| (one.rel_type, one.source, one.target)).collect();
    let mut unnamed = relationships.iter_mut();
    of_each(&ends, |id| {
        if let Some(one) = unnamed.next() {
            one.id = id;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the contract and the library.
    fn expected(kind: RelationshipType, source: u64, target: u64) -> RelationshipId {
        let mut text = format!("butterflyfx/relationship/1\0{}\0", kind.name()).into_bytes();
        text.extend(source.to_be_bytes().into_iter().chain(target.to_be_bytes()));
        let hash = blake3::hash(&text);
        RelationshipId(u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap()))
    }

    proptest! {
        /// Any number of any relationships, one by one and together.
        #[test]
        fn equals_one_by_one(some in prop::collection::vec((0_usize..15, any::<u64>(), any::<u64>()), 0..70)) {
            let all = || some.iter().map(|&(kind, source, target)| {
                (RelationshipType::ALL[kind], SubstrateId(source), SubstrateId(target))
            });
            let expected: Vec<_> =
                some.iter().map(|&(kind, source, target)| expected(RelationshipType::ALL[kind], source, target)).collect();
            let one_by_one: Vec<_> =
                all().map(|(kind, source, target)| RelationshipId::of(kind, source, target)).collect();
            prop_assert_eq!(&one_by_one, &expected);
            let mut found = Vec::new();
            of_each(&all().collect::<Vec<_>>(), |id| found.push(id));
            prop_assert_eq!(&found, &expected);
        }
    }
}
